// Dead letters against a real broker: who becomes one, what stands in it, and what happens while it cannot arrive.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  connect,
  RejectError,
  type Client,
  type Message,
  type ReceivedRecord,
} from '../../client/src/index.ts';
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

const quick = { ackDeadlineMs: 1_000, backoffMinMs: 1, backoffMaxMs: 5 } as const;

async function create(
  topic: string,
  spec: { attemptsMax?: number; deadLetterTopic?: string } = {},
): Promise<void> {
  await client.topics.apply(topic);
  await client.subscriptions.apply(topic, 'work', { kind: 'queue', ...quick, ...spec });
}

async function publish(topic: string, values: readonly string[]): Promise<void> {
  const publisher = client.publisher(topic);
  await Promise.all(
    values.map((value) =>
      publisher.publish({ value, key: `key of ${value}`, headers: { own: 'header' } }),
    ),
  );
  await publisher.close();
}

async function letters(topic: string, count: number): Promise<ReceivedRecord[]> {
  const found: ReceivedRecord[] = [];
  for await (const record of client.reader(topic, { from: 'earliest' })) {
    found.push(record);
    if (found.length === count) break;
  }
  return found;
}

async function status(topic: string) {
  const { partitions } = await client.subscriptions.get(topic, 'work');
  return partitions[0];
}

function headersOf(record: ReceivedRecord): Record<string, string> {
  return Object.fromEntries(
    [...record.headers].map(([name, value]) => [name, Buffer.from(value).toString()]),
  );
}

describe('a record that fails', () => {
  it('becomes a dead letter after exactly the limit, with where it comes from and why', async () => {
    await client.topics.apply('failed');
    await create('a', { attemptsMax: 3, deadLetterTopic: 'failed' });
    await publish('a', ['good', 'bad', 'fine']);
    const attempts: number[] = [];
    const work = client.consume('a', 'work', (message: Message) => {
      if (message.text() !== 'bad') return;
      attempts.push(message.attempt);
      throw new Error(`cannot work on ${message.text()}`);
    });
    const [letter] = await letters('failed', 1);
    await work.close();
    expect(attempts).toEqual([1, 2, 3]);
    expect(letter?.text()).toBe('bad');
    expect(Buffer.from(letter?.key ?? '').toString()).toBe('key of bad');
    expect(headersOf(letter as ReceivedRecord)).toMatchObject({
      own: 'header',
      'millrace-origin-topic': 'public/default/a',
      'millrace-origin-offset': '1',
      'millrace-origin-partition': '0',
      'millrace-origin-subscription': 'work',
      'millrace-attempts': '3',
      'millrace-reason': 'attempts_exhausted',
      'millrace-error': 'cannot work on bad',
    });
    expect(await status('a')).toMatchObject({ backlog: 0, dead: 0, deadLetteredTotal: 1 });
    const { partitions } = await client.subscriptions.get('failed', 'dead-letters');
    expect(partitions).toMatchObject([{ backlog: 1 }]);
  });

  it('and is rejected does not wait for its attempts', async () => {
    await client.topics.apply('rejected');
    await create('b', { deadLetterTopic: 'rejected' });
    await publish('b', ['bad']);
    const work = client.consume('b', 'work', () => {
      throw new RejectError('not an order');
    });
    const [letter] = await letters('rejected', 1);
    await work.close();
    expect(headersOf(letter as ReceivedRecord)).toMatchObject({
      'millrace-attempts': '1',
      'millrace-reason': 'rejected',
      'millrace-error': 'not an order',
    });
  });

  it('and is rejected without a dead-letter topic is dropped, and counted', async () => {
    await create('c');
    await publish('c', ['bad', 'good']);
    const work = client.consume('c', 'work', (message: Message) => {
      if (message.text() === 'bad') throw new RejectError('no');
    });
    await expect.poll(() => status('c')).toMatchObject({ backlog: 0, droppedTotal: 1 });
    await work.close();
  });

  it('kills its consumer each time, and only it becomes a dead letter (Q5)', async () => {
    await client.topics.apply('poison');
    await create('d', { attemptsMax: 3, deadLetterTopic: 'poison' });
    await publish('d', ['1', '2', 'poison', '3', '4']);
    let deaths = 0;
    while (deaths < 3) {
      const victim = connect({ server: broker.server });
      const consumer = victim.consumer('d', 'work', { prefetchRecords: 10, ackGatherMs: 0 });
      for await (const message of consumer) {
        if (message.text() === 'poison') {
          deaths++;
          break;
        }
        await message.ackConfirmed();
      }
      await victim.close();
    }
    // A consumer that leaves gives back what it holds: only deadlines and nacks count here.
    const stubborn = client.consume('d', 'work', (message: Message) => {
      if (message.text() === 'poison') throw new Error('dies');
    });
    const [letter] = await letters('poison', 1);
    await stubborn.close();
    expect(letter?.text()).toBe('poison');
    expect(await status('d')).toMatchObject({ backlog: 0, deadLetteredTotal: 1 });
  }, 30_000);
});

describe('a dead-letter topic', () => {
  it('that is missing holds the record, says so, and gets it once it is there (Q6)', async () => {
    await create('e', { attemptsMax: 1, deadLetterTopic: 'missing' });
    await publish('e', ['bad']);
    const work = client.consume('e', 'work', () => {
      throw new Error('fails');
    });
    await expect
      .poll(() => status('e'))
      .toMatchObject({ backlog: 1, dead: 1, blockReasons: ['dead letter failing'] });
    expect((await status('e'))?.blockDetail).toContain('missing');
    await client.topics.apply('missing');
    const [letter] = await letters('missing', 1);
    await work.close();
    expect(letter?.text()).toBe('bad');
    await expect
      .poll(() => status('e'))
      .toMatchObject({ backlog: 0, dead: 0, blockReasons: [], blockDetail: '' });
  }, 30_000);

  it('gets every letter once, however often the broker is killed (Q7)', async () => {
    await client.topics.apply('often');
    await create('f', { attemptsMax: 1, deadLetterTopic: 'often' });
    const count = 300;
    await publish(
      'f',
      Array.from({ length: count }, (_, i) => `${i}`),
    );
    const work = client.consume('f', 'work', () => {
      throw new Error('fails');
    });
    for (let kill = 0; kill < 5; kill++) {
      await new Promise((resolve) => setTimeout(resolve, 60));
      await broker.kill('SIGKILL');
      await broker.restart();
    }
    const waited = { timeout: 20_000 };
    await expect.poll(() => status('f'), waited).toMatchObject({ backlog: 0, dead: 0 });
    await work.close();
    const values: string[] = [];
    for await (const record of client.reader('often', { from: 'earliest', stopAtEnd: true })) {
      values.push(record.text());
    }
    expect(values.toSorted((a, b) => Number(a) - Number(b))).toEqual(
      Array.from({ length: count }, (_, i) => `${i}`),
    );
  }, 60_000);
});
