// Consumers of a broker that says what is rare: shut-downs, reassignments, lost confirmations, damaged batches.
import { gzipSync } from 'node:zlib';
import { create } from '@bufbuild/protobuf';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connect, type Client } from '../../client/src/index.ts';
import { AckFailureSchema, AckVerb } from '../../proto/gen/millrace/v1/consume_pb.ts';
import { Effect, ErrorSchema } from '../../proto/gen/millrace/v1/error_pb.ts';
import { Compression } from '../../proto/gen/millrace/v1/record_pb.ts';
import { NoticeKind } from '../../proto/gen/millrace/v1/stream_pb.ts';
import { SubscriptionKind } from '../../proto/gen/millrace/v1/subscription_pb.ts';
import { FakeBroker } from './fake-broker.ts';
import { deliver, opened, ranges, take } from './scripted-consume.ts';
import { until } from './until.ts';

let broker: FakeBroker;
let client: Client;

beforeEach(async () => {
  broker = await FakeBroker.start();
  client = connect({ server: broker.server });
});

afterEach(async () => {
  // Consumers that are still open wait for an answer that nobody scripted.
  broker.onConsume = (stream, { confirmId }) => {
    if (confirmId !== 0n) stream.send({ confirmations: [{ confirmId }] });
  };
  await client.close();
  await broker[Symbol.asyncDispose]();
});

describe('a consumer whose broker shuts down', () => {
  it('gives back what was not handed out, acks what is in hand, leaves and comes again', async () => {
    broker.onConsume = (stream, { open, confirmId }, number) => {
      if (confirmId !== 0n) stream.send({ confirmations: [{ confirmId }] });
      if (open === undefined) return;
      opened(stream, SubscriptionKind.QUEUE);
      if (number === 0) deliver(stream, { lease: 1n, baseOffset: 0n, values: ['a', 'b', 'c'] });
    };
    const consumer = client.consumer('t', 's');
    const first = await take(consumer);
    const [stream] = broker.consumes;
    stream?.send({ notice: { kind: NoticeKind.CLOSING, retryAfterMs: 5_000 } });
    await until(() => ranges(stream).some(({ verb }) => verb === AckVerb.RETURN));
    expect(ranges(stream)).toMatchObject([
      { firstOffset: 1n, lastOffset: 2n, verb: AckVerb.RETURN, lease: 1n },
    ]);
    expect(stream?.isLeft).toBe(false);
    first.ack();
    await until(() => stream?.isLeft === true);
    expect(ranges(stream).at(-1)).toMatchObject({ firstOffset: 0n, verb: AckVerb.ACK });
    stream?.end();
    await until(() => broker.consumes.length === 2);
    await consumer.close();
  });

  it('says nothing of old leases on the next connection, which would take its credit back', async () => {
    broker.onConsume = (stream, { open, confirmId }, number) => {
      if (confirmId !== 0n) stream.send({ confirmations: [{ confirmId }] });
      if (open === undefined) return;
      opened(stream, SubscriptionKind.QUEUE);
      if (number > 0) return;
      stream.send({ notice: { kind: NoticeKind.CLOSING, retryAfterMs: 5_000 } });
      // On its way when the consumer left.
      deliver(stream, { lease: 1n, baseOffset: 0n, values: ['a'] });
      setTimeout(() => stream.end(), 50);
    };
    const consumer = client.consumer('t', 's');
    await until(() => (broker.consumes[1]?.said.length ?? 0) >= 2);
    expect(broker.consumes[1]?.said.flatMap(({ acks }) => acks)).toEqual([]);
    expect(broker.consumes[1]?.said[1]?.credit?.records).toBe(1_000);
    await consumer.close();
  });
});

