// Keyed queues against a real broker: order per key, whoever comes and goes, and keys that do not hold up each other.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, type Client, type Message } from '../../client/src/index.ts';
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

async function publishKeys(topic: string, keys: readonly string[]): Promise<void> {
  const publisher = client.publisher(topic);
  keys.forEach((key, i) => publisher.send(key === '' ? { value: `${i}` } : { key, value: `${i}` }));
  await publisher.close();
}

async function create(topic: string): Promise<void> {
  await client.topics.apply(topic);
  await client.subscriptions.apply(topic, 'work', {
    kind: 'keyed_queue',
    ackDeadlineMs: 5_000,
    backoffMinMs: 1,
    backoffMaxMs: 5,
  });
}

async function left(topic: string) {
  const { partitions } = await client.subscriptions.get(topic, 'work');
  return partitions[0];
}

function keyOf({ key }: Message): string {
  return Buffer.from(key).toString();
}

describe('a keyed queue', () => {
  it('keeps the order of each key while 100 consumers join and leave under load', async () => {
    const [keys, records] = [200, 20_000];
    await create('joins');
    await publishKeys(
      'joins',
      Array.from({ length: records }, (_, i) => `key ${(i * 7919) % keys}`),
    );
    const done = new Map<string, number>();
    const wrong: string[] = [];
    let acked = 0;
    let joined = 0;
    const work = async (): Promise<void> => {
      while (acked < records) {
        joined++;
        const consumer = client.consumer('joins', 'work', { prefetchRecords: 20 });
        const leaveAfter = joined > 100 ? Infinity : 40 + (joined % 50);
        let taken = 0;
        for await (const message of consumer) {
          const last = done.get(keyOf(message)) ?? -1;
          if (message.offset <= last) wrong.push(`${message.offset} after ${last}`);
          // Some fail at first; the records behind them wait.
          if (message.attempt === 1 && message.offset % 11 === 0) message.nack();
          else {
            done.set(keyOf(message), message.offset);
            message.ack();
            acked++;
          }
          if (acked >= records || ++taken >= leaveAfter) break;
        }
        await consumer.close();
      }
    };
    await Promise.race([
      Promise.all(Array.from({ length: 20 }, work)),
      untilDone(() => acked, records),
    ]);
    expect(wrong).toEqual([]);
    expect(joined).toBeGreaterThan(100);
    await expect.poll(() => left('joins')).toMatchObject({ backlog: 0, inFlight: 0, waiting: 0 });
  }, 60_000);

  it('lets other keys go on while one fails, and never a later record of that key', async () => {
    await create('failing');
    await publishKeys('failing', ['bad', 'bad', 'good', 'good', 'good', '']);
    const seen: string[] = [];
    const consumer = client.consumer('failing', 'work');
    for await (const message of consumer) {
      seen.push(`${keyOf(message)} ${message.offset}`);
      if (keyOf(message) === 'bad') message.nack({ delayMs: 200 });
      else message.ack();
      if (seen.length === 7) break;
    }
    await consumer.close();
    expect(new Set(seen)).toEqual(new Set(['bad 0', 'good 2', 'good 3', 'good 4', ' 5']));
    expect(await left('failing')).toMatchObject({ backlog: 2 });
  });

  it('with 100,000 records of one key waiting gives the others theirs at once', async () => {
    await create('hot');
    await publishKeys('hot', [...Array.from({ length: 100_000 }, () => 'hot'), 'cold']);
    const consumer = client.consumer('hot', 'work');
    const startMs = performance.now();
    for await (const message of consumer) {
      // Whoever has the hot key is slow: nothing of it is acked.
      if (keyOf(message) === 'cold') break;
    }
    expect(performance.now() - startMs).toBeLessThan(3_000);
    await consumer.close();
  }, 30_000);

  it('says that keys are busy when nothing else is left', async () => {
    await create('busy');
    await publishKeys('busy', ['a', 'a', 'a']);
    const consumer = client.consumer('busy', 'work');
    for await (const message of consumer) {
      expect(message.offset).toBe(0);
      break;
    }
    const idle = client.consumer('busy', 'work');
    void idle[Symbol.asyncIterator]().next();
    await expect.poll(async () => (await left('busy'))?.blockReasons).toContain('keys busy');
    await Promise.all([consumer.close(), idle.close()]);
  });
});

async function untilDone(count: () => number, goal: number): Promise<void> {
  while (count() < goal) await new Promise((resolve) => setTimeout(resolve, 20));
}
