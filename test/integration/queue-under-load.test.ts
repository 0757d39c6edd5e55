// What one slow, poisonous or noisy part of a queue does to the rest of it: nothing that is not bounded. And counters
// that add up, over the limit of unacked records, a restart and a seek.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { limits } from '../../broker/core/limits.ts';
import { connect, type Client, type Message } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';

let broker: BrokerProcess;
let client: Client;
const polled = { timeout: 30_000 };

beforeAll(async () => {
  broker = await BrokerProcess.start();
  client = connect({ server: broker.server });
});

afterAll(async () => {
  await client.close();
  await broker[Symbol.asyncDispose]();
});

async function queueWith(topic: string, count: number): Promise<void> {
  await client.topics.apply(topic);
  await client.subscriptions.apply(topic, 'work', { kind: 'queue', backoffMinMs: 0 });
  await publish(topic, count);
}

async function publish(topic: string, count: number): Promise<void> {
  const publisher = client.publisher(topic);
  for (let i = 0; i < count; i++) {
    publisher.send({ value: `${i}` });
    const full = publisher.ready();
    if (full !== undefined) await full;
  }
  await publisher.close();
}

async function statusOf(topic: string) {
  const { partitions } = await client.subscriptions.get(topic, 'work');
  const [partition] = partitions;
  if (partition === undefined) throw new Error(`topic ${topic} has no partition`);
  return partition;
}

async function takeMany(consumer: AsyncIterable<Message>, count: number): Promise<Message[]> {
  const iterator = consumer[Symbol.asyncIterator]();
  const messages: Message[] = [];
  while (messages.length < count) {
    const { value, done } = await iterator.next();
    if (done === true) throw new Error('the consumer has ended');
    messages.push(value);
  }
  return messages;
}

describe('one record that is slow', () => {
  it('stalls nobody, however many are acked behind it', async () => {
    const count = limits.unackedRecordsMax + 20_000;
    await queueWith('slow', 1);
    const slow = client.consumer('slow', 'work', { prefetchRecords: 1 });
    const [held] = await takeMany(slow, 1);
    await publish('slow', count);
    const work = client.consume('slow', 'work', () => {}, { prefetchRecords: 1_000 });
    await expect
      .poll(() => statusOf('slow'), polled)
      .toMatchObject({ ackedOffset: 0, ackedAbove: count, inFlight: 1, backlog: 1 });
    await held?.ackConfirmed();
    expect(await statusOf('slow')).toMatchObject({ ackedOffset: count + 1, backlog: 0 });
    await work.close();
    await slow.close();
  }, 60_000);
});

describe('the limit of unacked records', () => {
  it('stops fresh ones with a reason, lets go with acks, and counts anew after a restart', async () => {
    const [limit, more] = [limits.unackedRecordsMax, 2_000];
    await queueWith('limit', limit + more);
    const greedy = client.consumer('limit', 'work', { prefetchRecords: limit + more });
    await expect
      .poll(() => statusOf('limit'), polled)
      .toMatchObject({
        backlog: limit + more,
        inFlight: limit,
        ready: more,
        blockReasons: ['too many unacked'],
      });
    const held = await takeMany(greedy, limit);
    for (const message of held.slice(0, 1_000)) message.ack();
    await expect
      .poll(() => statusOf('limit'), polled)
      .toMatchObject({ backlog: limit + more - 1_000, inFlight: limit, ready: more - 1_000 });
    await broker.kill('SIGKILL');
    await broker.restart();
    // The consumer is back by itself and is handed as much again.
    await expect
      .poll(() => statusOf('limit'), polled)
      .toMatchObject({ backlog: limit + more - 1_000, inFlight: limit, waiting: 0 });
    await greedy.close();
    const work = client.consume('limit', 'work', () => {}, { prefetchRecords: 1_000 });
    const empty = { backlog: 0, inFlight: 0, waiting: 0, ready: 0, ackedOffset: limit + more };
    await expect.poll(() => statusOf('limit'), polled).toMatchObject(empty);
    await work.close();
  }, 90_000);
});

