// Bytes of the objects inside the catalog's journal entries. Decoding throws WireError or NAME_INVALID, which
// catalog-entries.ts turns into DATA_LOSS.
import { partitionId, subscriptionId, tenantId, topicId, type PartitionId } from '../core/ids.ts';
import { WireError, WireReader } from '../../proto/wire/reader.ts';
import { WireWriter } from '../../proto/wire/writer.ts';
import type { Tombstone } from './catalog-events.ts';
import {
  bytesField,
  nameOf,
  numberField,
  readFlag,
  readId,
  readMessage,
  readShard,
  readText,
  withLabel,
  writeLabels,
} from './codec-fields.ts';
import { noLabels } from './labels.ts';
import { parseSubscriptionName, parseTopicName } from './names.ts';
import type { SaidPolicy } from './policy.ts';
import { decodePolicy, encodePolicy } from './policy-codec.ts';
import {
  subscriptionSpecDefaults,
  type StartPosition,
  type Subscription,
  type SubscriptionSpec,
} from './subscription.ts';
import type { ShardPartitions, Topic } from './topic.ts';

const subscriptionKindCodes = { stream: 1, queue: 2, keyed_queue: 3 } as const;
const startCodes = { offset: 1, time: 2, earliest: 3, latest: 4 } as const;
export const tombstoneCodes = { topic: 1, subscription: 2 } as const;

export function encodeTopic(topic: Topic): Buffer {
  const writer = new WireWriter(128 + topic.partitions.length * 8);
  writer.uint(1, topic.id);
  writer.string(2, topic.name.full);
  writer.bytes(3, encodeNumbers(topic.partitions));
  for (const shard of topic.shards) writer.string(4, shard);
  writer.bytes(5, encodePolicy(topic.spec));
  writer.uint(6, topic.tenantId);
  writer.uint(10, topic.revision);
  writer.uint(11, topic.createdAtMs);
  writeLabels(writer, 12, topic.spec.labels);
  return writer.finish();
}

export function decodeTopic(bytes: Uint8Array): Topic {
  const head = { id: 0, name: '', tenantId: 0, revision: 0, createdAtMs: 0 };
  let policy: SaidPolicy = {};
  let labels = noLabels;
  let partitions: readonly PartitionId[] = [];
  const shards: string[] = [];
  readMessage(bytes, {
    [numberField(1)]: (reader) => (head.id = reader.varint()),
    [bytesField(2)]: (reader) => (head.name = readText(reader)),
    [bytesField(3)]: (reader) => (partitions = decodePartitions(reader.view())),
    [bytesField(4)]: (reader) => shards.push(readShard(readText(reader))),
    [bytesField(5)]: (reader) => (policy = decodePolicy(reader.view())),
    [numberField(6)]: (reader) => (head.tenantId = reader.varint()),
    [numberField(10)]: (reader) => (head.revision = reader.varint()),
    [numberField(11)]: (reader) => (head.createdAtMs = reader.varint()),
    [bytesField(12)]: (reader) => (labels = withLabel(labels, reader)),
  });
  if (partitions.length === 0) throw new WireError('topic has no partitions');
  if (shards.length !== partitions.length) {
    throw new WireError(`topic has ${partitions.length} partitions in ${shards.length} shards`);
  }
  return {
    id: topicId(readId(head.id, 'topic id')),
    name: parseTopicName(head.name),
    tenantId: tenantId(readId(head.tenantId, 'tenant id')),
    partitions,
    shards,
    spec: { partitions: partitions.length, labels, ...policy },
    revision: head.revision,
    createdAtMs: head.createdAtMs,
  };
}

export function encodeSubscription(subscription: Subscription): Buffer {
  const { start, spec } = subscription;
  const writer = new WireWriter();
  writer.uint(1, subscription.id);
  writer.uint(2, subscription.topicId);
  writer.string(3, subscription.name);
  writer.uint(4, subscriptionKindCodes[subscription.kind]);
  writer.uint(5, startCodes[start.kind]);
  if (start.kind === 'offset') {
    writer.uint(6, start.offset);
    writer.uint(7, start.epoch);
  }
  if (start.kind === 'time') writer.uint(6, start.timeMs);
  writer.uint(8, spec.ackDeadlineMs);
  writer.uint(9, spec.backoffMinMs);
  writer.uint(10, spec.backoffMaxMs);
  writer.bool(11, spec.paused);
  writer.uint(12, subscription.revision);
  writer.uint(13, subscription.createdAtMs);
  writer.uint(14, spec.attemptsMax);
  if (spec.deadLetterTopic !== '') writer.string(15, spec.deadLetterTopic);
  writer.uint(16, spec.recordsPerSecondMax);
  writer.uint(17, spec.expiresAfterMs);
  writer.bool(18, spec.deadLetterExpired);
  return writer.finish();
}

