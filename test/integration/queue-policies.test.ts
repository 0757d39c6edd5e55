// What a queue's spec says beside the order of records, against a real broker: rate, pause, idle time.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, type Client } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';

let broker: BrokerProcess;
let client: Client;

beforeAll(async () => {
  broker = await BrokerProcess.start({ args: ['--retention-interval-ms', '100'] });
  client = connect({ server: broker.server });
});

afterAll(async () => {
  await client.close();
  await broker[Symbol.asyncDispose]();
});

/** Half a mebibyte of records of 8 KiB. */
async function publishHalfMebibyte(topic: string): Promise<void> {
  const publisher = client.publisher(topic, { batchBytes: 64 * 1024 });
  for (let i = 0; i < 64; i++) publisher.send({ value: Buffer.alloc(8 * 1024) });
  await publisher.close();
}

async function publish(topic: string, count: number): Promise<void> {
  const publisher = client.publisher(topic);
  for (let i = 0; i < count; i++) publisher.send({ value: `${i}` });
  await publisher.close();
}

describe('a rate of deliveries', () => {
  it('is kept over the partitions, says throttled, and changes at once', async () => {
    await client.topics.apply('slow', { partitions: 4 });
    await client.subscriptions.apply('slow', 'work', { kind: 'queue', recordsPerSecondMax: 100 });
    await publish('slow', 5_000);
    let seen = 0;
    const work = client.consume('slow', 'work', () => void seen++);
    await expect.poll(() => seen).toBeGreaterThan(0);
    const [from, fromMs] = [seen, performance.now()];
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    const rate = ((seen - from) * 1_000) / (performance.now() - fromMs);
    expect(rate).toBeGreaterThan(80);
    expect(rate).toBeLessThan(120);
    // Between two tokens; at the moment of a delivery nothing is held back.
    const reasons = async () =>
      (await client.subscriptions.get('slow', 'work')).partitions.flatMap(
        ({ blockReasons }) => blockReasons,
      );
    await expect.poll(reasons, { timeout: 10_000, interval: 7 }).toContain('throttled');
    await client.subscriptions.apply('slow', 'work', { recordsPerSecondMax: 0 });
    await expect.poll(() => seen, { timeout: 5_000 }).toBe(5_000);
    await work.close();
  }, 20_000);
});

describe('a pause', () => {
  it('delivers nothing, over a restart too, and lets what is in flight be acked', async () => {
    await client.topics.apply('paused');
    await client.subscriptions.apply('paused', 'work', { kind: 'queue' });
    await publish('paused', 10);
    const seen: number[] = [];
    const release = Promise.withResolvers<void>();
    const work = client.consume(
      'paused',
      'work',
      async ({ offset }) => {
        seen.push(offset);
        await release.promise;
      },
      { concurrency: 1, prefetchRecords: 1 },
    );
    await expect.poll(() => seen).toEqual([0]);
    await client.subscriptions.apply('paused', 'work', { paused: true });
    release.resolve();
    const status = async () => (await client.subscriptions.get('paused', 'work')).partitions[0];
    await expect.poll(status).toMatchObject({ backlog: 9, blockReasons: ['paused'] });
    await broker.kill('SIGTERM');
    await broker.restart();
    await expect.poll(status, { timeout: 10_000 }).toMatchObject({ backlog: 9 });
    expect(seen).toEqual([0]);
    await client.subscriptions.apply('paused', 'work', { paused: false });
    await expect.poll(() => seen.length, { timeout: 10_000 }).toBe(10);
    await work.close();
  }, 30_000);
});

describe('an idle time', () => {
  it('deletes the subscription when nobody has consumed it for so long, and not before', async () => {
    await client.topics.apply('idle');
    await client.subscriptions.apply('idle', 'temporary', { kind: 'queue', expiresAfterMs: 1_000 });
    await client.subscriptions.apply('idle', 'lasting', { kind: 'queue' });
    const work = client.consume('idle', 'temporary', () => {});
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect((await client.subscriptions.get('idle', 'temporary')).consumers).toHaveLength(1);
    await work.close();
    const names = async () => {
      const found: string[] = [];
      for await (const { name } of client.subscriptions.list('idle')) found.push(name);
      return found;
    };
    await expect.poll(names, { timeout: 5_000 }).toEqual(['lasting']);
  }, 20_000);
});

describe('a backlog quota', () => {
  const quota = { bytes: 1024 * 1024 } as const;

  it('refuses publishes with the reason until a subscription has caught up', async () => {
    await client.topics.apply('full', { backlogQuota: { ...quota, policy: 'refuse-publish' } });
    // Without a subscription nothing waits for anybody.
    for (let i = 0; i < 3; i++) await publishHalfMebibyte('full');
    await client.subscriptions.apply('full', 'work', { kind: 'queue', start: 'latest' });
    for (let i = 0; i < 2; i++) await publishHalfMebibyte('full');
    let isPublished = false;
    const publisher = client.publisher('full');
    const refused = publisher.publish({ value: 'later' }).then(
      () => (isPublished = true),
      (error: unknown) => error,
    );
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(isPublished).toBe(false);
    const work = client.consume('full', 'work', () => {});
    await Promise.race([refused, new Promise((resolve) => setTimeout(resolve, 5_000))]);
    expect(await refused).toBe(true);
    await Promise.all([publisher.close(), work.close()]);
  }, 20_000);

  it('that drops the oldest keeps publishing, and moves who is behind past the gap', async () => {
    await client.topics.apply('dropping', {
      backlogQuota: { ...quota, policy: 'drop-oldest' },
      retention: { ageMs: 0, bytes: 0, forever: true, unackedAgeMs: 0 },
    });
    await client.subscriptions.apply('dropping', 'work', { kind: 'queue' });
    for (let i = 0; i < 6; i++) await publishHalfMebibyte('dropping');
    const start = async () => (await client.topics.get('dropping')).partitions[0]?.startOffset;
    // What is left fits the quota, so nothing more is dropped.
    const left = async (): Promise<number> =>
      (await client.topics.get('dropping')).partitions[0]?.storedBytes ?? Infinity;
    await expect.poll(left, { timeout: 10_000 }).toBeLessThanOrEqual(quota.bytes);
    const offsets: number[] = [];
    const work = client.consume('dropping', 'work', ({ offset }) => void offsets.push(offset));
    await expect.poll(() => Math.max(...offsets), { timeout: 10_000 }).toBe(6 * 64 - 1);
    expect(Math.min(...offsets)).toBe(await start());
    await work.close();
  }, 30_000);
});
