// Faults of the object store that are rarer than "away": each holds up what needs it, says so, and passes by itself.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { failureOf, forever, TieredBroker, valuesFrom } from '../support/tiered-broker.ts';

let tiered: TieredBroker;

beforeEach(async () => {
  tiered = await TieredBroker.start({}, { manifestPageRows: 4 });
});

afterEach(() => tiered[Symbol.asyncDispose]());

const soon = { ageMs: 1, bytes: 0, forever: false, unackedAgeMs: 0 };

describe('a store that hangs', () => {
  it.each([
    ['at everything', () => true],
    ['when it lists', (key: string) => key === 'tenants/'],
  ] as const)(
    '%s holds up only who needs it, and the broker still ends in time',
    async (_, hits) => {
      await tiered.publishCold('t', 1_500);
      const { store } = tiered;
      store.hits = hits;
      store.fault = 'hangs';
      await tiered.publish('t', 1_500, 1_500);
      expect(await tiered.read('t', 1_500)).toEqual(valuesFrom(1_500, 1_500));
      await expect.poll(() => store.hanging, { timeout: 5_000 }).toBeGreaterThan(0);
      const startedMs = performance.now();
      await tiered.close();
      expect(performance.now() - startedMs).toBeLessThan(5_000);
    },
  );
});

describe('whatever a store does', () => {
  it.each([
    'away',
    'hangs',
    'read-only',
    'put answers lost',
    'wrong bytes once',
    'wrong bytes',
    'truncated',
    'lists fail',
    'deletes fail',
  ] as const)('publishing, hot reads, acks and administration go on: %s', async (fault) => {
    const { store, client } = tiered;
    store.fault = fault;
    await client.topics.apply('t', { retention: forever });
    await client.subscriptions.apply('t', 'q', { kind: 'queue', start: 'earliest' });
    await tiered.publish('t', 500);
    expect(await tiered.read('t')).toEqual(valuesFrom(0, 500));
    const consumer = client.consumer('t', 'q');
    let acked = 0;
    for await (const message of consumer) {
      await message.ackConfirmed();
      if (++acked === 100) break;
    }
    await consumer.close();
    expect((await client.subscriptions.get('t', 'q')).partitions).toMatchObject([{ backlog: 400 }]);
    await client.subscriptions.delete('t', 'q');
    await client.topics.delete('t');
  });
});

describe('an object that is written', () => {
  it.each(['wrong bytes', 'truncated'] as const)(
    'and reads back with %s is not relied on: nothing leaves the disk until one reads back right',
    async (fault) => {
      const { store, client } = tiered;
      await client.topics.apply('t', { retention: forever });
      store.fault = fault;
      await tiered.publish('t', 2_500);
      const refusal = await failureOf(client.topics.offload('t', { wait: true }));
      expect(refusal.reason).toBe('STORE_FAILED');
      expect(await tiered.partition('t')).toMatchObject({ hotStartOffset: 0, coldBytes: 0 });
      store.fault = 'none';
      await expect
        .poll(async () => (await tiered.partition('t')).coldBytes, { timeout: 10_000 })
        .toBeGreaterThan(2_000_000);
      expect(await tiered.read('t')).toEqual(valuesFrom(0, 2_500));
    },
  );

  it('without an answer is given up at its deadline, and written again under another name', async () => {
    const { store, client } = tiered;
    await client.topics.apply('t', { retention: forever });
    await tiered.publish('t', 300);
    store.hits = (key) => key.endsWith('.seg');
    store.fault = 'hangs';
    const offloading = client.topics.offload('t', { wait: true });
    await expect.poll(() => store.hanging).toBe(1);
    store.fault = 'none';
    expect((await failureOf(offloading)).reason).toBe('STORE_FAILED');
    await client.topics.offload('t', { wait: true });
    expect(await tiered.segmentPaths()).toHaveLength(1);
    expect(await tiered.read('t')).toEqual(valuesFrom(0, 300));
  });
});

