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

async function create(topic: string, deadLetterTopic = ''): Promise<void> {
  await client.topics.apply(topic);
  await client.subscriptions.apply(topic, 'work', {
    kind: 'keyed_queue',
    ackDeadlineMs: 5_000,
    backoffMinMs: 1,
    backoffMaxMs: 5,
    deadLetterTopic,
  });
}

async function left(topic: string) {
  const { partitions } = await client.subscriptions.get(topic, 'work');
  return partitions[0];
}

function keyOf({ key }: Message): string {
  return Buffer.from(key).toString();
}

/** Some fail at first, some for good; the records behind them wait. False: it comes again. */
function settle(message: Message): boolean {
  const { offset, attempt } = message;
  const failsAtFirst = attempt === 1 && offset % 11 === 0;
  if (offset % 97 === 0) message.reject('by rule');
  else if (failsAtFirst) message.nack();
  else message.ack();
  return offset % 97 === 0 || !failsAtFirst;
}

describe('a keyed queue', () => {
  it('keeps the order of each key while 100 consumers join and leave under load', async () => {
    const [keys, records] = [200, 20_000];
    await create('joins', 'joins-dead');
    await client.topics.apply('joins-dead');
    const load = publishKeys(
      'joins',
      Array.from({ length: records }, (_, i) => `key ${(i * 7919) % keys}`),
    );
    const begun = new Map<string, number>();
    const finished = new Set<number>();
    const wrong: string[] = [];
    let joined = 0;
    const judge = (message: Message): void => {
      const [key, { offset }] = [keyOf(message), message];
      // Of a key the same record comes again until it is finished, then a later one.
      const before = begun.get(key) ?? -1;
      if (offset < before || (offset > before && before >= 0 && !finished.has(before))) {
        wrong.push(`${offset} after ${before}`);
      }
      begun.set(key, offset);
    };
    const work = async (): Promise<void> => {
      while (finished.size < records) {
        joined++;
        const own = connect({ server: broker.server });
        const consumer = own.consumer('joins', 'work', { prefetchRecords: 20 });
        const leaveAfter = joined > 100 ? Infinity : 40 + (joined % 50);
        let taken = 0;
        for await (const message of consumer) {
          judge(message);
          if (settle(message)) finished.add(message.offset);
          if (finished.size >= records || ++taken >= leaveAfter) break;
        }
        await own.close();
      }
    };
    const wrongSums: string[] = [];
    const isOver = Promise.withResolvers<void>();
    const counting = countWhile('joins', isOver.promise, wrongSums);
    await Promise.race([
      Promise.all(Array.from({ length: 20 }, work)),
      untilDone(() => finished.size, records),
    ]);
    await load;
    expect(wrong).toEqual([]);
    expect(joined).toBeGreaterThan(100);
    const deadLetteredTotal = Math.ceil(records / 97);
    const nothing = { backlog: 0, ready: 0, inFlight: 0, waiting: 0, dead: 0 };
    await expect
      .poll(() => left('joins'), { timeout: 10_000 })
      .toMatchObject({ ...nothing, deadLetteredTotal });
    isOver.resolve();
    expect(await counting).toBeGreaterThan(10);
    expect(wrongSums).toEqual([]);
  }, 90_000);

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

/** Asks where records are, again and again; answers how often. `wrong`: counts that do not add up, or are negative. */
async function countWhile(topic: string, over: Promise<void>, wrong: string[]): Promise<number> {
  let isOver = false;
  void over.then(() => (isOver = true));
  let asked = 0;
  for (; !isOver; asked++) {
    const now = await left(topic);
    if (now === undefined) continue;
    const { backlog, ready, inFlight, waiting, delayed, dead } = now;
    const parts = [ready, inFlight, waiting, delayed, dead];
    const sum = parts.reduce((all, part) => all + part, 0);
    if (sum !== backlog || parts.some((part) => part < 0)) wrong.push(JSON.stringify(now));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return asked;
}

async function untilDone(count: () => number, goal: number): Promise<void> {
  while (count() < goal) await new Promise((resolve) => setTimeout(resolve, 20));
}
