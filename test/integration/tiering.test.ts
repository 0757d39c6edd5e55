// Tiered storage as clients see it, on a broker in this process whose object store a test can spoil.
import { readFile, rename, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { failureOf, forever, TieredBroker, valuesFrom } from '../support/tiered-broker.ts';

let tiered: TieredBroker;

beforeEach(async () => {
  tiered = await TieredBroker.start();
});

afterEach(() => tiered[Symbol.asyncDispose]());

describe('one log over disk and store', () => {
  it('is read as it was published, by readers, streams and queues, with what follows hot', async () => {
    await tiered.publishCold('t', 3_000);
    await tiered.publish('t', 500, 3_000);
    expect(await tiered.read('t', 'earliest')).toEqual(valuesFrom(0, 3_500));
    expect(await tiered.read('t', 2_990)).toEqual(valuesFrom(2_990, 510));
    for (const kind of ['stream', 'queue'] as const) {
      await tiered.client.subscriptions.apply('t', kind, { kind, start: 'earliest' });
      const consumer = tiered.client.consumer('t', kind);
      const seen = new Set<string>();
      for await (const message of consumer) {
        seen.add(message.text());
        message.ack();
        if (seen.size === 3_500) break;
      }
      await consumer.close();
      expect([...seen].sort()).toEqual(valuesFrom(0, 3_500).sort());
    }
  });

  it('is sought by time, in the cold part and in the hot one', async () => {
    await tiered.client.topics.apply('t', { retention: forever });
    await tiered.publish('t', 10);
    const between = Date.now() + 1;
    await expect.poll(() => Date.now()).toBeGreaterThan(between);
    await tiered.publish('t', 10, 10);
    await tiered.client.topics.offload('t', { wait: true });
    const later = Date.now() + 1;
    await expect.poll(() => Date.now()).toBeGreaterThan(later);
    await tiered.publish('t', 10, 20);
    for (const [timeMs, first] of [
      [0, 0],
      [between, 10],
      [later, 20],
    ] as const) {
      const reader = tiered.client.reader('t', { from: { timeMs }, stopAtEnd: true });
      const values: string[] = [];
      for await (const record of reader) values.push(record.text());
      expect(values).toEqual(valuesFrom(first, 30 - first));
    }
  });

  it('loses expired segments as a whole; readers are told of the gap, and the objects go', async () => {
    await tiered.publishCold('t', 1_000);
    expect(await tiered.segmentPaths()).not.toEqual([]);
    const soon = { ageMs: 1, bytes: 0, forever: false, unackedAgeMs: 0 };
    await tiered.client.topics.apply('t', { retention: soon });
    await expect
      .poll(async () => (await tiered.client.topics.get('t')).partitions[0]?.startOffset)
      .toBe(1_000);
    await expect.poll(() => tiered.segmentPaths(), { timeout: 5_000 }).toEqual([]);
    await tiered.client.topics.apply('t', { retention: forever });
    await tiered.publish('t', 5, 1_000);
    expect(await tiered.read('t', 'earliest')).toEqual(valuesFrom(1_000, 5));
  });

  it('of a deleted topic never shows in one of the same name, and its objects go', async () => {
    await tiered.publishCold('t', 500);
    await tiered.client.topics.delete('t');
    await tiered.client.topics.apply('t', { retention: forever });
    expect(await tiered.read('t', 'earliest')).toEqual([]);
    await tiered.publish('t', 3, 900);
    expect(await tiered.read('t', 'earliest')).toEqual(valuesFrom(900, 3));
    await expect.poll(() => tiered.segmentPaths(), { timeout: 5_000 }).toEqual([]);
  });
});

describe('a store that fails', () => {
  it.each(['away', 'read-only'] as const)(
    'because it is %s holds nobody up who does not need it, and offload catches up by itself',
    async (fault) => {
      await tiered.client.topics.apply('t', { retention: forever });
      tiered.store.fault = fault;
      await tiered.publish('t', 2_500);
      expect(await tiered.read('t', 'earliest')).toEqual(valuesFrom(0, 2_500));
      const failure = await failureOf(tiered.client.topics.offload('t', { wait: true }));
      expect(failure.reason).toBe('STORE_FAILED');
      const { shards } = await tiered.client.cluster();
      expect(shards.map(({ offloadFailure }) => offloadFailure).join('')).toContain('object store');
      expect((await tiered.client.topics.get('t')).partitions).toMatchObject([
        { hotStartOffset: 0 },
      ]);
      tiered.store.fault = 'none';
      await expect
        .poll(async () => (await tiered.client.topics.get('t')).coldBytes, { timeout: 15_000 })
        .toBeGreaterThan(2_000_000);
      expect(await tiered.read('t', 'earliest')).toEqual(valuesFrom(0, 2_500));
    },
  );

  it('after its writes took effect has them once', async () => {
    await tiered.client.topics.apply('t', { retention: forever });
    await tiered.publish('t', 1_500);
    tiered.store.fault = 'put answers lost';
    await tiered.client.topics.offload('t', { wait: true });
    tiered.store.fault = 'none';
    expect(await tiered.read('t', 'earliest')).toEqual(valuesFrom(0, 1_500));
    expect((await tiered.segmentPaths()).length).toBeGreaterThan(0);
  });

  it.each(['wrong bytes once', 'truncated'] as const)(
    'with %s is not believed when it reads back',
    async (fault) => {
      await tiered.client.topics.apply('t', { retention: forever });
      await tiered.publish('t', 1_500);
      tiered.store.fault = fault;
      await tiered.client.topics.offload('t', { wait: true }).catch(() => undefined);
      expect(await tiered.read('t', 'earliest')).toEqual(valuesFrom(0, 1_500));
      tiered.store.fault = 'none';
      await tiered.client.topics.offload('t', { wait: true });
      expect(await tiered.read('t', 'earliest')).toEqual(valuesFrom(0, 1_500));
    },
  );

  it('blocks who needs cold records, says so, and lets them go on', async () => {
    await tiered.publishCold('t', 2_000);
    tiered.store.fault = 'away';
    await tiered.client.subscriptions.apply('t', 'q', { kind: 'queue', start: 'earliest' });
    const consumer = tiered.client.consumer('t', 'q');
    const seen = new Set<string>();
    const consuming = (async () => {
      for await (const message of consumer) {
        seen.add(message.text());
        message.ack();
        if (seen.size === 2_000) break;
      }
    })();
    const reading = tiered.read('t', 'earliest');
    await expect
      .poll(
        async () => (await tiered.client.subscriptions.get('t', 'q')).partitions[0]?.blockReasons,
      )
      .toContain('cold read failing');
    await tiered.client.topics.apply('other');
    await tiered.publish('other', 10);
    expect(await tiered.read('other', 'earliest')).toEqual(valuesFrom(0, 10));
    tiered.store.fault = 'none';
    await consuming;
    await consumer.close();
    expect(await reading).toEqual(valuesFrom(0, 2_000));
  });

  it('with wrong bytes on the way is asked again', async () => {
    await tiered.publishCold('t', 2_000);
    tiered.store.fault = 'wrong bytes once';
    expect(await tiered.read('t', 'earliest')).toEqual(valuesFrom(0, 2_000));
  });
});

describe('damage in the store', () => {
  it('is DATA_LOSS for exactly its range, and heals when the object is restored', async () => {
    await tiered.publishCold('t', 2_000);
    const [path = ''] = await tiered.segmentPaths();
    const good = await readFile(path);
    const bad = Buffer.from(good);
    const at = bad.length >> 1;
    bad[at] = (bad[at] ?? 0) ^ 1;
    await writeFile(path, bad);
    const failure = await failureOf(tiered.read('t', 'earliest'));
    expect(failure.reason).toBe('DATA_LOSS');
    const first = Number(failure.metadata['first_offset']);
    const last = Number(failure.metadata['last_offset']);
    expect(last - first).toBeLessThan(1_100);
    expect(await tiered.read('t', last + 1)).toEqual(valuesFrom(last + 1, 2_000 - last - 1));
    expect((await tiered.client.topics.get('t')).partitions[0]?.damage).not.toBe('');
    await writeFile(path, good);
    await expect
      .poll(() => tiered.read('t', 'earliest').catch(() => []), { timeout: 20_000, interval: 500 })
      .toEqual(valuesFrom(0, 2_000));
  });

  it('is told for a lost object with its offsets; what is hot is read', async () => {
    await tiered.publishCold('t', 1_000);
    const [path = ''] = await tiered.segmentPaths();
    await rename(path, `${path}.away`);
    await tiered.publish('t', 5, 1_000);
    const failure = await failureOf(tiered.read('t', 'earliest'));
    expect(failure).toMatchObject({ reason: 'DATA_LOSS', metadata: { first_offset: '0' } });
    const last = Number(failure.metadata['last_offset']);
    expect(await tiered.read('t', last + 1)).toEqual(valuesFrom(last + 1, 1_005 - last - 1));
    expect(await tiered.read('t', 1_000)).toEqual(valuesFrom(1_000, 5));
    await rename(`${path}.away`, path);
    expect(await tiered.read('t', 'earliest')).toEqual(valuesFrom(0, 1_005));
  });
});
