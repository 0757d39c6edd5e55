// Consumers and handlers against a real broker: nothing lost, nothing acked that was not done, credit that comes back.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, NackError, type Client, type Message } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { until } from './until.ts';

let broker: BrokerProcess;
let proxy: TcpProxy;
let client: Client;
/** Past the proxy: a change that a lost connection hits is not repeated. */
let admin: Client;

beforeAll(async () => {
  broker = await BrokerProcess.start();
  proxy = await TcpProxy.start(broker.server);
  client = connect({ server: proxy.address });
  admin = connect({ server: broker.server });
});

afterAll(async () => {
  await client.close();
  await admin.close();
  await proxy[Symbol.asyncDispose]();
  await broker[Symbol.asyncDispose]();
});

/** A topic with records '0', '1', ... and a subscription `work` on it. */
async function topicWith(
  name: string,
  recordCount: number,
  kind: 'queue' | 'stream',
  options: { partitions?: number; ackDeadlineMs?: number; backoffMinMs?: number } = {},
): Promise<void> {
  const { partitions = 1, ...spec } = options;
  await admin.topics.apply(name, { partitions });
  await admin.subscriptions.apply(name, 'work', { kind, start: 'earliest', ...spec });
  const publisher = client.publisher(name);
  for (let i = 0; i < recordCount; i++) {
    publisher.send({ value: String(i), partition: i % partitions });
  }
  await publisher.close();
}

async function backlogOf(topic: string): Promise<number> {
  const { partitions } = await admin.subscriptions.get(topic, 'work');
  return partitions.reduce((sum, { backlog }) => sum + backlog, 0);
}

describe('a consumer of a queue', () => {
  it('is handed every record once when each is acked', async () => {
    await topicWith('each', 3_000, 'queue', { partitions: 2 });
    const seen = new Set<string>();
    const consumer = client.consumer('each', 'work', { prefetchRecords: 100 });
    for await (const message of consumer) {
      expect(message.attempt).toBe(1);
      seen.add(message.text());
      message.ack();
      if (seen.size === 3_000) break;
    }
    expect(await backlogOf('each')).toBe(0);
  });

  it('is handed what it nacked again, not before the delay', async () => {
    await topicWith('nacked', 1, 'queue');
    const consumer = client.consumer('nacked', 'work');
    const first = await take(consumer);
    const nackedAtMs = performance.now();
    first.nack({ delayMs: 150 });
    const second = await take(consumer);
    expect(second.attempt).toBe(2);
    expect(performance.now() - nackedAtMs).toBeGreaterThan(140);
    second.ack();
    await consumer.close();
  });

  it('knows that an ack is durable when ackConfirmed resolves', async () => {
    await topicWith('confirmed', 10, 'queue');
    const consumer = client.consumer('confirmed', 'work');
    const messages = await takeMany(consumer, 10);
    await Promise.all(messages.map((message) => message.ackConfirmed()));
    expect(await backlogOf('confirmed')).toBe(0);
    await consumer.close();
  });

  it('gives back what it was not handed, without counting an attempt', async () => {
    await topicWith('given-back', 200, 'queue');
    const leaving = client.consumer('given-back', 'work', { prefetchRecords: 1_000 });
    const [first] = await takeMany(leaving, 1);
    expect(first?.text()).toBe('0');
    await leaving.close();
    const next = client.consumer('given-back', 'work');
    const messages = await takeMany(next, 200);
    // The one in the application's hands counts, the 199 behind it do not.
    expect(messages.filter(({ attempt }) => attempt === 2).map((m) => m.text())).toEqual(['0']);
    await next.close();
  });

  it('keeps a record beyond its ack deadline while it works on it', async () => {
    await topicWith('extended', 1, 'queue', { ackDeadlineMs: 1_000 });
    const consumer = client.consumer('extended', 'work');
    const message = await take(consumer);
    const other = client.consumer('extended', 'work');
    const stolen = other[Symbol.asyncIterator]().next();
    await new Promise((resolve) => setTimeout(resolve, 2_200));
    await message.ackConfirmed();
    await other.close();
    expect(await stolen).toMatchObject({ done: true });
    await consumer.close();
  });

  it('goes on although it lost leases again and again', async () => {
    await topicWith('lost-leases', 60, 'queue', { ackDeadlineMs: 1_000, backoffMinMs: 0 });
    const consumer = client.consumer('lost-leases', 'work', {
      prefetchRecords: 16,
      autoExtend: false,
    });
    const iterator = consumer[Symbol.asyncIterator]();
    // Each round lets all 16 leases expire, most of them before the application saw the record.
    for (let round = 0; round < 2; round++) {
      await iterator.next();
      await new Promise((resolve) => setTimeout(resolve, 1_300));
    }
    const done = new Set<string>();
    for await (const message of consumer) {
      done.add(message.text());
      message.ack();
      if (done.size === 60) break;
    }
    expect(done.size).toBe(60);
  });

  it('gets its next record for each that it acks, however many others it holds', async () => {
    await topicWith('collected', 60, 'queue');
    const consumer = client.consumer('collected', 'work', { prefetchRecords: 40 });
    const held = await takeMany(consumer, 40);
    for (let i = 0; i < 20; i += 2) {
      held[i]?.ack();
      expect((await take(consumer)).offset).toBe(40 + i / 2);
    }
    await consumer.close();
  });

  it('is shared by several loops, each of which gets its own records', async () => {
    await topicWith('shared', 300, 'queue');
    const consumer = client.consumer('shared', 'work', { prefetchRecords: 20 });
    const seen: string[] = [];
    const loop = async (): Promise<void> => {
      for await (const message of { [Symbol.asyncIterator]: () => keepOpen(consumer) }) {
        seen.push(message.text());
        message.ack();
        if (seen.length === 300) await consumer.close();
      }
    };
    await Promise.all([loop(), loop(), loop()]);
    expect(new Set(seen).size).toBe(300);
  });

  it('goes on over lost connections until everything is acked', async () => {
    await topicWith('cut', 2_000, 'queue', { backoffMinMs: 0 });
    const done = new Set<string>();
    const consumer = client.consumer('cut', 'work', { prefetchRecords: 50 });
    const confirmed: Promise<void>[] = [];
    for await (const message of consumer) {
      done.add(message.text());
      confirmed.push(message.ackConfirmed());
      if (done.size % 400 === 0 && message.attempt === 1) proxy.cut();
      if (done.size === 2_000) break;
    }
    await Promise.all(confirmed);
    expect(await backlogOf('cut')).toBe(0);
  });

  it('ends with a typed error when the subscription is not there', async () => {
    await admin.topics.apply('bare');
    await expect(take(client.consumer('bare', 'nothing'))).rejects.toMatchObject({
      kind: 'missing',
      reason: 'SUBSCRIPTION_NOT_FOUND',
    });
  });

  it('refuses a delay that the format cannot carry, and says which are possible', async () => {
    await topicWith('delays', 1, 'queue');
    const consumer = client.consumer('delays', 'work');
    const message = await take(consumer);
    for (const delayMs of [-1, 0.5, Number.NaN, 1e12]) {
      expect(() => message.nack({ delayMs })).toThrow(
        expect.objectContaining({ reason: 'ARGUMENT_INVALID' }),
      );
      expect(() => message.extend(delayMs)).toThrow(
        expect.objectContaining({ reason: 'ARGUMENT_INVALID' }),
      );
    }
    await message.ackConfirmed();
    await consumer.close();
  });
});

