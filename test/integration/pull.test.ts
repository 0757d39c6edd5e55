// Pull and Acknowledge against a real broker.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, type Client, type PulledMessage } from '../../client/src/index.ts';
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

async function queueWith(topic: string, values: readonly string[]): Promise<void> {
  await client.topics.apply(topic);
  await client.subscriptions.apply(topic, 'work', {
    kind: 'queue',
    ackDeadlineMs: 1_000,
    backoffMinMs: 0,
    backoffMaxMs: 0,
  });
  const publisher = client.publisher(topic);
  await publisher.publishBatch(values.map((value) => ({ value, key: 'k' })));
  await publisher.close();
}

const pull = (topic: string, waitMs = 0, recordsMax = 10) =>
  client.pull(topic, 'work', { waitMs, recordsMax });
const texts = (messages: readonly PulledMessage[]) => messages.map((message) => message.text());

describe('a pull', () => {
  it('takes what there is, and holds it until it is acked, over the calls', async () => {
    await queueWith('script', ['a', 'b', 'c']);
    const first = await pull('script', 0, 2);
    expect(texts(first)).toEqual(['a', 'b']);
    expect(first[0]).toMatchObject({ attempt: 1, offset: 0, partition: 0 });
    expect(texts(await pull('script'))).toEqual(['c']);
    expect(await pull('script')).toEqual([]);
    await first[0]?.ack();
    const status = async () => (await client.subscriptions.get('script', 'work')).partitions[0];
    expect(await status()).toMatchObject({ ackedOffset: 1, inFlight: 2 });
    await first[1]?.nack();
    const again = await pull('script', 2_000);
    expect(again[0]).toMatchObject({ attempt: 2, offset: 1 });
    await again[0]?.reject('never');
    expect(await status()).toMatchObject({ ackedOffset: 2, droppedTotal: 1 });
  });

  it('waits for a first record, as long as it was told', async () => {
    await queueWith('patient', []);
    const startedMs = performance.now();
    expect(await pull('patient', 300)).toEqual([]);
    expect(performance.now() - startedMs).toBeGreaterThan(290);
    const waiting = pull('patient', 10_000);
    await client.publisher('patient').publish({ value: 'at last' });
    expect(texts(await waiting)).toEqual(['at last']);
  });

  it('lets records go at their deadline, and says so to whoever had them', async () => {
    await queueWith('slow', ['one']);
    const [late] = await pull('slow');
    const [again] = await pull('slow', 5_000);
    expect(again).toMatchObject({ attempt: 2 });
    await expect(late?.nack()).rejects.toMatchObject({ reason: 'LEASE_LOST' });
    await again?.extend(10_000);
    await again?.ack();
    // The work is done, whoever says so.
    await late?.ack();
  });

  it('gives back what nobody waits for any more', async () => {
    await queueWith('gone', []);
    const abort = new AbortController();
    const abandoned = client.pull('gone', 'work', { waitMs: 20_000, signal: abort.signal });
    const consumers = async () => (await client.subscriptions.get('gone', 'work')).consumers.length;
    await expect.poll(consumers).toBe(1);
    abort.abort();
    await expect(abandoned).rejects.toMatchObject({ reason: 'CANCELLED' });
    await expect.poll(consumers).toBe(0);
    await client.publisher('gone').publish({ value: 'kept' });
    const [message] = await pull('gone', 3_000);
    expect(message).toMatchObject({ attempt: 1 });
  });

  it('shares a keyed queue without breaking the order of its keys', async () => {
    await client.topics.apply('line');
    await client.subscriptions.apply('line', 'work', { kind: 'keyed_queue' });
    const publisher = client.publisher('line');
    for (const value of ['1', '2']) await publisher.publish({ key: 'k', value });
    const [first] = await pull('line');
    expect(first?.text()).toBe('1');
    expect(await pull('line')).toEqual([]);
    await first?.ack();
    expect(texts(await pull('line'))).toEqual(['2']);
  });

  it('is refused on a stream, and with numbers out of range', async () => {
    await client.subscriptions.apply('script', 'replay', { kind: 'stream' });
    const refused = client.pull('script', 'replay');
    await expect(refused).rejects.toMatchObject({ reason: 'SUBSCRIPTION_KIND_MISMATCH' });
    const many = client.pull('script', 'work', { recordsMax: 1_001 });
    await expect(many).rejects.toMatchObject({ reason: 'ARGUMENT_INVALID' });
    const nowhere = client.pull('script', 'nobody');
    await expect(nowhere).rejects.toMatchObject({ reason: 'SUBSCRIPTION_NOT_FOUND' });
  });
});