describe('a record that fails each time', () => {
  it('stops neither fresh records nor retries, also when it comes to every consumer', async () => {
    const count = 2_000;
    await queueWith('poison', count);
    let fails = 0;
    const consumers = Array.from({ length: 3 }, () =>
      client.consume(
        'poison',
        'work',
        (message) => {
          const isTenth = message.offset % 10 === 0 && message.attempt === 1;
          if (message.offset !== 0 && !isTenth) return;
          fails++;
          throw new Error('fails');
        },
        { concurrency: 1, prefetchRecords: 4 },
      ),
    );
    await expect
      .poll(() => statusOf('poison'), polled)
      .toMatchObject({ backlog: 1, ackedAbove: count - 1 });
    expect(fails).toBeGreaterThan(count / 10);
    await Promise.all(consumers.map((consumer) => consumer.close()));
  }, 60_000);
});

describe('a seek while records are in flight', () => {
  it('makes them fresh: acks of the old deliveries are refused, and the counts are right', async () => {
    await queueWith('sought', 10);
    const before = client.consumer('sought', 'work', { prefetchRecords: 10, ackGatherMs: 0 });
    const held = await takeMany(before, 10);
    await held[9]?.ackConfirmed();
    await client.subscriptions.apply('sought', 'work', { paused: true });
    await client.subscriptions.seek('sought', 'work', { all: { offset: 4 } });
    expect(await statusOf('sought')).toMatchObject({ backlog: 6, ready: 6, inFlight: 0 });
    for (const offset of [2, 6]) {
      await expect(held[offset]?.ackConfirmed()).rejects.toMatchObject({ reason: 'LEASE_LOST' });
    }
    held[5]?.nack({ delayMs: 60_000 });
    await before.close();
    expect(await statusOf('sought')).toMatchObject({ ackedOffset: 4, ready: 6, waiting: 0 });
    await client.subscriptions.apply('sought', 'work', { paused: false });
    const again = await client.pull('sought', 'work', { recordsMax: 100, waitMs: 5_000 });
    expect(again.map(({ offset, attempt }) => [offset, attempt])).toEqual(
      [4, 5, 6, 7, 8, 9].map((offset) => [offset, 1]),
    );
  });
});

describe('a neighbour with a large backlog', () => {
  it('does not delay the next record of others by more than a bounded share', async () => {
    const flood = 200_000;
    await queueWith('noisy', 0);
    await queueWith('quiet', 0);
    const latenciesMs: number[] = [];
    const quiet = client.consume('quiet', 'work', (message) => {
      latenciesMs.push(Date.now() - Number(message.text()));
    });
    const other = connect({ server: broker.server });
    for (let i = 0; i < 4; i++) {
      other.consume('noisy', 'work', () => {}, { prefetchRecords: 1_000 });
    }
    const flooding = publish('noisy', flood);
    const publisher = client.publisher('quiet');
    let sent = 0;
    for (let isOver = false; !isOver; sent++) {
      await publisher.publish({ value: `${Date.now()}` });
      isOver = sent >= 20 && (await statusOf('noisy')).ackedOffset >= flood;
    }
    await flooding;
    await expect.poll(() => latenciesMs.length, polled).toBe(sent);
    latenciesMs.sort((a, b) => a - b);
    const median = latenciesMs[Math.floor(sent / 2)] ?? Infinity;
    // Publisher, consumers and broker share two processors here with others; alone it is a few ms.
    expect(median, `of ${sent}, worst ${latenciesMs.at(-1)}`).toBeLessThan(500);
    expect(latenciesMs.at(-1)).toBeLessThan(5_000);
    await Promise.all([quiet.close(), other.close()]);
  }, 90_000);
});

describe('a subscription that is declared again with other settings', () => {
  it('is a difference or a refusal, and never disturbs who consumes it', async () => {
    await queueWith('declared', 10);
    const work = client.consumer('declared', 'work', { prefetchRecords: 1 });
    const [first] = await takeMany(work, 1);
    const changed = await client.subscriptions.apply('declared', 'work', { ackDeadlineMs: 5_000 });
    expect(changed).toMatchObject({ created: false, changes: [expect.any(String)] });
    const stream = client.subscriptions.apply('declared', 'work', { kind: 'stream' });
    await expect(stream).rejects.toMatchObject({ kind: 'conflict' });
    const topic = client.topics.apply('declared', { partitions: 2 }, { dryRun: true });
    expect((await topic).changes).toHaveLength(1);
    await first?.ackConfirmed();
    expect((await takeMany(work, 1))[0]?.attempt).toBe(1);
    await work.close();
  });
});
