// Offload on demand against a scripted broker: how long the call may take, and what it is told.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connect, type Client } from '../../client/src/index.ts';
import type { OffloadTopicRequest } from '../../proto/gen/millrace/v1/topic_pb.ts';
import { FakeBroker } from './fake-broker.ts';

const callTimeoutMs = 200;

let broker: FakeBroker;
let client: Client;
let asked: OffloadTopicRequest[];
/** Resolved by a test that wants the broker to answer. */
let done: PromiseWithResolvers<void>;

beforeEach(async () => {
  asked = [];
  done = Promise.withResolvers();
  broker = await FakeBroker.start();
  broker.onOffload = async (request) => {
    asked.push(request);
    await done.promise;
    const partitions = [
      {
        partition: 0,
        startOffset: 10n,
        endOffset: 100n,
        hotStartOffset: 60n,
        offloadedEndOffset: 90n,
        storedBytes: 900n,
        hotBytes: 400n,
        coldBytes: 800n,
      },
    ];
    return { status: { partitions, storedBytes: 900n, hotBytes: 400n, coldBytes: 800n } };
  };
  client = connect({ server: broker.server, callTimeoutMs });
});

afterEach(async () => {
  done.resolve();
  await client.close();
  await broker[Symbol.asyncDispose]();
});

describe('an offload', () => {
  it('that is waited for outlives the time of a call, and says what is where', async () => {
    const waited = client.topics.offload('orders', { wait: true });
    await expect.poll(() => asked).toMatchObject([{ name: 'orders', wait: true }]);
    // Asked for later, and given up before: the time of a call has passed.
    await expect(client.topics.offload('orders')).rejects.toMatchObject({
      reason: 'DEADLINE_EXCEEDED',
    });
    done.resolve();
    expect(await waited).toMatchObject({
      storedBytes: 900,
      hotBytes: 400,
      coldBytes: 800,
      partitions: [
        {
          startOffset: 10,
          endOffset: 100,
          hotStartOffset: 60,
          offloadedEndOffset: 90,
          hotBytes: 400,
          coldBytes: 800,
        },
      ],
    });
  });

  it('is given up at its deadline, with an unknown effect', async () => {
    await expect(
      client.topics.offload('orders', { wait: true, deadlineMs: 50 }),
    ).rejects.toMatchObject({
      kind: 'unavailable',
      reason: 'DEADLINE_EXCEEDED',
      effect: 'unknown',
    });
  });

  it('may be given longer than a call without being waited for', async () => {
    const longer = client.topics.offload('orders', { deadlineMs: 60_000 });
    await expect.poll(() => asked).toMatchObject([{ wait: false }]);
    await expect(client.topics.offload('orders')).rejects.toMatchObject({
      reason: 'DEADLINE_EXCEEDED',
    });
    done.resolve();
    expect(await longer).toMatchObject({ coldBytes: 800 });
  });

  it.each([0, -1, Number.NaN, Infinity])('with a deadline of %d ms is refused', async (ms) => {
    await expect(client.topics.offload('orders', { deadlineMs: ms })).rejects.toMatchObject({
      kind: 'invalid',
      reason: 'ARGUMENT_INVALID',
      effect: 'none',
    });
    expect(asked).toEqual([]);
  });
});

describe('a spec', () => {
  it.each([
    { tiering: { hotAgeMs: 1.5, hotBytes: 0 } },
    { tiering: { hotAgeMs: 0, hotBytes: -1 } },
    { tiering: { hotAgeMs: 0, hotBytes: Number.NaN } },
    { retention: { ageMs: Infinity, bytes: 0, forever: false, unackedAgeMs: 0 } },
  ])('with an amount that is none is refused before it is sent: %j', async (spec) => {
    await expect(client.topics.apply('orders', spec)).rejects.toMatchObject({
      kind: 'invalid',
      reason: 'ARGUMENT_INVALID',
    });
  });
});
