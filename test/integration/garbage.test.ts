// Requests that are well-formed and wrong, against a real broker: each is told what is wrong in a form that programs
// decide by, and fails alone.
import { fromBinary, type DescMessage, type MessageInitShape } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { limits } from '../../broker/core/limits.ts';
import {
  ConsumeStreamRequestSchema,
  ConsumeStreamResponseSchema,
} from '../../proto/gen/millrace/v1/consume_pb.ts';
import { PublishRequestSchema } from '../../proto/gen/millrace/v1/publish_pb.ts';
import { ReadRequestSchema } from '../../proto/gen/millrace/v1/read_pb.ts';
import {
  ApplySubscriptionRequestSchema,
  SeekSubscriptionRequestSchema,
  SubscriptionKind,
} from '../../proto/gen/millrace/v1/subscription_pb.ts';
import {
  ApplyTopicRequestSchema,
  GetTopicRequestSchema,
} from '../../proto/gen/millrace/v1/topic_pb.ts';
import { compressedTree, plainBatch, record, type PlainRecord } from '../batch/batch-arbitrary.ts';
import {
  bytesField,
  encodeFields,
  messageField,
  numberField,
  type WireField,
} from '../batch/wire-tree.ts';
import { encode, type RawStream } from '../support/raw-grpc.ts';
import { append, nextResult, open, openPublisher } from '../support/raw-publisher.ts';
import { SteadyPublisher } from '../support/steady-publisher.ts';
import { describeAfterwards, mistreatBroker } from './mistreated-broker.ts';

const topic = 'garbage';
const oneRecord: readonly PlainRecord[] = [record({ value: Buffer.from('x') })];
const plain = plainBatch(oneRecord);
const get = mistreatBroker(topic);

describe('a batch', () => {
  const lying: readonly (readonly [string, readonly WireField[] | Buffer, string])[] = [
    ['that is empty', [], 'BATCH_EMPTY'],
    ['of noise', Buffer.from('noise'), 'BATCH_NOT_CANONICAL'],
    ['with an unknown field', [messageField(1, [numberField(9, 1)])], 'BATCH_NOT_CANONICAL'],
    [
      'whose count lies',
      compressedTree(oneRecord, { compression: 'zstd', recordCount: 2 }),
      'BATCH_COUNT_MISMATCH',
    ],
    [
      'whose size lies',
      compressedTree(oneRecord, { compression: 'gzip', openedBytes: 2_000_000_000 }),
      'BATCH_TOO_LARGE',
    ],
    [
      'that does not open',
      compressedTree(oneRecord, { compression: 'gzip', compressed: plain }),
      'COMPRESSION_INVALID',
    ],
    [
      'with a reserved header',
      [messageField(1, [messageField(4, [bytesField(1, 'millrace-x')])])],
      'RECORD_INVALID',
    ],
    [
      'that is too large',
      [messageField(1, [bytesField(2, Buffer.alloc(limits.batchBytesDefault))])],
      'BATCH_TOO_LARGE',
    ],
  ];

  it.each(lying)('%s is refused alone, its stream goes on', async (_, fields, reason) => {
    const bytes = Buffer.isBuffer(fields) ? fields : encodeFields(fields);
    const stream = await openPublisher(get().grpc, topic);
    expect(await append(stream, bytes)).toBe(reason);
    expect(await append(stream, plain)).toBe('stored');
    stream.cancel();
    const unary = encodeFields([bytesField(1, topic), numberField(2, 0), bytesField(15, bytes)]);
    expect(await get().grpc.refusal('PublishService/Publish', unary)).toMatchObject({ reason });
  });

  it.each([
    ['twice in one append', [bytesField(15, plain), bytesField(15, plain)], 'BATCH_NOT_CANONICAL'],
    [
      'for a partition that there is not',
      [numberField(2, 2), bytesField(15, plain)],
      'PARTITION_OUT_OF_RANGE',
    ],
    [
      'for partition 2^32 - 1',
      [numberField(2, 2 ** 32 - 1), bytesField(15, plain)],
      'PARTITION_OUT_OF_RANGE',
    ],
    ['for a handle that is not open', [numberField(1, 9), bytesField(15, plain)], 'HANDLE_UNKNOWN'],
    [
      'at an offset that is not next',
      [numberField(4, 2 ** 52), bytesField(15, plain)],
      'OFFSET_MISMATCH',
    ],
    ['that is not there', [numberField(2, 0)], 'BATCH_NOT_CANONICAL'],
  ])('%s is refused alone, its stream goes on', async (_, fields, reason) => {
    const stream = await openPublisher(get().grpc, topic);
    stream.write(encodeFields([messageField(2, fields)]));
    expect(await nextResult(stream)).toBe(reason);
    expect(await append(stream, plain)).toBe('stored');
    stream.cancel();
  });

  it('with unknown fields around it, not in it, is stored', async () => {
    const stream = await openPublisher(get().grpc, topic);
    const unknown = [numberField(99, 1), bytesField(100, 'new in a later version')];
    stream.write(encodeFields([...unknown, messageField(2, [...unknown, bytesField(15, plain)])]));
    expect(await nextResult(stream)).toBe('stored');
    stream.cancel();
  });
});