describe('garbage in a store', () => {
  it('that refuses to list or to delete stays until it does, and nothing else is held up', async () => {
    const { store, client } = tiered;
    await tiered.publishCold('t', 1_500);
    for (const fault of ['lists fail', 'deletes fail'] as const) {
      store.fault = fault;
      await client.topics.apply('t', { retention: soon });
      const { endOffset } = await tiered.partition('t');
      await expect.poll(async () => (await tiered.partition('t')).startOffset).toBe(endOffset);
      const deletes = store.calls.get(fault === 'lists fail' ? 'list' : 'delete') ?? 0;
      await expect
        .poll(() => store.calls.get(fault === 'lists fail' ? 'list' : 'delete') ?? 0)
        .toBeGreaterThan(deletes + 1);
      expect(await tiered.segmentPaths()).not.toEqual([]);
      await tiered.publishCold('t', 500, endOffset);
      expect(await tiered.read('t', endOffset)).toEqual(valuesFrom(endOffset, 500));
      store.fault = 'none';
    }
    await client.topics.apply('t', { retention: soon });
    await expect.poll(() => tiered.segmentPaths(), { timeout: 5_000 }).toEqual([]);
  });

  it('that refuses to delete one object goes but for that one', async () => {
    const { store, client } = tiered;
    for (let i = 0; i < 4; i++) await tiered.publishCold('t', 200, i * 200);
    const [first = ''] = (await tiered.segmentPaths()).map((path) => path.split('/').at(-1));
    store.hits = (key) => key.endsWith(first);
    store.fault = 'deletes fail';
    await client.topics.delete('t');
    await expect.poll(async () => (await tiered.segmentPaths()).length, { timeout: 5_000 }).toBe(1);
    store.fault = 'none';
    await expect.poll(() => tiered.segmentPaths(), { timeout: 5_000 }).toEqual([]);
  });
});

describe('a time while the store is away', () => {
  let atMs = 0;

  beforeEach(async () => {
    // In the middle of a segment: the manifest alone cannot tell.
    await tiered.client.topics.apply('t', { retention: forever });
    await tiered.publish('t', 300);
    atMs = Date.now() + 1;
    await expect.poll(() => Date.now()).toBeGreaterThan(atMs);
    await tiered.publishCold('t', 300, 300);
    tiered.store.fault = 'away';
  });

  it('is waited for by a reader', async () => {
    const seen: string[] = [];
    const reading = (async () => {
      const reader = tiered.client.reader('t', { from: { timeMs: atMs }, stopAtEnd: true });
      for await (const record of reader) seen.push(record.text());
    })();
    const reads = tiered.store.calls.get('getRange') ?? 0;
    await expect.poll(() => tiered.store.calls.get('getRange')).toBeGreaterThan(reads + 3);
    tiered.store.fault = 'none';
    await reading;
    expect(seen).toEqual(valuesFrom(300, 300));
  });

  it('cannot be sought, and the subscription stays where it is', async () => {
    const { client, store } = tiered;
    await client.subscriptions.apply('t', 's', { kind: 'stream', start: 'latest' });
    const refusal = await failureOf(client.subscriptions.seek('t', 's', { all: { timeMs: atMs } }));
    expect(refusal.reason).toBe('STORE_FAILED');
    const { partitions } = await client.subscriptions.get('t', 's');
    expect(partitions).toMatchObject([{ backlog: 0 }]);
    store.fault = 'none';
    await client.subscriptions.seek('t', 's', { all: { timeMs: atMs } });
    expect((await client.subscriptions.get('t', 's')).partitions).toMatchObject([{ backlog: 300 }]);
  });

  it('is no start of a subscription: nothing is created, and the same request works later', async () => {
    const { client, store } = tiered;
    const spec = { kind: 'queue', start: { timeMs: atMs } } as const;
    const refusal = await failureOf(client.subscriptions.apply('t', 's', spec));
    expect(refusal.reason).toBe('STORE_FAILED');
    expect((await failureOf(client.subscriptions.get('t', 's'))).reason).toBe(
      'SUBSCRIPTION_NOT_FOUND',
    );
    store.fault = 'none';
    await client.subscriptions.apply('t', 's', spec);
    expect((await client.subscriptions.get('t', 's')).partitions).toMatchObject([{ backlog: 300 }]);
  });
});