describe('a consumer that waits for a confirmation', () => {
  it('says it again on the next connection, until it is durable', async () => {
    broker.onConsume = (stream, { open, confirmId }, number) => {
      if (open !== undefined) {
        opened(stream, SubscriptionKind.QUEUE);
        if (number === 0) deliver(stream, { lease: 4n, baseOffset: 7n, values: ['a'] });
      }
      if (confirmId === 0n) return;
      // The answer is lost with the connection.
      if (number === 0) stream.fail('SHUTTING_DOWN');
      else stream.send({ confirmations: [{ confirmId }] });
    };
    const consumer = client.consumer('t', 's');
    await (await take(consumer)).ackConfirmed();
    expect(ranges(broker.consumes[1])).toMatchObject([
      { firstOffset: 7n, lastOffset: 7n, verb: AckVerb.ACK, lease: 4n },
    ]);
    await consumer.close();
  });

  it('is told which acks failed, and those only', async () => {
    broker.onConsume = (stream, { open, confirmId }) => {
      if (open !== undefined) {
        opened(stream, SubscriptionKind.QUEUE);
        deliver(stream, { lease: 1n, baseOffset: 0n, values: ['a'] });
        deliver(stream, { lease: 2n, baseOffset: 1n, values: ['b'] });
      }
      if (confirmId === 0n) return;
      const error = create(ErrorSchema, { code: 9, reason: 'LEASE_LOST', effect: Effect.NONE });
      const failure = create(AckFailureSchema, { lease: 1n, error });
      stream.send({ confirmations: [{ confirmId, failures: [failure] }] });
    };
    const consumer = client.consumer('t', 's');
    const messages = [await take(consumer), await take(consumer)];
    const outcomes = await Promise.allSettled(messages.map((message) => message.ackConfirmed()));
    expect(outcomes).toMatchObject([
      { status: 'rejected', reason: { kind: 'conflict', reason: 'LEASE_LOST' } },
      { status: 'fulfilled' },
    ]);
    await consumer.close();
  });

  it('fails with CLIENT_CLOSED when the consumer closes and the broker says nothing', async () => {
    broker.onConsume = (stream, { open }) => {
      if (open === undefined) return;
      opened(stream, SubscriptionKind.QUEUE);
      deliver(stream, { lease: 1n, baseOffset: 0n, values: ['a'] });
    };
    const consumer = client.consumer('t', 's', { closeTimeoutMs: 100 });
    const confirmed = (await take(consumer)).ackConfirmed();
    const [closing] = await Promise.allSettled([confirmed, consumer.close()]);
    expect(closing).toMatchObject({ status: 'rejected', reason: { reason: 'CLIENT_CLOSED' } });
  });
});

describe('a consumer whose application never waits', () => {
  it('says everything, in frames that a broker takes', async () => {
    const [count, framesMaxRanges] = [20_000, 4_096];
    broker.onConsume = (stream, { open, confirmId }) => {
      if (confirmId !== 0n) stream.send({ confirmations: [{ confirmId }] });
      if (open === undefined) return;
      opened(stream, SubscriptionKind.QUEUE);
      const values = Array.from({ length: count }, (_, i) => `${i}`);
      deliver(stream, { lease: 1n, baseOffset: 0n, values });
    };
    const consumer = client.consumer('t', 's', { prefetchRecords: count });
    const confirmed: Promise<void>[] = [];
    for (let i = 0; i < count; i++) {
      const message = await take(consumer);
      // Neighbours are joined into ranges: every other one, and in two ways, so that nothing is.
      if (i % 4 === 0) message.ack();
      else if (i % 4 === 2) confirmed.push(message.ackConfirmed());
      else message.nack();
    }
    await Promise.all(confirmed);
    const [stream] = broker.consumes;
    const frames = stream?.said.map(({ acks }) => acks.length) ?? [];
    expect(Math.max(...frames)).toBeLessThanOrEqual(2 * framesMaxRanges);
    const said = new Set(ranges(stream).map(({ firstOffset }) => firstOffset));
    expect(said.size).toBe(count);
    await consumer.close();
  });
});

