// Typed records from a publisher to every way of consuming, and every verb of a queue, against a real broker.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  connect,
  json,
  NackError,
  RejectError,
  type Client,
  type Message,
} from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { until } from './until.ts';

interface Order {
  readonly customer: string;
  readonly total: number;
}

const codec = json<Order>();
const ada: Order = { customer: 'Ada', total: 3 };

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

/** A topic with a queue `work` whose dead letters go to `<name>-failed`. */
async function queue(name: string): Promise<void> {
  await client.topics.apply(name);
  await client.topics.apply(`${name}-failed`);
  await client.subscriptions.apply(name, 'work', {
    kind: 'queue',
    start: 'earliest',
    deadLetterTopic: `${name}-failed`,
    attemptsMax: 5,
    backoffMinMs: 0,
  });
}

async function statusOf(topic: string) {
  const [partition] = (await client.subscriptions.get(topic, 'work')).partitions;
  if (partition === undefined) throw new Error('a topic has a partition');
  return partition;
}

async function firstLetter(topic: string) {
  for await (const letter of client.reader(`${topic}-failed`, { from: 'earliest' })) {
    const headers = letter.headers.map(([name, value]) => [name, value.toString()] as const);
    return { text: letter.text(), headers: Object.fromEntries(headers) };
  }
  throw new Error('the reader has ended');
}

async function take<T>(consumer: AsyncIterable<Message<T>>): Promise<Message<T>> {
  const next = await consumer[Symbol.asyncIterator]().next();
  if (next.done === true) throw new Error('the consumer has ended');
  return next.value;
}

describe('a typed record', () => {
  it('is the same value at a reader, a consumer, a handler and a pull', async () => {
    await queue('typed');
    const publisher = client.publisher('typed', { codec });
    await publisher.publish({ key: 'Ada', value: ada });
    publisher.send({ value: { customer: 'Bo', total: 4 } });
    await publisher.publishBatch([{ value: { customer: 'Cy', total: 5 } }]);
    const read: Order[] = [];
    const reader = client.reader('typed', { from: 'earliest', stopAtEnd: true, codec });
    for await (const { value } of reader) read.push(value);
    expect(read.map(({ customer, total }) => [customer, total])).toEqual([
      ['Ada', 3],
      ['Bo', 4],
      ['Cy', 5],
    ]);
    const [pulled] = await client.pull('typed', 'work', { recordsMax: 1, codec });
    expect(pulled?.value).toEqual(ada);
    await pulled?.ack();
    const consumer = client.consumer('typed', 'work', { codec, prefetchRecords: 1 });
    const message = await take(consumer);
    expect(message.value.customer).toBe('Bo');
    await message.ackConfirmed();
    await consumer.close();
    const handled: number[] = [];
    const consumption = client.consume(
      'typed',
      'work',
      ({ value }) => void handled.push(value.total),
      {
        codec,
      },
    );
    await until(async () => (await statusOf('typed')).backlog === 0);
    await consumption.close();
    expect(handled).toEqual([5]);
  });

  it('that does not fit is refused to its publisher, and nothing is stored', async () => {
    await queue('refused');
    const publisher = client.publisher('refused', { codec: json<unknown>() });
    const wrong = publisher.publishBatch([{ value: 1 }, { value: 2n }]);
    await expect(wrong).rejects.toMatchObject({ reason: 'RECORD_INVALID', effect: 'none' });
    await expect(publisher.publish({ value: undefined })).rejects.toMatchObject({
      reason: 'RECORD_INVALID',
    });
    expect(() => publisher.send({ value: undefined })).toThrow(
      expect.objectContaining({ reason: 'RECORD_INVALID' }),
    );
    await publisher.close();
    expect((await statusOf('refused')).endOffset).toBe(0);
  });

  it('that cannot be decoded is a dead letter, with what was wrong', async () => {
    await queue('undecodable');
    await client.publisher('undecodable').publish({ value: 'not JSON' });
    await client.publisher('undecodable', { codec }).publish({ value: ada });
    const handled: Order[] = [];
    const handler = ({ value }: Message<Order>): void => void handled.push(value);
    const consumption = client.consume('undecodable', 'work', handler, { codec });
    const { text, headers } = await firstLetter('undecodable');
    await until(() => handled.length === 1);
    await consumption.close();
    expect(handled).toEqual([ada]);
    expect(text).toBe('not JSON');
    expect(headers).toMatchObject({ 'millrace-reason': 'rejected', 'millrace-attempts': '1' });
    expect(headers['millrace-error']).toContain('is not valid JSON');
    const reader = client.reader('undecodable', { from: 'earliest', stopAtEnd: true, codec });
    const values = async (): Promise<Order[]> => {
      const read: Order[] = [];
      for await (const { value } of reader) read.push(value);
      return read;
    };
    await expect(values()).rejects.toMatchObject({ reason: 'VALUE_INVALID' });
  });
});

