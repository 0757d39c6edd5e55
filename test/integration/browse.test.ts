// Looking at a queue: where its records are, why nothing comes, how far it is behind; and that looking changes nothing.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, RejectError, whyIdle, type Client } from '../../client/src/index.ts';
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

/** One record in each state: 0 in flight, 1 waiting, 2 dead, 3 acked, 4 delayed, 5 and 6 ready. */
async function oneOfEach(topic: string): Promise<{ close: () => Promise<void> }> {
  await client.topics.apply(topic);
  await client.subscriptions.apply(topic, 'work', {
    kind: 'queue',
    deadLetterTopic: `${topic}-nowhere`,
    attemptsMax: 5,
  });
  const publisher = client.publisher(topic, { batchBytes: 1 });
  for (let i = 0; i < 4; i++) await publisher.publish({ key: `k${i}`, value: `${i}` });
  const never = Promise.withResolvers<void>();
  const work = client.consume(
    topic,
    'work',
    async (message) => {
      if (message.offset === 0) await never.promise;
      else if (message.offset === 1) message.nack({ delayMs: 3_600_000 });
      else if (message.offset === 2) throw new RejectError('broken');
    },
    { prefetchRecords: 4, concurrency: 4, consumer: 'worker-1' },
  );
  await expect
    .poll(async () => (await client.subscriptions.get(topic, 'work')).partitions[0])
    .toMatchObject({ inFlight: 1, waiting: 1, dead: 1, ackedAbove: 1 });
  await client.subscriptions.apply(topic, 'work', { paused: true });
  await publisher.publish({ value: '4', delayMs: 3_600_000, priority: 2 });
  await publisher.publish({ value: '5', headers: { name: 'value' } });
  await publisher.publish({ value: '6' });
  return {
    close: async () => {
      never.resolve();
      await work.close();
    },
  };
}

const browsed = async (topic: string, state?: 'ready' | 'in flight' | 'delayed') =>
  Array.fromAsync(client.subscriptions.browse(topic, 'work', state === undefined ? {} : { state }));

describe('browsing', () => {
  it('shows each record that is not acked, where it is, and changes nothing', async () => {
    const { close } = await oneOfEach('each');
    const before = await client.subscriptions.get('each', 'work');
    const records = await browsed('each');
    expect(records.map(({ offset, state }) => [offset, state])).toEqual([
      [0, 'in flight'],
      [1, 'waiting'],
      [2, 'dead'],
      [4, 'delayed'],
      [5, 'ready'],
      [6, 'ready'],
    ]);
    const [held, waiting, dead, delayed, ready] = records;
    const nowMs = Date.now();
    expect(held).toMatchObject({ consumer: 'worker-1', attempts: 0, value: Buffer.from('0') });
    expect(held?.deliveredAtMs).toBeLessThanOrEqual(nowMs);
    expect(held?.ackDeadlineAtMs).toBeGreaterThan(nowMs);
    expect(waiting).toMatchObject({ attempts: 1, key: Buffer.from('k1') });
    expect(waiting?.readyAtMs).toBeGreaterThan(nowMs + 3_000_000);
    expect(dead).toMatchObject({ reason: 'rejected', attempts: 1 });
    expect(delayed).toMatchObject({ priority: 2 });
    expect(delayed?.readyAtMs).toBeGreaterThan(nowMs + 3_000_000);
    expect(ready?.headers).toEqual([['name', Buffer.from('value')]]);

    expect(await browsed('each', 'in flight')).toHaveLength(1);
    expect(await browsed('each', 'delayed')).toHaveLength(1);
    expect((await browsed('each', 'ready')).map(({ offset }) => offset)).toEqual([5, 6]);
    expect(await client.subscriptions.get('each', 'work')).toEqual(before);
    await close();
  });

  it('goes on page by page, and refuses what it cannot show', async () => {
    await client.topics.apply('pages');
    await client.subscriptions.apply('pages', 'work', { kind: 'queue' });
    await client.subscriptions.apply('pages', 'stream', { kind: 'stream' });
    const publisher = client.publisher('pages', { compression: 'gzip' });
    for (let i = 0; i < 350; i++) publisher.send({ value: `${i}` });
    await publisher.flush();
    const values = (await browsed('pages')).map(({ value }) => value.toString());
    expect(values).toEqual(Array.from({ length: 350 }, (_, i) => `${i}`));
    const some = client.subscriptions.browse('pages', 'work', { fromOffset: 340, recordsMax: 5 });
    expect((await Array.fromAsync(some)).map(({ offset }) => offset)).toEqual([
      340, 341, 342, 343, 344,
    ]);
    const stream = Array.fromAsync(client.subscriptions.browse('pages', 'stream'));
    await expect(stream).rejects.toMatchObject({ reason: 'SUBSCRIPTION_KIND_MISMATCH' });
    const beyond = Array.fromAsync(client.subscriptions.browse('pages', 'work', { partition: 1 }));
    await expect(beyond).rejects.toMatchObject({ reason: 'PARTITION_OUT_OF_RANGE' });
  });

  it('and the sentence why nothing comes are in the command line', async () => {
    const { close } = await oneOfEach('shown');
    const table = await runMillrace(broker.server, ['subscription', 'browse', 'shown', 'work']);
    expect(table.stdout).toMatch(/in flight .*worker-1/);
    const json = await runMillrace(broker.server, [
      ...['subscription', 'browse', 'shown', 'work'],
      ...['--state', 'in-flight', '-o', 'json'],
    ]);
    expect(JSON.parse(json.stdout)).toMatchObject({ offset: 0, state: 'in flight', value: '0' });
    const described = await runMillrace(broker.server, [
      ...['subscription', 'describe', 'shown', 'work'],
    ]);
    expect(described.stdout).toMatch(/why idle .*paused/);
    await close();
  });
});