describe('a consumer of a stream', () => {
  it('goes on when only now and then a record is acked, cumulatively', async () => {
    await topicWith('cumulative', 3_000, 'stream');
    const consumer = client.consumer('cumulative', 'work', { prefetchRecords: 100 });
    let seen = 0;
    for await (const message of consumer) {
      expect(message.text()).toBe(String(seen));
      seen++;
      if (seen % 1_000 === 0) await message.ackConfirmed();
      if (seen === 3_000) break;
    }
    expect(await backlogOf('cumulative')).toBe(0);
  });

  it('goes back at a seek: what it had ahead of it is not handed out any more', async () => {
    await topicWith('sought', 500, 'stream');
    const consumer = client.consumer('sought', 'work', { prefetchRecords: 500 });
    const before = await takeMany(consumer, 100);
    expect(before.at(-1)?.offset).toBe(99);
    await admin.subscriptions.seek('sought', 'work', { all: { offset: 10 } });
    // The delivery after the seek is on its way when the answer to the seek is here.
    await until(async () => (await take(consumer)).offset === 10);
    const after = await takeMany(consumer, 489);
    expect(after.map(({ offset }) => offset)).toEqual(
      Array.from({ length: 489 }, (_, i) => 11 + i),
    );
    await after.at(-1)?.ackConfirmed();
    expect(await backlogOf('sought')).toBe(0);
    await consumer.close();
  });

  it('throws at nack, which a stream does not have', async () => {
    await topicWith('no-nack', 1, 'stream');
    const consumer = client.consumer('no-nack', 'work');
    const message = await take(consumer);
    expect(() => message.nack()).toThrow(expect.objectContaining({ reason: 'ARGUMENT_INVALID' }));
    await consumer.close();
  });
});