describe('a consumer of a stream', () => {
  it('hands out nothing of a partition that went to another consumer', async () => {
    broker.onConsume = (stream, { open, confirmId }) => {
      if (confirmId !== 0n) stream.send({ confirmations: [{ confirmId }] });
      if (open === undefined) return;
      opened(stream, SubscriptionKind.STREAM);
      stream.send({ assignment: { active: [0, 1] } });
      deliver(stream, { partition: 0, baseOffset: 0n, values: ['a', 'b'] });
      deliver(stream, { partition: 1, baseOffset: 0n, values: ['x'] });
      stream.send({ assignment: { active: [1] } });
    };
    const consumer = client.consumer('t', 's');
    await until(() => broker.consumes[0]?.said.some(({ credit }) => credit !== undefined) === true);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect((await take(consumer)).text()).toBe('x');
    await consumer.close();
  });
});

describe('a stream whose position was moved', () => {
  it('is handed out from there, and what was handed out before cannot move it back', async () => {
    broker.onConsume = (stream, { open, confirmId }) => {
      if (confirmId !== 0n) stream.send({ confirmations: [{ confirmId }] });
      if (open === undefined) return;
      opened(stream, SubscriptionKind.STREAM);
      stream.send({ assignment: { active: [0, 1] } });
      deliver(stream, { partition: 0, baseOffset: 10n, values: ['10', '11', '12'] });
      deliver(stream, { partition: 1, baseOffset: 5n, values: ['other'] });
    };
    const consumer = client.consumer('t', 's');
    const before = await take(consumer);
    expect(before.text()).toBe('10');
    const [stream] = broker.consumes;
    stream?.send({
      deliveries: [
        { partition: 0, baseOffset: 2n, batch: { records: [{ value: Buffer.from('2') }] } },
      ],
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect([(await take(consumer)).text(), (await take(consumer)).text()]).toEqual(['other', '2']);
    before.ack();
    await expect(before.ackConfirmed()).rejects.toMatchObject({ reason: 'LEASE_LOST' });
    await consumer.close();
    expect(ranges(stream)).toEqual([]);
  });
});

describe('a consumer that is handed a damaged batch', () => {
  it('ends with BATCH_DAMAGED, and the records before it were handed out', async () => {
    broker.onConsume = (stream, { open }) => {
      if (open === undefined) return;
      opened(stream, SubscriptionKind.QUEUE);
      deliver(stream, { lease: 1n, baseOffset: 0n, values: ['a'] });
      const compressedRecords = gzipSync('not records');
      stream.send({
        deliveries: [
          {
            lease: 2n,
            attempt: 1,
            baseOffset: 1n,
            batch: {
              compression: Compression.GZIP,
              compressedRecords,
              recordCount: 2,
              openedBytes: 11,
            },
          },
        ],
      });
    };
    const consumer = client.consumer('t', 's');
    expect((await take(consumer)).text()).toBe('a');
    await expect(take(consumer)).rejects.toMatchObject({ reason: 'BATCH_DAMAGED' });
  });
});

describe('deadlines', () => {
  it('are moved on for what is held, but not brought nearer than the application asked for', async () => {
    broker.onConsume = (stream, { open }) => {
      if (open === undefined) return;
      opened(stream, SubscriptionKind.QUEUE, 300);
      deliver(stream, { lease: 1n, baseOffset: 0n, values: ['a'] });
      deliver(stream, { lease: 2n, baseOffset: 1n, values: ['b'] });
    };
    const consumer = client.consumer('t', 's');
    (await take(consumer)).extend(60_000);
    await take(consumer);
    const extended = () => ranges(broker.consumes[0]).filter(({ verb }) => verb === AckVerb.EXTEND);
    await until(() => extended().length >= 4);
    expect(extended().filter(({ lease }) => lease === 1n)).toMatchObject([{ delayMs: 60_000 }]);
    broker.consumes[0]?.fail('SUBSCRIPTION_NOT_FOUND');
    await expect(take(consumer)).rejects.toMatchObject({ reason: 'SUBSCRIPTION_NOT_FOUND' });
  });
});