describe('a stream in the wrong order', () => {
  it('appends before any open: HANDLE_UNKNOWN, and the stream goes on', async () => {
    const stream = get().grpc.duplex('PublishService/PublishStream');
    expect(await append(stream, plain)).toBe('HANDLE_UNKNOWN');
    expect(await open(stream, { topic })).toBe('opened');
    expect(await append(stream, plain)).toBe('stored');
    stream.cancel();
  });

  it('opens a handle twice: HANDLE_IN_USE, and the first one stays open', async () => {
    const stream = await openPublisher(get().grpc, topic);
    expect(await open(stream, { topic })).toBe('HANDLE_IN_USE');
    expect(await append(stream, plain)).toBe('stored');
    stream.cancel();
  });

  it('consumes without open: STREAM_PROTOCOL', async () => {
    for (const request of [{}, { credit: { records: 1, bytes: 1 } }, { confirmId: 1n }]) {
      expect(await consume(request).end()).toMatchObject({ reason: 'STREAM_PROTOCOL' });
    }
  });

  it('opens a consumer twice: STREAM_PROTOCOL', async () => {
    const request = { open: { topic, subscription: 'queue' } };
    const stream = consume(request).write(encode(ConsumeStreamRequestSchema, request));
    expect(await stream.end()).toMatchObject({ reason: 'STREAM_PROTOCOL' });
  });

  it.each([
    [
      'an unknown kind',
      { topic, subscription: 'queue', kind: 9 as SubscriptionKind },
      'ARGUMENT_INVALID',
    ],
    [
      'another kind',
      { topic, subscription: 'queue', kind: SubscriptionKind.STREAM },
      'SUBSCRIPTION_KIND_MISMATCH',
    ],
    ['no such subscription', { topic, subscription: 'nobody' }, 'SUBSCRIPTION_NOT_FOUND'],
    ['no such topic', { topic: 'nowhere', subscription: 'queue' }, 'TOPIC_NOT_FOUND'],
  ])('consumes with %s', async (_, request, reason) => {
    expect(await consume({ open: request }).end()).toMatchObject({ reason });
  });

  it.each([
    ['no verb', { firstOffset: 0n, lastOffset: 0n }, 'queue'],
    ['an unknown verb', { verb: 99 as 1, firstOffset: 0n, lastOffset: 0n }, 'queue'],
    ['a verb of streams', { verb: 5, firstOffset: 0n, lastOffset: 0n }, 'queue'],
    ['a verb of queues', { verb: 1, firstOffset: 0n, lastOffset: 0n }, 'stream'],
    ['offsets that nobody was given', { verb: 1, firstOffset: 0n, lastOffset: 2n ** 52n }, 'queue'],
    ['a range that runs backwards', { verb: 1, firstOffset: 9n, lastOffset: 3n }, 'queue'],
    ['a partition that there is not', { verb: 1, partition: 77 }, 'queue'],
  ] as const)('settles %s: ACK_INVALID', async (_, ack, subscription) => {
    const stream = consume({ open: { topic, subscription } });
    await stream.next();
    stream.write(encode(ConsumeStreamRequestSchema, { acks: [ack], confirmId: 5n }));
    expect(await ackReason(stream)).toBe('ACK_INVALID');
    stream.cancel();
  });
});

describe('offsets out of range', () => {
  const offset = (value: bigint) => ({ at: { case: 'offset' as const, value } });
  it.each([
    [
      'past the end',
      { from: [{ partition: 0, position: offset(2n ** 50n) }] },
      'OFFSET_OUT_OF_RANGE',
    ],
    ['of 2^53', { from: [{ partition: 0, position: offset(2n ** 53n) }] }, 'ARGUMENT_INVALID'],
    ['of 2^64 - 1', { fromAll: offset(2n ** 64n - 1n) }, 'ARGUMENT_INVALID'],
    [
      'of no partition',
      { from: [{ partition: 9, position: offset(0n) }] },
      'PARTITION_OUT_OF_RANGE',
    ],
    ['that are not stated', { from: [{ partition: 0 }] }, 'ARGUMENT_INVALID'],
    [
      'stated twice',
      { from: [0, 0].map((partition) => ({ partition, position: offset(0n) })) },
      'ARGUMENT_INVALID',
    ],
  ])('%s are refused when reading', async (_, request, reason) => {
    const bytes = encode(ReadRequestSchema, { topic, ...request });
    expect(await get().grpc.serverStream('ReadService/Read', bytes).end()).toMatchObject({
      reason,
    });
  });

  it.each([
    ['past the end', { partition: 0, position: offset(2n ** 50n) }, 'OFFSET_OUT_OF_RANGE'],
    ['of 2^63', { partition: 0, position: offset(2n ** 63n) }, 'ARGUMENT_INVALID'],
    ['of no partition', { partition: 9, position: offset(0n) }, 'PARTITION_OUT_OF_RANGE'],
  ])('%s are refused when seeking', async (_, to, reason) => {
    const request = encode(SeekSubscriptionRequestSchema, {
      topic,
      name: 'queue',
      to: [to],
    });
    const end = await get().grpc.refusal('SubscriptionService/SeekSubscription', request);
    expect(end).toMatchObject({ reason });
  });
});

