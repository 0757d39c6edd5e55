// Tiered storage as clients see it, on a broker in this process whose object store a test can spoil.
import { mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startBroker, type RunningBroker } from '../../broker/main.ts';
import { readSettings } from '../../broker/settings.ts';
import { connect, MillraceError, type Client } from '../../client/src/index.ts';
import { FaultyStore } from '../support/faulty-store.ts';

const flags = {
  listen: '127.0.0.1:0',
  httpListen: '127.0.0.1:0',
  logLevel: 'error',
  logFormat: 'text',
  generationBytes: '1M',
  /** What the store has leaves the disk at once. */
  hotBytes: '1',
  retentionIntervalMs: '50',
  garbageIntervalMs: '100',
  garbageGraceMs: '0',
  checkpointUploadIntervalMs: '100',
  coldCacheBytes: '8M',
};

let directory = '';
let store: FaultyStore;
let broker: RunningBroker;
let client: Client;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-tiering-'));
  const settings = readSettings({ ...flags, dataDir: directory }, {});
  const onFatal = (error: Error): void => {
    throw error;
  };
  broker = await startBroker(settings, onFatal, {
    wrapStore: (inner) => (store = new FaultyStore(inner)),
  });
  client = connect({ server: broker.grpcAddress });
});

afterEach(async () => {
  store.fault = 'none';
  await client.close();
  await broker.close();
  await rm(directory, { recursive: true, force: true });
});

const forever = { ageMs: 0, bytes: 0, forever: true, unackedAgeMs: 0 };

async function publish(topic: string, count: number, from = 0): Promise<void> {
  const publisher = client.publisher(topic);
  const values = Array.from({ length: count }, (_, i) => valueOf(from + i));
  await Promise.all(values.map((value) => publisher.publish({ value })));
  await publisher.close();
}

function valueOf(i: number): string {
  return `${i} `.padEnd(1000, String(i % 10));
}

/** Publishes, offloads, and waits until the disk has nothing of it any more. */
async function publishCold(topic: string, count: number): Promise<void> {
  await client.topics.apply(topic, { retention: forever });
  await publish(topic, count);
  await client.topics.offload(topic, { wait: true });
  await client.topics.apply('filler');
  await expect
    .poll(
      async () => {
        // A file leaves the disk when a checkpoint in a later one has made replay independent of it.
        await publish('filler', 1);
        await client.topics.offload('filler', { wait: true });
        return (await client.topics.get(topic)).partitions[0]?.hotStartOffset;
      },
      { timeout: 5_000 },
    )
    .toBe(count);
}

async function readValues(topic: string, from: number | 'earliest' = 'earliest') {
  const values: string[] = [];
  const start = from === 'earliest' ? from : { offset: from };
  const reader = client.reader(topic, { from: start, stopAtEnd: true });
  for await (const record of reader) values.push(record.text());
  return values;
}

function numbersFrom(first: number, count: number): string[] {
  return Array.from({ length: count }, (_, i) => valueOf(first + i));
}

async function segmentPaths(): Promise<string[]> {
  const root = join(directory, 'objects', 'tenants');
  const names = await readdir(root, { recursive: true }).catch(() => []);
  const paths = names.filter((name) => name.endsWith('.seg')).map((name) => join(root, name));
  const sizes = await Promise.all(paths.map(async (path) => (await stat(path)).size));
  // Not the filler's.
  return paths.filter((_, i) => (sizes[i] ?? 0) > 2_000).sort();
}

async function failureOf(promise: Promise<unknown>): Promise<MillraceError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof MillraceError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

describe('one log over disk and store', () => {
  it('is read as it was published, by readers, streams and queues, with what follows hot', async () => {
    await publishCold('t', 3_000);
    await publish('t', 500, 3_000);
    expect(await readValues('t')).toEqual(numbersFrom(0, 3_500));
    expect(await readValues('t', 2_990)).toEqual(numbersFrom(2_990, 510));
    for (const kind of ['stream', 'queue'] as const) {
      await client.subscriptions.apply('t', kind, { kind, start: 'earliest' });
      const consumer = client.consumer('t', kind);
      const seen = new Set<string>();
      for await (const message of consumer) {
        seen.add(message.text());
        message.ack();
        if (seen.size === 3_500) break;
      }
      await consumer.close();
      expect([...seen].sort()).toEqual(numbersFrom(0, 3_500).sort());
    }
  });

  it('is sought by time, in the cold part and in the hot one', async () => {
    await client.topics.apply('t', { retention: forever });
    await publish('t', 10);
    const between = Date.now() + 1;
    await expect.poll(() => Date.now()).toBeGreaterThan(between);
    await publish('t', 10, 10);
    await client.topics.offload('t', { wait: true });
    const later = Date.now() + 1;
    await expect.poll(() => Date.now()).toBeGreaterThan(later);
    await publish('t', 10, 20);
    for (const [timeMs, first] of [
      [0, 0],
      [between, 10],
      [later, 20],
    ] as const) {
      const reader = client.reader('t', { from: { timeMs }, stopAtEnd: true });
      const values: string[] = [];
      for await (const record of reader) values.push(record.text());
      expect(values).toEqual(numbersFrom(first, 30 - first));
    }
  });

  it('loses expired segments as a whole; readers are told of the gap, and the objects go', async () => {
    await publishCold('t', 1_000);
    expect(await segmentPaths()).not.toEqual([]);
    const soon = { ageMs: 1, bytes: 0, forever: false, unackedAgeMs: 0 };
    await client.topics.apply('t', { retention: soon });
    await expect
      .poll(async () => (await client.topics.get('t')).partitions[0]?.startOffset)
      .toBe(1_000);
    await expect.poll(segmentPaths, { timeout: 5_000 }).toEqual([]);
    await client.topics.apply('t', { retention: forever });
    await publish('t', 5, 1_000);
    expect(await readValues('t')).toEqual(numbersFrom(1_000, 5));
  });

  it('of a deleted topic never shows in one of the same name, and its objects go', async () => {
    await publishCold('t', 500);
    await client.topics.delete('t');
    await client.topics.apply('t', { retention: forever });
    expect(await readValues('t')).toEqual([]);
    await publish('t', 3, 900);
    expect(await readValues('t')).toEqual(numbersFrom(900, 3));
    await expect.poll(segmentPaths, { timeout: 5_000 }).toEqual([]);
  });
});

