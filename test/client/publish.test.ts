// Publishers against a real broker.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, type Client, type MillraceError } from '../../client/src/index.ts';
import { murmur3 } from '../../proto/wire/murmur3.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { applyTopic, deleteTopic, readTopic } from './topic-fixture.ts';

let broker: BrokerProcess;
let client: Client;

beforeAll(async () => {
  broker = await BrokerProcess.start();
  client = connect({ server: broker.server });
});

afterAll(async () => {
  await client.close();
  await broker[Symbol.asyncDispose]();
});

describe('publish', () => {
  it('answers where each record is, and it is there', async () => {
    await applyTopic(broker.server, 'places');
    const publisher = client.publisher('places');
    const places = await Promise.all(
      ['a', 'b', 'c'].map((value) => publisher.publish({ key: 'k', value })),
    );
    expect(places).toEqual([0, 1, 2].map((offset) => ({ partition: 0, offset })));
    expect(await valuesOf('places')).toEqual(['a', 'b', 'c']);
    expect([...publisher.lastOffsets()]).toEqual([[0, 2]]);
    await publisher.close();
  });

  it('puts a key where murmur3 says, and a named partition before that', async () => {
    await applyTopic(broker.server, 'keys', { partitions: 7 });
    const publisher = client.publisher('keys');
    const keys = ['a', 'order-7', 'schlüssel', ''];
    for (const key of keys.slice(0, 3)) {
      const { partition } = await publisher.publish({ key, value: 'x' });
      expect(partition).toBe(murmur3(Buffer.from(key)) % 7);
      expect((await publisher.publish({ key, value: 'x', partition: 3 })).partition).toBe(3);
    }
    await publisher.close();
  });

  it('spreads batches of records without a key over all partitions', async () => {
    await applyTopic(broker.server, 'spread', { partitions: 3 });
    const publisher = client.publisher('spread');
    const partitions = new Set<number>();
    for (let i = 0; i < 6; i++) partitions.add((await publisher.publish({ value: '' })).partition);
    expect(partitions).toEqual(new Set([0, 1, 2]));
    await publisher.close();
  });

  it('keeps the order per partition of what is handed over at once', async () => {
    await applyTopic(broker.server, 'order', { partitions: 4 });
    const publisher = client.publisher('order', { batchBytes: 200 });
    const values = Array.from({ length: 5_000 }, (_, i) => String(i));
    for (const value of values) publisher.send({ key: `key-${Number(value) % 11}`, value });
    await publisher.flush();
    const stored = await readTopic(broker.server, 'order');
    expect(stored.map(({ value }) => value).sort(byNumber)).toEqual(values);
    for (let key = 0; key < 11; key++) {
      const mine = stored.filter((record) => record.key === `key-${key}`);
      expect(mine.map(({ value }) => Number(value))).toEqual(
        values.map(Number).filter((value) => value % 11 === key),
      );
    }
    await publisher.close();
  });

  it.each(['gzip', 'zstd'] as const)(
    'stores %s batches that open to what was handed over',
    async (how) => {
      await applyTopic(broker.server, how);
      const publisher = client.publisher(how, { compression: how, batchBytes: 2_000 });
      const values = Array.from({ length: 500 }, (_, i) => `value ${i} `.repeat(5));
      await Promise.all(values.map((value) => publisher.publish({ key: value, value })));
      expect(await valuesOf(how)).toEqual(values);
      await publisher.close();
    },
  );

  it('lets the application change its bytes once the call has returned', async () => {
    await applyTopic(broker.server, 'reuse');
    const publisher = client.publisher('reuse');
    const value = Buffer.from('first ');
    for (const next of ['second', 'third ', 'fourth']) {
      publisher.send({ value });
      value.write(next);
    }
    await publisher.flush();
    expect(await valuesOf('reuse')).toEqual(['first ', 'second', 'third ']);
    await publisher.close();
  });

  it('waits for the linger, and no longer', async () => {
    await applyTopic(broker.server, 'linger');
    const publisher = client.publisher('linger', { lingerMs: 200 });
    await publisher.publish({ value: 'opens' });
    const before = performance.now();
    await Promise.all([publisher.publish({ value: 'a' }), publisher.publish({ value: 'b' })]);
    expect(performance.now() - before).toBeGreaterThan(190);
    await publisher.close();
  });

  it('carries hundreds of publishers over one stream', async () => {
    const names = Array.from({ length: 500 }, (_, i) => `many-${i}`);
    await Promise.all(names.map((name) => applyTopic(broker.server, name)));
    const publishers = names.map((name) => client.publisher(name));
    await Promise.all(publishers.map((publisher) => publisher.publish({ value: 'x' })));
    const second = await Promise.all(
      publishers.map((publisher) => publisher.publish({ value: 'y' })),
    );
    expect(second.every(({ offset }) => offset === 1)).toBe(true);
    await Promise.all(publishers.map((publisher) => publisher.close()));
  });
});