describe('names that are no names', () => {
  const names: readonly (readonly [string, string])[] = [
    ['nothing', ''],
    ['..', '..'],
    ['a path', '../../etc/passwd'],
    ['a path in a part', 'public/../orders'],
    ['an empty part', 'public//orders'],
    ['four parts', 'a/b/c/d'],
    ['a leading dot', '.hidden'],
    ['a leading dash', '-rf'],
    ['a NUL', 'orders\0'],
    ['a line break', 'orders\nx'],
    ['a blank', 'or ders'],
    ['a Cyrillic o', '\u043erders'],
    ['a full-width letter', '\uff4frders'],
    ['an accent', 'o\u0301rders'],
    ['a right-to-left override', 'ord\u202esre'],
    ['a byte order mark', '\ufefforders'],
    ['a zero-width space', 'orders\u200b'],
    ['64 KiB', 'x'.repeat(65_536)],
    ['129 letters', 'x'.repeat(129)],
  ];

  it.each(names)('%s, of a topic', async (_, name) => {
    await expectNameInvalid('TopicService/ApplyTopic', ApplyTopicRequestSchema, { name });
    await expectNameInvalid('TopicService/GetTopic', GetTopicRequestSchema, { name });
    const batch = { records: [{}] };
    await expectNameInvalid('PublishService/Publish', PublishRequestSchema, { topic: name, batch });
    const stream = get().grpc.duplex('PublishService/PublishStream');
    expect(await open(stream, { topic: name })).toBe('NAME_INVALID');
    stream.cancel();
  });

  it.each(names)('%s, of a subscription', async (_, name) => {
    const schema = ApplySubscriptionRequestSchema;
    const spec = { kind: SubscriptionKind.QUEUE };
    const path = 'SubscriptionService/ApplySubscription';
    await expectNameInvalid(path, schema, { topic, name, spec });
    const end = await consume({ open: { topic, subscription: name } }).end();
    expect(end).toMatchObject({ reason: 'NAME_INVALID' });
  });

  it.each([
    ['the broker\u2019s own', '~internal'],
    ['a NUL', 'p\0'],
    ['not ASCII', 'p\u00e9'],
    ['64 KiB', 'p'.repeat(65_536)],
  ])('%s, of a publisher or consumer', async (_, name) => {
    const stream = get().grpc.duplex('PublishService/PublishStream');
    expect(await open(stream, { topic, publisher: name })).toBe('NAME_INVALID');
    stream.cancel();
    if (name.startsWith('~')) return;
    const end = await consume({ open: { topic, subscription: 'queue', consumer: name } }).end();
    expect(end).toMatchObject({ reason: 'NAME_INVALID' });
  });

  it('are never echoed whole: an error stays small', async () => {
    const name = 'x'.repeat(65_536);
    const request = encode(GetTopicRequestSchema, { name });
    const { message } = await get().grpc.refusal('TopicService/GetTopic', request);
    expect(message.length).toBeLessThan(1_024);
  });
});

describe('the steady publisher', () => {
  it('tells when something is amiss: a record of somebody else among its own', async () => {
    const disturbed = await SteadyPublisher.start(get().broker.server, 'disturbed');
    const other = disturbed.client.publisher('disturbed');
    await other.publish({ value: 'not yours' });
    await expect.poll(() => disturbed.publishedCount).toBeGreaterThan(2);
    expect(await disturbed.stop()).toMatch(/^record \d+ got offset/);
    await disturbed.client.close();
  });
});

describeAfterwards(get);

async function expectNameInvalid<Desc extends DescMessage>(
  path: string,
  schema: Desc,
  init: MessageInitShape<Desc>,
): Promise<void> {
  const end = await get().grpc.refusal(path, encode(schema, init));
  expect(end).toMatchObject({ code: status.INVALID_ARGUMENT, reason: 'NAME_INVALID' });
}

function consume(request: MessageInitShape<typeof ConsumeStreamRequestSchema>): RawStream {
  const stream = get().grpc.duplex('ConsumeService/ConsumeStream');
  return stream.write(encode(ConsumeStreamRequestSchema, request));
}

/** Reason of the first failed ack, whether it comes as an item or ends the stream. */
async function ackReason(stream: RawStream): Promise<string> {
  for (;;) {
    const message = await stream.next();
    const { confirmations } = fromBinary(ConsumeStreamResponseSchema, message);
    if (confirmations.length > 0) return confirmations[0]?.failures[0]?.error?.reason ?? 'none';
  }
}