describe('why nothing comes', () => {
  it('says what to do about it, and nothing when all is done', async () => {
    await client.topics.apply('idle');
    await client.subscriptions.apply('idle', 'work', { kind: 'keyed_queue' });
    const why = async () => whyIdle(await client.subscriptions.get('idle', 'work'));
    expect(await why()).toBe('');
    const publisher = client.publisher('idle');
    await publisher.publish({ key: 'a', value: '1' });
    await publisher.publish({ key: 'a', value: '2' });
    expect(await why()).toMatch(/nobody consumes/);
    const first = Promise.withResolvers<void>();
    const work = client.consume('idle', 'work', () => first.promise, { prefetchRecords: 10 });
    await expect.poll(why).toMatch(/waits for an older one of its key.*1 in flight/);
    first.resolve();
    await expect.poll(why).toBe('');
    await work.close();
  });
});

describe('the metrics of subscriptions', () => {
  it('say how far each is behind and why, and are gone with it', async () => {
    const { close } = await oneOfEach('measured');
    const valueOf = (text: string, name: string): number => {
      const labels = 'topic="public/default/measured",subscription="work"';
      const line = text.split('\n').find((one) => one.startsWith(`${name}{${labels}`));
      return Number(line?.split(' ').at(-1));
    };
    const text = await broker.metrics();
    expect(valueOf(text, 'millrace_subscription_backlog_records')).toBe(6);
    expect(valueOf(text, 'millrace_subscription_in_flight_records')).toBe(1);
    expect(valueOf(text, 'millrace_subscription_waiting_records')).toBe(1);
    expect(valueOf(text, 'millrace_subscription_delayed_records')).toBe(1);
    expect(valueOf(text, 'millrace_subscription_dead_records')).toBe(1);
    expect(valueOf(text, 'millrace_subscription_oldest_unacked_age_seconds')).toBeGreaterThan(0);
    expect(text).toMatch(/millrace_subscription_blocked\{.*measured.*reason="paused"\} 1/);
    await close();
    await client.subscriptions.delete('measured', 'work');
    await expect.poll(() => broker.metrics()).not.toContain('public/default/measured');
  });
});
