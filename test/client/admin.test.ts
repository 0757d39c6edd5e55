// Administration through the SDK against a real broker: plain values in, plain values out.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, type Client } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';

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

describe('topics', () => {
  it('are created once, changed, and say what was done', async () => {
    const created = await client.topics.apply('a', { partitions: 2 });
    expect(created).toMatchObject({
      created: true,
      topic: { name: 'public/default/a', spec: { partitions: 2 } },
    });
    expect(await client.topics.apply('a', { partitions: 2 })).toMatchObject({
      created: false,
      changes: [],
    });
    const retention = { ageMs: 60_000, bytes: 1_000_000, forever: false, unackedAgeMs: 120_000 };
    const changed = await client.topics.apply('a', { retention });
    expect(changed.changes.length).toBeGreaterThan(0);
    expect(changed.topic.spec).toMatchObject({ partitions: 2, retention });
  });

  it('are compared by revision, and only looked at with dryRun', async () => {
    const { topic } = await client.topics.apply('b', {}, { revision: '0' });
    await expect(client.topics.apply('b', {}, { revision: '0' })).rejects.toMatchObject({
      kind: 'conflict',
      reason: 'REVISION_MISMATCH',
      effect: 'none',
    });
    const { revision } = topic;
    const planned = await client.topics.apply('b', { partitions: 3 }, { revision, dryRun: true });
    expect(planned.changes.length).toBeGreaterThan(0);
    expect((await client.topics.get('b')).spec.partitions).toBe(1);
  });

  it('are offloaded on demand, and say what is hot and what is cold', async () => {
    const tiering = { hotAgeMs: 60_000, hotBytes: 1024 };
    expect((await client.topics.apply('tiered', { tiering })).topic.spec.tiering).toEqual(tiering);
    const publisher = client.publisher('tiered');
    await Promise.all(Array.from({ length: 100 }, (_, i) => publisher.publish({ value: `${i}` })));
    const before = await client.topics.get('tiered');
    expect(before).toMatchObject({ coldBytes: 0, partitions: [{ offloadedEndOffset: 0 }] });
    const offloaded = await client.topics.offload('tiered', { wait: true });
    const after = await client.topics.get('tiered');
    expect(after).toMatchObject(offloaded);
    expect(after.partitions).toMatchObject([{ hotStartOffset: 0, offloadedEndOffset: 100 }]);
    expect(after.coldBytes).toBeGreaterThan(0);
    await expect(client.topics.offload('nowhere')).rejects.toMatchObject({ kind: 'missing' });
  });

  it('are listed over pages, by prefix', async () => {
    const names = Array.from(
      { length: 120 },
      (_, i) => `public/default/x${String(i).padStart(3, '0')}`,
    );
    await Promise.all(names.map((name) => client.topics.apply(name)));
    const listed: string[] = [];
    for await (const { name } of client.topics.list({ prefix: 'public/default/x' }))
      listed.push(name);
    expect(listed).toEqual(names);
  });

  it('say how much they hold and where', async () => {
    await client.topics.apply('c', { partitions: 2 });
    const publisher = client.publisher('c');
    await publisher.publish({ value: 'x', partition: 1 });
    await publisher.close();
    const topic = await client.topics.get('c');
    expect(topic.partitions).toMatchObject([
      { partition: 0, startOffset: 0, endOffset: 0, lastAppendTimeMs: 0, damage: '' },
      { partition: 1, startOffset: 0, endOffset: 1, damage: '' },
    ]);
    expect(topic.storedBytes).toBeGreaterThan(0);
    expect(Math.abs((topic.partitions[1]?.lastAppendTimeMs ?? 0) - Date.now())).toBeLessThan(
      10_000,
    );
    expect((await client.topics.locate('c')).map(({ partition }) => partition)).toEqual([0, 1]);
  });

  it('are gone when they are deleted, and another incarnation is left alone', async () => {
    const { topic } = await client.topics.apply('d');
    await expect(client.topics.delete('d', { topicId: '999999' })).rejects.toMatchObject({
      kind: expect.stringMatching(/missing|conflict/),
    });
    await client.topics.delete('d', { topicId: topic.topicId });
    await expect(client.topics.get('d')).rejects.toMatchObject({ reason: 'TOPIC_NOT_FOUND' });
  });
});

describe('subscriptions', () => {
  it('are created, listed, changed, paused and deleted', async () => {
    await client.topics.apply('s');
    const spec = { kind: 'queue', ackDeadlineMs: 5_000, start: { timeMs: 1_000 } } as const;
    expect(await client.subscriptions.apply('s', 'one', spec)).toMatchObject({
      created: true,
      subscription: { topic: 'public/default/s', name: 'one', spec },
    });
    await client.subscriptions.apply('s', 'two', { kind: 'stream' });
    const names: string[] = [];
    for await (const { name } of client.subscriptions.list('s')) names.push(name);
    expect(names).toEqual(['one', 'two']);
    await client.subscriptions.apply('s', 'one', { paused: true, backoffMinMs: 7 });
    expect((await client.subscriptions.get('s', 'one')).spec).toMatchObject({
      paused: true,
      backoffMinMs: 7,
      ackDeadlineMs: 5_000,
    });
    await client.subscriptions.delete('s', 'one');
    await expect(client.subscriptions.get('s', 'one')).rejects.toMatchObject({
      reason: 'SUBSCRIPTION_NOT_FOUND',
    });
  });

  it('are moved by a seek: all partitions, or those that are named', async () => {
    await client.topics.apply('sought', { partitions: 2 });
    await client.subscriptions.apply('sought', 'work', { kind: 'stream', start: 'earliest' });
    const publisher = client.publisher('sought');
    for (let i = 0; i < 20; i++) publisher.send({ value: 'x', partition: i % 2 });
    await publisher.close();
    await client.subscriptions.seek('sought', 'work', {
      all: 'latest',
      to: [{ partition: 1, position: { offset: 4 } }],
    });
    const { partitions } = await client.subscriptions.get('sought', 'work');
    expect(partitions.map(({ ackedOffset, backlog }) => [ackedOffset, backlog])).toEqual([
      [10, 0],
      [4, 6],
    ]);
  });
});

describe('the cluster', () => {
  it('says who answers and which limits hold', async () => {
    const cluster = await client.cluster();
    expect(cluster.brokers.map(({ address }) => address)).toEqual([broker.server]);
    expect(cluster.limits.batchBytesMax).toBeGreaterThan(1_000_000);
  });

  it('says where cold records are, and since when records are only on the disk', async () => {
    const shardNow = async () => (await client.cluster()).shards.find(({ name }) => name === '0');
    const beforeMs = Date.now();
    await client.topics.apply('lagging');
    const publisher = client.publisher('lagging');
    await publisher.publish({ value: 'x' });
    await publisher.close();
    const waiting = await shardNow();
    expect(waiting).toMatchObject({ offloadFailure: '' });
    expect(waiting?.unoffloadedSinceMs).toBeGreaterThan(beforeMs - 60_000);
    expect(waiting?.unoffloadedSinceMs).toBeLessThanOrEqual(Date.now());
    for await (const { name } of client.topics.list()) {
      await client.topics.offload(name, { wait: true });
    }
    const offloaded = await shardNow();
    expect(offloaded).toMatchObject({ unoffloadedBytes: 0, unoffloadedSinceMs: 0 });
    expect(offloaded?.checkpointUploadedMs).toBeGreaterThanOrEqual(beforeMs);
    expect((await client.cluster()).objectStore).toMatch(/^file:\/\//);
  });
});
