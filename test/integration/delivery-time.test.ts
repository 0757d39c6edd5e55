// Delivery times, time to live and priorities against a real broker, over restarts too.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, type Client } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { runMillrace } from '../support/run-millrace.ts';

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

async function killAndRestart(): Promise<void> {
  await broker.kill('SIGKILL');
  await broker.restart();
  await client.close();
  client = connect({ server: broker.server });
}

async function queueOn(topic: string, name = 'work'): Promise<void> {
  await client.topics.apply(topic);
  await client.subscriptions.apply(topic, name, { kind: 'queue' });
}

const statusOf = async (topic: string, name = 'work') =>
  (await client.subscriptions.get(topic, name)).partitions[0];

describe('a delivery time', () => {
  it('holds a record back for queues, late ones too, and not for readers', async () => {
    await queueOn('later');
    const publisher = client.publisher('later');
    const sentMs = Date.now();
    await publisher.publish({ value: 'a second from now', delayMs: 1_000 });
    await publisher.publish({ value: 'at a time', deliverAt: sentMs + 500 });
    await publisher.publish({ value: 'now' });
    await publisher.publish({ value: 'past', deliverAt: new Date(sentMs - 60_000) });
    const seen: { value: string; afterMs: number }[] = [];
    const work = client.consume('later', 'work', (message) => {
      seen.push({ value: message.text(), afterMs: Date.now() - sentMs });
    });
    await expect.poll(() => statusOf('later')).toMatchObject({ delayed: 2, backlog: 2 });
    expect((await statusOf('later'))?.blockReasons).toEqual(['all delayed or in flight']);
    const read: string[] = [];
    for await (const record of client.reader('later', { from: 'earliest', stopAtEnd: true })) {
      read.push(record.text());
    }
    expect(read).toHaveLength(4);
    await expect.poll(() => seen.length, { timeout: 5_000 }).toBe(4);
    expect(seen.map(({ value }) => value)).toEqual([
      'now',
      'past',
      'at a time',
      'a second from now',
    ]);
    expect(seen[2]?.afterMs).toBeGreaterThanOrEqual(500);
    expect(seen[3]?.afterMs).toBeGreaterThanOrEqual(1_000);
    expect(seen[3]?.afterMs).toBeLessThan(1_500);
    await expect.poll(() => statusOf('later')).toMatchObject({ backlog: 0, ackedOffset: 4 });
    await work.close();
  });

  it('holds over kill and restart, to the second, and for years', async () => {
    await queueOn('held');
    const publisher = client.publisher('held');
    // Later than a restart takes, also on a busy machine.
    const dueMs = Date.now() + 10_000;
    await publisher.publish({ value: 'soon', deliverAt: dueMs });
    await publisher.publish({ value: 'in 90 years', delayMs: 90 * 365 * 86_400_000 });
    await publisher.publish({ value: 'now' });
    await killAndRestart();
    const seen: string[] = [];
    const atMs: number[] = [];
    const work = client.consume('held', 'work', (message) => {
      seen.push(message.text());
      atMs.push(Date.now());
    });
    await expect.poll(() => seen, { timeout: 20_000 }).toEqual(['now', 'soon']);
    expect(atMs[1]).toBeGreaterThanOrEqual(dueMs);
    await expect.poll(() => statusOf('held')).toMatchObject({ delayed: 1, backlog: 1 });
    await work.close();
  }, 40_000);

  it('is listed, and can be cancelled, for subscriptions that come later too', async () => {
    await queueOn('regretted');
    const publisher = client.publisher('regretted');
    const batch = ['a', 'b', 'c', 'd'].map((value) => ({ value, delayMs: 1_500 }));
    await publisher.publishBatch(batch);
    const listed = async () => Array.fromAsync(client.topics.listDelayed('regretted'));
    const [run] = await listed();
    expect(run).toMatchObject({ firstOffset: 0, lastOffset: 3 });
    expect(await client.topics.cancelDelayed('regretted', 0, 1, 2)).toBe(2);
    expect(await client.topics.cancelDelayed('regretted', 0, 0, 100)).toBe(2);
    expect(await listed()).toEqual([]);
    expect(await client.topics.cancelDelayed('regretted', 0, 1)).toBe(0);
    await publisher.publish({ value: 'stays', delayMs: 300 });
    await killAndRestart();
    await client.subscriptions.apply('regretted', 'late', { kind: 'queue', start: 'earliest' });
    for (const name of ['work', 'late']) {
      const seen: string[] = [];
      const work = client.consume('regretted', name, (message) => void seen.push(message.text()));
      await expect
        .poll(() => statusOf('regretted', name), { timeout: 8_000 })
        .toMatchObject({
          backlog: 0,
          ackedOffset: 5,
        });
      expect(seen).toEqual(['stays']);
      await work.close();
    }
  }, 30_000);

  it('lets a record of a keyed queue join the line of its key when it is due', async () => {
    await client.topics.apply('line');
    await client.subscriptions.apply('line', 'work', { kind: 'keyed_queue' });
    const publisher = client.publisher('line');
    await publisher.publish({ key: 'k', value: 'first', delayMs: 700 });
    await publisher.publish({ key: 'k', value: 'second' });
    await publisher.publish({ key: 'k', value: 'third' });
    const seen: string[] = [];
    const work = client.consume('line', 'work', (message) => void seen.push(message.text()));
    await expect.poll(() => seen, { timeout: 5_000 }).toEqual(['second', 'third', 'first']);
    await work.close();
  });
});

