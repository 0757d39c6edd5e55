// What clients do to themselves, and brokers to clients: an event loop that stands still, a broker that is gone while
// handlers work, two hundred consumers that lose their broker at once. Consumption goes on by itself.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, type Client, type Message } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';

let broker: BrokerProcess;
let client: Client;

beforeAll(async () => {
  broker = await BrokerProcess.start({ args: ['--shutdown-grace-ms', '500'] });
  client = connect({ server: broker.server });
});

afterAll(async () => {
  await client.close();
  await broker[Symbol.asyncDispose]();
});

const statusOf = async (topic: string) => {
  const { partitions } = await client.subscriptions.get(topic, 'work');
  return partitions[0];
};

const consumersOf = async (topic: string): Promise<number> =>
  (await client.subscriptions.get(topic, 'work')).consumers.length;

async function queueWith(topic: string, count: number, ackDeadlineMs: number): Promise<void> {
  await client.topics.apply(topic);
  const spec = { kind: 'queue', ackDeadlineMs, backoffMinMs: 0 } as const;
  await client.subscriptions.apply(topic, 'work', spec);
  await publish(topic, count);
}

async function publish(topic: string, count: number): Promise<void> {
  const publisher = client.publisher(topic);
  for (let i = 0; i < count; i++) publisher.send({ key: `${i}`, value: `${i}` });
  await publisher.close();
}

/** Nothing else of this process runs meanwhile. */
function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

async function take(consumer: AsyncIterable<Message>): Promise<Message> {
  const next = await consumer[Symbol.asyncIterator]().next();
  if (next.done === true) throw new Error('the consumer has ended');
  return next.value;
}

describe('a client whose event loop stands still', () => {
  it('for longer than the deadline loses the record, and can do nothing to who has it now', async () => {
    await queueWith('blocked', 1, 1_000);
    const [slow, other] = [connect({ server: broker.server }), connect({ server: broker.server })];
    // Without credit for it the record does not come back to the one that stands still.
    const late = slow.consumer('blocked', 'work', { ackGatherMs: 0, prefetchRecords: 1 });
    const first = await take(late);
    const next = take(other.consumer('blocked', 'work'));
    await expect.poll(() => consumersOf('blocked')).toBe(2);
    block(2_000);
    // Said before anything that came meanwhile is read: the client does not know yet.
    first.nack({ delayMs: 3_600_000 });
    const second = await next;
    expect(second).toMatchObject({ offset: first.offset, attempt: 2 });
    // The nack of the first holder has put nothing back, and the second one is not disturbed.
    await late.close();
    expect(await statusOf('blocked')).toMatchObject({ inFlight: 1, waiting: 0, backlog: 1 });
    await second.ackConfirmed();
    expect(await statusOf('blocked')).toMatchObject({ inFlight: 0, backlog: 0 });
    await Promise.all([slow.close(), other.close()]);
  });

  it('for less, again and again, keeps what it works on', async () => {
    await queueWith('busy', 1, 2_000);
    const attempts: number[] = [];
    const work = client.consume('busy', 'work', async ({ attempt }) => {
      attempts.push(attempt);
      for (let i = 0; i < 4; i++) {
        block(900);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    });
    await expect.poll(() => statusOf('busy'), { timeout: 15_000 }).toMatchObject({ backlog: 0 });
    await work.close();
    expect(attempts).toEqual([1]);
  });

  it('goes on with the handler after it, and everything is done', async () => {
    await queueWith('stalls', 200, 1_000);
    let handled = 0;
    const work = client.consume('stalls', 'work', () => {
      if (++handled % 60 === 0) block(1_500);
    });
    await expect.poll(() => statusOf('stalls'), { timeout: 20_000 }).toMatchObject({ backlog: 0 });
    await work.close();
  });
});

describe('a broker that is gone in the middle of handlers', () => {
  it.each(['SIGKILL', 'SIGTERM'] as const)(
    'by %s is found again; nothing is lost, and again comes only what was in flight',
    async (signal) => {
      const [topic, count, prefetchRecords] = [`handlers-${signal}`, 1_000, 40];
      await queueWith(topic, count, 30_000);
      const deliveries = new Map<string, number>();
      const work = client.consume(
        topic,
        'work',
        async (message) => {
          deliveries.set(message.text(), (deliveries.get(message.text()) ?? 0) + 1);
          await new Promise((resolve) => setTimeout(resolve, 20));
        },
        { concurrency: 20, prefetchRecords },
      );
      const restarts = 2;
      for (let i = 1; i <= restarts; i++) {
        await expect.poll(() => deliveries.size, { timeout: 15_000 }).toBeGreaterThan(i * 150);
        await broker.kill(signal);
        await broker.restart();
      }
      await expect.poll(() => statusOf(topic), { timeout: 20_000 }).toMatchObject({ backlog: 0 });
      await work.close();
      expect(deliveries.size).toBe(count);
      // With the broker died what was in flight, and acks that were not durable yet (P9).
      const again = [...deliveries.values()].reduce((sum, times) => sum + times - 1, 0);
      expect(again).toBeLessThanOrEqual(
        restarts * prefetchRecords * (signal === 'SIGKILL' ? 2 : 1),
      );
    },
    60_000,
  );
});

describe('two hundred consumers that lose their broker', () => {
  it('are all back within seconds, each time, and go on', async () => {
    const [clientCount, perClient, backWithinMs] = [10, 20, 15_000];
    await client.topics.apply('storm', { partitions: 4 });
    await client.subscriptions.apply('storm', 'work', { kind: 'keyed_queue' });
    const clients = Array.from({ length: clientCount }, () => connect({ server: broker.server }));
    let handled = new Set<string>();
    for (const each of clients) {
      for (let i = 0; i < perClient; i++) {
        each.consume('storm', 'work', (message) => void handled.add(message.text()), {
          prefetchRecords: 4,
        });
      }
    }
    const connected = (): Promise<number> => consumersOf('storm');
    const all = clientCount * perClient;
    const polled = { timeout: backWithinMs, interval: 100 };
    await expect.poll(connected, polled).toBe(all);
    for (const signal of ['SIGKILL', 'SIGTERM', 'SIGKILL'] as const) {
      await broker.kill(signal);
      await broker.restart();
      handled = new Set();
      await publish('storm', 1_000);
      await expect.poll(() => handled.size, polled).toBe(1_000);
      await expect.poll(connected, polled).toBe(all);
    }
    const { partitions } = await client.subscriptions.get('storm', 'work');
    expect(partitions).toMatchObject(partitions.map(() => ({ backlog: 0, inFlight: 0 })));
    await Promise.all(clients.map((each) => each.close()));
  }, 90_000);
});