export function decodeSubscription(bytes: Uint8Array): Subscription {
  const head = { id: 0, topicId: 0, name: '', kind: 0, revision: 0, createdAtMs: 0 };
  const start = { kind: 0, value: 0, epoch: 0 };
  const spec: { -readonly [F in keyof SubscriptionSpec]: SubscriptionSpec[F] } = {
    ...subscriptionSpecDefaults.stream,
  };
  readMessage(bytes, {
    [numberField(1)]: (reader) => (head.id = reader.varint()),
    [numberField(2)]: (reader) => (head.topicId = reader.varint()),
    [bytesField(3)]: (reader) => (head.name = readText(reader)),
    [numberField(4)]: (reader) => (head.kind = reader.varint()),
    [numberField(5)]: (reader) => (start.kind = reader.varint()),
    [numberField(6)]: (reader) => (start.value = reader.varint()),
    [numberField(7)]: (reader) => (start.epoch = reader.uint32()),
    [numberField(8)]: (reader) => (spec.ackDeadlineMs = reader.varint()),
    [numberField(9)]: (reader) => (spec.backoffMinMs = reader.varint()),
    [numberField(10)]: (reader) => (spec.backoffMaxMs = reader.varint()),
    [numberField(11)]: (reader) => (spec.paused = readFlag(reader)),
    [numberField(12)]: (reader) => (head.revision = reader.varint()),
    [numberField(13)]: (reader) => (head.createdAtMs = reader.varint()),
    [numberField(14)]: (reader) => (spec.attemptsMax = reader.varint()),
    [bytesField(15)]: (reader) => (spec.deadLetterTopic = parseTopicName(readText(reader)).full),
    [numberField(16)]: (reader) => (spec.recordsPerSecondMax = reader.varint()),
    [numberField(17)]: (reader) => (spec.expiresAfterMs = reader.varint()),
    [numberField(18)]: (reader) => (spec.deadLetterExpired = readFlag(reader)),
  });
  return {
    id: subscriptionId(readId(head.id, 'subscription id')),
    topicId: topicId(readId(head.topicId, 'topic id')),
    name: parseSubscriptionName(head.name),
    kind: nameOf(subscriptionKindCodes, head.kind, 'subscription kind'),
    start: startPosition(start),
    spec,
    revision: head.revision,
    createdAtMs: head.createdAtMs,
  };
}

export function encodeTombstone(tombstone: Tombstone): Buffer {
  const writer = new WireWriter();
  writer.uint(1, tombstoneCodes[tombstone.of]);
  writer.uint(2, tombstone.topicId);
  if (tombstone.of === 'subscription') writer.uint(3, tombstone.subscriptionId);
  writer.string(4, tombstone.name);
  if (tombstone.of === 'topic') writer.bytes(5, encodeNumbers(tombstone.subscriptions));
  for (const part of tombstone.pending) {
    const nested = new WireWriter();
    nested.string(1, part.shard);
    nested.bytes(2, encodeNumbers(part.partitions));
    writer.bytes(6, nested.finish());
  }
  return writer.finish();
}

export function decodeTombstone(bytes: Uint8Array): Tombstone {
  const fields = { of: 0, topicId: 0, subscriptionId: 0, name: '' };
  let subscriptions: readonly number[] = [];
  const pending: ShardPartitions[] = [];
  readMessage(bytes, {
    [numberField(1)]: (reader) => (fields.of = reader.varint()),
    [numberField(2)]: (reader) => (fields.topicId = reader.varint()),
    [numberField(3)]: (reader) => (fields.subscriptionId = reader.varint()),
    [bytesField(4)]: (reader) => (fields.name = readText(reader)),
    [bytesField(5)]: (reader) => (subscriptions = decodeIds(reader.view(), 'subscription id')),
    [bytesField(6)]: (reader) => pending.push(decodeShardPartitions(reader.view())),
  });
  if (pending.length === 0) throw new WireError('tombstone has nothing to drop');
  const topic = topicId(readId(fields.topicId, 'topic id'));
  const of = nameOf(tombstoneCodes, fields.of, 'tombstone kind');
  if (of === 'topic') {
    const name = parseTopicName(fields.name).full;
    return { of, topicId: topic, name, subscriptions: subscriptions.map(subscriptionId), pending };
  }
  return {
    of,
    topicId: topic,
    subscriptionId: subscriptionId(readId(fields.subscriptionId, 'subscription id')),
    name: parseSubscriptionName(fields.name),
    pending,
  };
}

function startPosition(start: { kind: number; value: number; epoch: number }): StartPosition {
  const kind = nameOf(startCodes, start.kind, 'start kind');
  if (kind === 'offset') return { kind, offset: start.value, epoch: start.epoch };
  if (kind === 'time') return { kind, timeMs: start.value };
  return { kind };
}

function decodeShardPartitions(bytes: Uint8Array): ShardPartitions {
  let shard = '';
  let partitions: readonly PartitionId[] = [];
  readMessage(bytes, {
    [bytesField(1)]: (reader) => (shard = readShard(readText(reader))),
    [bytesField(2)]: (reader) => (partitions = decodePartitions(reader.view())),
  });
  return { shard: readShard(shard), partitions };
}

function encodeNumbers(numbers: readonly number[]): Buffer {
  const writer = new WireWriter(16 + numbers.length * 5);
  for (const number of numbers) writer.varint(number);
  return writer.finish();
}

function decodePartitions(bytes: Uint8Array): readonly PartitionId[] {
  return decodeIds(bytes, 'partition id').map(partitionId);
}

function decodeIds(bytes: Uint8Array, what: string): number[] {
  const reader = new WireReader(bytes);
  const ids: number[] = [];
  while (!reader.done) ids.push(readId(reader.varint(), what));
  return ids;
}