describe('publishBatch', () => {
  it('answers the runs that the records were stored as', async () => {
    await applyTopic(broker.server, 'runs', { partitions: 2 });
    const publisher = client.publisher('runs', { batchBytes: 100 });
    const records = Array.from({ length: 10 }, (_, i) => ({ value: `value number ${i}` }));
    const runs = await publisher.publishBatch(records, { partition: 1 });
    expect(runs.every(({ partition }) => partition === 1)).toBe(true);
    expect(runs.length).toBeGreaterThan(1);
    expect(runs.reduce((sum, { recordCount }) => sum + recordCount, 0)).toBe(10);
    expect(runs.map(({ baseOffset }) => baseOffset)).toEqual(
      runs.map((_, i) => runs.slice(0, i).reduce((sum, { recordCount }) => sum + recordCount, 0)),
    );
    expect(await publisher.publishBatch([])).toEqual([]);
    await publisher.close();
  });

  it('stores records only at the offset that they expect, and goes on after a refusal', async () => {
    await applyTopic(broker.server, 'expected');
    const publisher = client.publisher('expected');
    const batch = (value: string, expectedOffset: number) =>
      publisher.publishBatch([{ value }, { value }], { expectedOffset });
    const outcomes = await Promise.allSettled([
      batch('a', 0),
      batch('b', 1),
      publisher.publish({ value: 'c' }),
      publisher.publish({ value: 'd' }),
      batch('e', 4),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'fulfilled',
      'fulfilled',
      'fulfilled',
    ]);
    expect(outcomes[1]).toMatchObject({ reason: { reason: 'OFFSET_MISMATCH', effect: 'none' } });
    expect(await valuesOf('expected')).toEqual(['a', 'a', 'c', 'd', 'e', 'e']);
    await publisher.close();
  });
});