describe('a store that fails', () => {
  it.each(['away', 'read-only'] as const)(
    'because it is %s holds nobody up who does not need it, and offload catches up by itself',
    async (fault) => {
      await client.topics.apply('t', { retention: forever });
      store.fault = fault;
      await publish('t', 2_500);
      expect(await readValues('t')).toEqual(numbersFrom(0, 2_500));
      const failure = await failureOf(client.topics.offload('t', { wait: true }));
      expect(failure.reason).toBe('STORE_FAILED');
      const { shards } = await client.cluster();
      expect(shards.map(({ offloadFailure }) => offloadFailure).join('')).toContain('object store');
      expect((await client.topics.get('t')).partitions).toMatchObject([{ hotStartOffset: 0 }]);
      store.fault = 'none';
      await expect
        .poll(async () => (await client.topics.get('t')).coldBytes, { timeout: 15_000 })
        .toBeGreaterThan(2_000_000);
      expect(await readValues('t')).toEqual(numbersFrom(0, 2_500));
    },
  );

  it('after its writes took effect has them once', async () => {
    await client.topics.apply('t', { retention: forever });
    await publish('t', 1_500);
    store.fault = 'put answers lost';
    await client.topics.offload('t', { wait: true });
    store.fault = 'none';
    expect(await readValues('t')).toEqual(numbersFrom(0, 1_500));
    expect((await segmentPaths()).length).toBeGreaterThan(0);
  });

  it.each(['wrong bytes once', 'truncated'] as const)(
    'with %s is not believed when it reads back',
    async (fault) => {
      await client.topics.apply('t', { retention: forever });
      await publish('t', 1_500);
      store.fault = fault;
      await client.topics.offload('t', { wait: true }).catch(() => undefined);
      expect(await readValues('t')).toEqual(numbersFrom(0, 1_500));
      store.fault = 'none';
      await client.topics.offload('t', { wait: true });
      expect(await readValues('t')).toEqual(numbersFrom(0, 1_500));
    },
  );

  it('blocks who needs cold records, says so, and lets them go on', async () => {
    await publishCold('t', 2_000);
    store.fault = 'away';
    await client.subscriptions.apply('t', 'q', { kind: 'queue', start: 'earliest' });
    const consumer = client.consumer('t', 'q');
    const seen = new Set<string>();
    const consuming = (async () => {
      for await (const message of consumer) {
        seen.add(message.text());
        message.ack();
        if (seen.size === 2_000) break;
      }
    })();
    const reading = readValues('t');
    await expect
      .poll(async () => (await client.subscriptions.get('t', 'q')).partitions[0]?.blockReasons)
      .toContain('cold read failing');
    await client.topics.apply('other');
    await publish('other', 10);
    expect(await readValues('other')).toEqual(numbersFrom(0, 10));
    store.fault = 'none';
    await consuming;
    await consumer.close();
    expect(await reading).toEqual(numbersFrom(0, 2_000));
  });

  it('with wrong bytes on the way is asked again', async () => {
    await publishCold('t', 2_000);
    store.fault = 'wrong bytes once';
    expect(await readValues('t')).toEqual(numbersFrom(0, 2_000));
  });
});

describe('damage in the store', () => {
  it('is DATA_LOSS for exactly its range, and heals when the object is restored', async () => {
    await publishCold('t', 2_000);
    const [path = ''] = await segmentPaths();
    const good = await readFile(path);
    const bad = Buffer.from(good);
    const at = bad.length >> 1;
    bad[at] = (bad[at] ?? 0) ^ 1;
    await writeFile(path, bad);
    const failure = await failureOf(readValues('t'));
    expect(failure.reason).toBe('DATA_LOSS');
    const first = Number(failure.metadata['first_offset']);
    const last = Number(failure.metadata['last_offset']);
    expect(last - first).toBeLessThan(1_100);
    expect(await readValues('t', last + 1)).toEqual(numbersFrom(last + 1, 2_000 - last - 1));
    expect((await client.topics.get('t')).partitions[0]?.damage).not.toBe('');
    await writeFile(path, good);
    await expect
      .poll(() => readValues('t').catch(() => []), { timeout: 20_000, interval: 500 })
      .toEqual(numbersFrom(0, 2_000));
  });

  it('is told for a lost object with its offsets; what is hot is read', async () => {
    await publishCold('t', 1_000);
    const [path = ''] = await segmentPaths();
    await rename(path, `${path}.away`);
    await publish('t', 5, 1_000);
    const failure = await failureOf(readValues('t'));
    expect(failure).toMatchObject({ reason: 'DATA_LOSS', metadata: { first_offset: '0' } });
    const last = Number(failure.metadata['last_offset']);
    expect(await readValues('t', last + 1)).toEqual(numbersFrom(last + 1, 1_005 - last - 1));
    expect(await readValues('t', 1_000)).toEqual(numbersFrom(1_000, 5));
    await rename(`${path}.away`, path);
    expect(await readValues('t')).toEqual(numbersFrom(0, 1_005));
  });
});
