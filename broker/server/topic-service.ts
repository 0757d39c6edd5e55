// TopicService: between the API's messages and the broker's administration.
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import { policyFieldsNamed } from '../catalog/policy.ts';
import type { Topic, TopicSpecPatch } from '../catalog/topic.ts';
import { BrokerError } from '../core/errors.ts';
import type { Broker } from '../cluster/broker.ts';
import { delayedPage } from '../cluster/delayed.ts';
import type { PartitionFigures } from '../cluster/figures.ts';
import {
  TopicService,
  type PartitionOwnerSchema,
  type TopicSchema,
  type TopicSpec,
  type TopicStatusSchema,
} from '../../proto/gen/millrace/v1/topic_pb.ts';
import { policyFromProto, policyToProto, sourcesToProto } from './policy-convert.ts';
import { numberFromProto } from './subscription-convert.ts';
import { unary } from './unary.ts';

const {
  applyTopic,
  getTopic,
  listTopics,
  deleteTopic,
  offloadTopic,
  listDelayed,
  cancelDelayed,
  locateTopic,
} = TopicService.method;

export function topicService(broker: Broker): UntypedServiceImplementation {
  return {
    applyTopic: unary(applyTopic, async ({ name, spec, inherit, revision, dryRun }) => {
      const patch = patchFromProto(spec, inherit);
      const applied = await broker.applyTopic({ name, patch, revision, dryRun });
      const { topic, changes, created } = applied;
      const described = dryRun ? topicToProto(broker, topic) : describe(broker, topic);
      return { topic: described, changes: [...changes], created };
    }),
    getTopic: unary(getTopic, ({ name }) => ({
      topic: describe(broker, broker.topic(name).topic),
    })),
    listTopics: unary(listTopics, ({ prefix, pageSize, pageToken }, caller) => {
      const page = broker.listTopics({ prefix, pageSize, pageToken }, caller.viewable());
      return {
        topics: page.items.map((topic) => describe(broker, topic)),
        nextPageToken: page.nextPageToken,
      };
    }),
    deleteTopic: unary(deleteTopic, async ({ name, topicId }) => {
      await broker.deleteTopic(name, topicId);
      return {};
    }),
    offloadTopic: unary(offloadTopic, async ({ name, wait }) => {
      const topic = await broker.offloadTopic(name, wait);
      return { status: statusToProto(broker, topic) };
    }),
    listDelayed: unary(listDelayed, ({ name, partition, fromOffset, pageSize }) => {
      const from = numberFromProto(fromOffset, 'from_offset');
      const log = broker.topic(name).log(partition);
      const { delayed, nextOffset } = delayedPage(log, from, pageSize);
      return {
        delayed: delayed.map((run) => ({
          firstOffset: BigInt(run.firstOffset),
          lastOffset: BigInt(run.lastOffset),
          deliverAtMs: BigInt(run.deliverAtMs),
        })),
        nextOffset: BigInt(nextOffset),
      };
    }),
    cancelDelayed: unary(cancelDelayed, async ({ name, partition, firstOffset, lastOffset }) => {
      const first = numberFromProto(firstOffset, 'first_offset');
      const last = numberFromProto(lastOffset, 'last_offset');
      if (last !== 0 && last < first) {
        throw new BrokerError('ARGUMENT_INVALID', `${first}-${last} is no range of offsets`);
      }
      const log = broker.topic(name).log(partition);
      const cancelled = await log.cancelHeld(first, last === 0 ? first : last);
      return { cancelled: BigInt(cancelled) };
    }),
    locateTopic: unary(locateTopic, ({ name }) => {
      const { topic } = broker.topic(name);
      return { topicId: String(topic.id), owners: ownersOf(broker, topic) };
    }),
  };
}

function patchFromProto(spec: TopicSpec | undefined, inherit: readonly string[]): TopicSpecPatch {
  const fields = policyFieldsNamed(inherit);
  if (spec === undefined) return { inherit: fields };
  const { partitions } = spec;
  const labels = new Map(Object.entries(spec.labels));
  return { partitions, labels, ...policyFromProto(spec), inherit: fields };
}

function topicToProto(broker: Broker, topic: Topic) {
  const effective = broker.effectivePolicy(topic);
  return {
    name: topic.name.full,
    topicId: String(topic.id),
    revision: String(topic.revision),
    spec: {
      partitions: topic.spec.partitions,
      labels: Object.fromEntries(topic.spec.labels),
      ...policyToProto(topic.spec),
    },
    effective: policyToProto(effective.values),
    sources: sourcesToProto(effective),
  };
}

function describe(broker: Broker, topic: Topic): MessageInitShape<typeof TopicSchema> {
  return { ...topicToProto(broker, topic), status: statusToProto(broker, topic) };
}

function statusToProto(broker: Broker, topic: Topic): MessageInitShape<typeof TopicStatusSchema> {
  const figures = broker.topicFigures(topic);
  const owners = ownersOf(broker, topic);
  return {
    partitions: figures.partitions.map((partition, index) =>
      partitionToProto(partition, owners[index]),
    ),
    storedBytes: BigInt(figures.storedBytes),
    hotBytes: BigInt(figures.hotBytes),
    coldBytes: BigInt(figures.coldBytes),
    subscriptionCount: figures.subscriptionCount,
  };
}

function partitionToProto(
  figures: PartitionFigures,
  owner: MessageInitShape<typeof PartitionOwnerSchema> | undefined,
) {
  return {
    partition: figures.partition,
    startOffset: BigInt(figures.startOffset),
    endOffset: BigInt(figures.endOffset),
    storedBytes: BigInt(figures.storedBytes),
    lastAppendTimeMs: BigInt(figures.lastAppendTimeMs),
    damage: figures.damage,
    hotStartOffset: BigInt(figures.hotStartOffset),
    offloadedEndOffset: BigInt(figures.offloadedEndOffset),
    hotBytes: BigInt(figures.hotBytes),
    coldBytes: BigInt(figures.coldBytes),
    ...(owner === undefined ? {} : { owner }),
  };
}

function ownersOf(broker: Broker, topic: Topic): MessageInitShape<typeof PartitionOwnerSchema>[] {
  return topic.shards.map((shard, partition) => ({
    partition,
    shard,
    epoch: broker.shardEpoch(shard),
    address: broker.address,
  }));
}