describe('what a handler throws', () => {
  it('says what becomes of the record', async () => {
    await queue('thrown');
    const attempts: number[] = [];
    const consumption = client.consume('thrown', 'work', ({ attempt }) => {
      attempts.push(attempt);
      if (attempt === 1) throw new Error('as the subscription says');
      if (attempt === 2) throw new NackError('soon', 5);
      throw new RejectError('no such customer');
    });
    await client.publisher('thrown').publish({ value: 'x' });
    const { headers } = await firstLetter('thrown');
    await consumption.close();
    expect(attempts).toEqual([1, 2, 3]);
    expect(headers).toMatchObject({ 'millrace-error': 'no such customer' });
  });
});

describe('a handler beyond the time to close', () => {
  it('is told, and its record comes again', async () => {
    await queue('late');
    await client.publisher('late').publish({ value: 'x' });
    const begun = Promise.withResolvers<void>();
    const consumption = client.consume(
      'late',
      'work',
      async ({ signal }) => {
        begun.resolve();
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
      },
      { drainTimeoutMs: 50 },
    );
    await begun.promise;
    await consumption.close();
    const consumer = client.consumer('late', 'work');
    const message = await take(consumer);
    expect(message.attempt).toBe(2);
    await message.ackConfirmed();
    await consumer.close();
  });
});

describe('a handler of one key at a time', () => {
  it('gives back what it had not begun with, uncounted, when it closes', async () => {
    await queue('keys');
    const values = ['a', 'b', 'c'].map((value) => ({ key: 'k', value }));
    await client.publisher('keys').publishBatch(values);
    await client.publisher('keys').publish({ value: 'last' });
    const begun: string[] = [];
    const release = Promise.withResolvers<void>();
    const consumption = client.consume(
      'keys',
      'work',
      async (message) => {
        begun.push(message.text());
        await release.promise;
      },
      { concurrencyPerKey: 1 },
    );
    // What waits for the key has come before it.
    await until(() => begun.includes('last'));
    const closing = consumption.close();
    release.resolve();
    await closing;
    expect(begun).toEqual(['a', 'last']);
    const rest = await client.pull('keys', 'work', { waitMs: 5_000 });
    expect(rest.map((message) => [message.text(), message.attempt])).toEqual([
      ['b', 1],
      ['c', 1],
    ]);
  });
});

describe('many records of a queue', () => {
  it('are acked in one call, and durable', async () => {
    await queue('acked');
    const values = Array.from({ length: 100 }, (_, i) => ({ value: String(i) }));
    await client.publisher('acked').publishBatch(values);
    const consumer = client.consumer('acked', 'work');
    const messages: Message[] = [];
    while (messages.length < 100) messages.push(await take(consumer));
    await consumer.ackAll(messages);
    expect(await statusOf('acked')).toMatchObject({ backlog: 0, ackedOffset: 100 });
    await consumer.close();
  });

  it('are settled as ranges without a stream, each with its verb', async () => {
    await queue('verbs');
    const values = Array.from({ length: 10 }, (_, i) => ({ value: String(i) }));
    await client.publisher('verbs').publishBatch(values);
    const messages = await client.pull('verbs', 'work', { recordsMax: 10 });
    const lease = messages[0]?.lease ?? 0;
    const range = (firstOffset: number, lastOffset: number) => ({
      partition: 0,
      firstOffset,
      lastOffset,
      lease,
    });
    const refused = await client.acknowledge('verbs', 'work', [
      range(0, 3),
      { ...range(4, 5), verb: 'reject', reason: 'broken' },
      { ...range(6, 7), verb: 'nack', delayMs: 3_600_000 },
      { ...range(8, 8), verb: 'extend', delayMs: 60_000 },
      { ...range(9, 9), verb: 'return' },
      { ...range(0, 0), verb: 'nack' },
    ]);
    expect(refused).toMatchObject([{ firstOffset: 0, error: { reason: 'LEASE_LOST' } }]);
    await until(async () => (await statusOf('verbs')).dead === 0);
    expect(await statusOf('verbs')).toMatchObject({ ready: 1, inFlight: 1, waiting: 2 });
    const [again] = await client.pull('verbs', 'work');
    expect([again?.offset, again?.attempt]).toEqual([9, 1]);
    await again?.return();
    const [more] = await client.pull('verbs', 'work');
    expect([more?.offset, more?.attempt]).toEqual([9, 1]);
    await expect(again?.nack()).rejects.toMatchObject({ reason: 'LEASE_LOST' });
  });
});