describe('a time to live', () => {
  it('of a batch or its topic drops what nobody took in time, or makes it a dead letter', async () => {
    await client.topics.apply('milk', { timeToLiveMs: 60_000 });
    await client.subscriptions.apply('milk', 'work', { kind: 'queue' });
    await client.subscriptions.apply('milk', 'kept', {
      kind: 'queue',
      deadLetterTopic: 'sour',
      deadLetterExpired: true,
    });
    await client.topics.apply('sour');
    const publisher = client.publisher('milk');
    await publisher.publish({ value: 'old', timeToLiveMs: 50 });
    await publisher.publish({ value: 'fresh' });
    await new Promise((resolve) => setTimeout(resolve, 100));
    for (const name of ['work', 'kept']) {
      const seen: string[] = [];
      const work = client.consume('milk', name, (message) => void seen.push(message.text()));
      await expect.poll(() => statusOf('milk', name)).toMatchObject({ backlog: 0 });
      expect(seen).toEqual(['fresh']);
      await work.close();
    }
    const replayed: string[] = [];
    for await (const record of client.reader('milk', { from: 'earliest', stopAtEnd: true })) {
      replayed.push(record.text());
    }
    expect(replayed).toEqual(['old', 'fresh']);
    expect(await statusOf('milk', 'work')).toMatchObject({ expiredTotal: 1 });
    expect(await statusOf('milk', 'kept')).toMatchObject({ expiredTotal: 0, deadLetteredTotal: 1 });
    const letters: Record<string, string>[] = [];
    for await (const { headers } of client.reader('sour', { from: 'earliest', stopAtEnd: true })) {
      letters.push(Object.fromEntries(headers.map(([name, value]) => [name, value.toString()])));
    }
    expect(letters).toMatchObject([{ 'millrace-reason': 'expired', 'millrace-attempts': '0' }]);
  });
});

describe('a priority', () => {
  it('goes before others, and starves nobody', async () => {
    await queueOn('ranks');
    const publisher = client.publisher('ranks', { batchBytes: 1 });
    for (let i = 0; i < 30; i++) publisher.send({ value: 'low' });
    for (let i = 0; i < 30; i++) publisher.send({ value: 'high', priority: 9 });
    await publisher.flush();
    const seen: string[] = [];
    const work = client.consume('ranks', 'work', (message) => void seen.push(message.text()), {
      prefetchRecords: 1,
      concurrency: 1,
    });
    await expect.poll(() => seen.length, { timeout: 10_000 }).toBe(60);
    const lowAmongFirst = seen.slice(0, 30).filter((value) => value === 'low').length;
    expect(lowAmongFirst).toBeGreaterThan(0);
    expect(lowAmongFirst).toBeLessThanOrEqual(4);
    await work.close();
  });

  it('and a delay out of range are refused, saying which', async () => {
    await client.topics.apply('ranges');
    const publisher = client.publisher('ranges');
    await expect(publisher.publish({ value: 'x', priority: 10 })).rejects.toThrow(/priority/);
    const both = publisher.publish({ value: 'x', delayMs: 1, deliverAt: 2 });
    await expect(both).rejects.toThrow(/not both/);
  });
});

describe('the command line', () => {
  it('publishes with a delay, lists it and takes it back', async () => {
    const millrace = (args: readonly string[], input?: string) =>
      runMillrace(broker.server, args, input);
    await millrace(['topic', 'create', 'cli-later', '--time-to-live', '1h']);
    await millrace(['publish', 'cli-later', '--delay', '1h', '--priority', '3'], 'one\ntwo\n');
    const listed = await millrace(['topic', 'delayed', 'cli-later', '-o', 'json']);
    expect(JSON.parse(listed.stdout)).toMatchObject({
      partition: 0,
      firstOffset: 0,
      lastOffset: 1,
    });
    const cancel = ['topic', 'delayed', 'cli-later', '--partition', '0', '--cancel', '0'];
    expect((await millrace([...cancel, '--through', '1'])).stdout).toContain('cancelled 2 records');
    expect((await millrace(['topic', 'describe', 'cli-later'])).stdout).toContain('time to live');
  });
});