describe('consuming a queue with a handler', () => {
  it('never runs more handlers than allowed, and acks what they resolve', async () => {
    await topicWith('handlers', 500, 'queue', { partitions: 3 });
    let running = 0;
    let most = 0;
    let handled = 0;
    const consumption = client.consume(
      'handlers',
      'work',
      async () => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setTimeout(resolve, 1));
        running--;
        handled++;
      },
      { concurrency: 7 },
    );
    await until(() => handled === 500);
    await consumption.close();
    expect(most).toBe(7);
    expect(await backlogOf('handlers')).toBe(0);
  });

  it('gives back what they reject, with the delay they name', async () => {
    await topicWith('rejects', 20, 'queue', { backoffMinMs: 0 });
    const attempts = new Map<string, number>();
    const told: unknown[] = [];
    const consumption = client.consume(
      'rejects',
      'work',
      (message) => {
        attempts.set(message.text(), message.attempt);
        if (message.attempt < 3) throw new NackError('not yet', 5);
      },
      { onHandlerError: (error) => told.push(error) },
    );
    await until(() => [...attempts.values()].filter((attempt) => attempt === 3).length === 20);
    await consumption.close();
    expect(told).toHaveLength(40);
    expect(await backlogOf('rejects')).toBe(0);
  });

  it('lets running handlers finish and acks their records when the client closes', async () => {
    await topicWith('drained', 30, 'queue');
    const own = connect({ server: broker.server });
    let begun = 0;
    let finished = 0;
    own.consume(
      'drained',
      'work',
      async () => {
        begun++;
        await new Promise((resolve) => setTimeout(resolve, 100));
        finished++;
      },
      { concurrency: 5 },
    );
    await until(() => begun === 5);
    await own.close();
    expect({ begun, finished }).toEqual({ begun: 5, finished: 5 });
    expect(await backlogOf('drained')).toBe(25);
  });
});

describe('consuming a stream with a handler', () => {
  it('handles a partition in order, one at a time, and partitions side by side', async () => {
    await topicWith('ordered', 400, 'stream', { partitions: 4 });
    const offsets = new Map<number, number[]>();
    const busy = new Set<number>();
    let together = 0;
    const consumption = client.consume(
      'ordered',
      'work',
      async ({ partition, offset }) => {
        expect(busy.has(partition)).toBe(false);
        busy.add(partition);
        together = Math.max(together, busy.size);
        await new Promise((resolve) => setTimeout(resolve, offset % 3));
        offsets.set(partition, [...(offsets.get(partition) ?? []), offset]);
        busy.delete(partition);
      },
      { concurrency: 4 },
    );
    await until(async () => (await backlogOf('ordered')) === 0);
    await consumption.close();
    const inOrder = Array.from({ length: 100 }, (_, i) => i);
    expect([...offsets.values()]).toEqual([inOrder, inOrder, inOrder, inOrder]);
    expect(together).toBeGreaterThan(1);
  });

  it('tries a failed record again before any behind it, and never acks past it', async () => {
    await topicWith('stuck', 50, 'stream');
    const handled: number[] = [];
    let failures = 0;
    const failing = client.consume(
      'stuck',
      'work',
      ({ offset }) => {
        if (offset === 20 && ++failures < 3) throw new NackError('not yet', 10);
        if (offset === 30) throw new NackError('never here', 10);
        handled.push(offset);
      },
      { concurrency: 8 },
    );
    await until(() => handled.length === 30);
    await failing.close();
    expect(handled).toEqual(Array.from({ length: 30 }, (_, i) => i));
    expect(await backlogOf('stuck')).toBe(20);
    const rest: number[] = [];
    const next = client.consume('stuck', 'work', ({ offset }) => void rest.push(offset));
    await until(async () => (await backlogOf('stuck')) === 0);
    await next.close();
    expect(rest).toEqual(Array.from({ length: 20 }, (_, i) => 30 + i));
  });
});

async function take(consumer: AsyncIterable<Message>): Promise<Message> {
  const next = await consumer[Symbol.asyncIterator]().next();
  if (next.done === true) throw new Error('the consumer has ended');
  return next.value;
}

async function takeMany(consumer: AsyncIterable<Message>, count: number): Promise<Message[]> {
  const messages: Message[] = [];
  while (messages.length < count) messages.push(await take(consumer));
  return messages;
}

/** An iterator whose loop may be left without closing the consumer. */
function keepOpen(consumer: AsyncIterable<Message>): AsyncIterator<Message> {
  const iterator = consumer[Symbol.asyncIterator]();
  return { next: () => iterator.next() };
}