describe('a record that cannot be stored', () => {
  it('fails alone', async () => {
    await applyTopic(broker.server, 'alone', { batchBytesMax: 1024 });
    const publisher = client.publisher('alone');
    const outcomes = await Promise.allSettled([
      publisher.publish({ value: 'a' }),
      publisher.publish({ value: 'x'.repeat(2_000) }),
      publisher.publish({ value: 'b', headers: { 'millrace-x': '' } }),
      publisher.publish({ value: 'c', partition: 1 }),
      publisher.publish({ value: 'd' }),
    ]);
    const reasons = outcomes.map((outcome) =>
      outcome.status === 'rejected' ? (outcome.reason as MillraceError).reason : 'stored',
    );
    expect(reasons).toEqual([
      'stored',
      'BATCH_TOO_LARGE',
      'RECORD_INVALID',
      'PARTITION_OUT_OF_RANGE',
      'stored',
    ]);
    expect(await valuesOf('alone')).toEqual(['a', 'd']);
    expect(() => publisher.send({ value: 'x'.repeat(2_000) })).toThrow(
      expect.objectContaining({ reason: 'BATCH_TOO_LARGE' }) as Error,
    );
    await publisher.close();
  });

  it('is told by flush and onError when nobody waits for it', async () => {
    const told: [string, number][] = [];
    const publisher = client.publisher('nowhere', {
      onError: ({ reason }, count) => told.push([reason, count]),
    });
    publisher.send({ value: 'a' });
    publisher.send({ value: 'b' });
    await expect(publisher.flush()).rejects.toMatchObject({ reason: 'TOPIC_NOT_FOUND' });
    expect(told).toEqual([
      ['TOPIC_NOT_FOUND', 1],
      ['TOPIC_NOT_FOUND', 1],
    ]);
    await publisher.flush();
    await publisher.close();
  });

  it('does not end the publisher: it works once the topic is there, also after a deletion', async () => {
    const publisher = client.publisher('later');
    await expect(publisher.publish({ value: 'a' })).rejects.toMatchObject({
      kind: 'missing',
      reason: 'TOPIC_NOT_FOUND',
    });
    await applyTopic(broker.server, 'later', { partitions: 2 });
    await publisher.publish({ value: 'b' });
    await deleteTopic(broker.server, 'later');
    await expect(publisher.publish({ value: 'c' })).rejects.toMatchObject({
      reason: 'TOPIC_NOT_FOUND',
    });
    await applyTopic(broker.server, 'later');
    expect(await publisher.publish({ value: 'd' })).toEqual({ partition: 0, offset: 0 });
    await publisher.close();
  });
});

describe('a named publisher', () => {
  it('fences the one before it, which fails from then on', async () => {
    await applyTopic(broker.server, 'fenced');
    const first = client.publisher('fenced', { publisher: 'orders' });
    await first.publish({ value: 'a' });
    const second = client.publisher('fenced', { publisher: 'orders' });
    await second.publish({ value: 'b' });
    await expect(first.publish({ value: 'c' })).rejects.toMatchObject({
      kind: 'conflict',
      reason: 'PUBLISHER_FENCED',
    });
    expect(() => first.send({ value: 'd' })).toThrow(
      expect.objectContaining({ reason: 'PUBLISHER_FENCED' }) as Error,
    );
    await second.publish({ value: 'e' });
    expect(await valuesOf('fenced')).toEqual(['a', 'b', 'e']);
    await first.close();
    await second.close();
  });
});

describe('back-pressure', () => {
  it('holds back at the window and lets go below it', async () => {
    await applyTopic(broker.server, 'pressure');
    const publisher = client.publisher('pressure', { windowBytes: 10_000 });
    expect(publisher.ready()).toBeUndefined();
    for (let i = 0; i < 100; i++) publisher.send({ value: 'x'.repeat(100) });
    const full = publisher.ready();
    expect(full).toBeInstanceOf(Promise);
    await full;
    expect(publisher.ready()).toBeUndefined();
    await publisher.close();
  });
});

describe('close', () => {
  it('waits for what was handed over, then accepts nothing more', async () => {
    await applyTopic(broker.server, 'closing');
    const publisher = client.publisher('closing');
    const published = publisher.publish({ value: 'a' });
    await publisher.close();
    expect(await published).toEqual({ partition: 0, offset: 0 });
    await expect(publisher.publish({ value: 'b' })).rejects.toMatchObject({
      reason: 'CLIENT_CLOSED',
      effect: 'none',
    });
    await publisher.close();
  });

  it('of the client closes its publishers first', async () => {
    await applyTopic(broker.server, 'client-closing');
    const other = connect({ server: broker.server });
    const published = other.publisher('client-closing').publish({ value: 'a' });
    await other.close();
    expect(await published).toEqual({ partition: 0, offset: 0 });
    await other.close();
    await expect(other.publisher('client-closing').publish({ value: 'b' })).rejects.toMatchObject({
      reason: 'CLIENT_CLOSED',
    });
  });
});

async function valuesOf(topic: string): Promise<string[]> {
  return (await readTopic(broker.server, topic)).map(({ value }) => value);
}

function byNumber(a: string, b: string): number {
  return Number(a) - Number(b);
}
