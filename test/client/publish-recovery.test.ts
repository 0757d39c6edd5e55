// Publishers over connections that are lost and brokers that go away: nothing lost, repeated or out of order.
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, type Client } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { applyTopic, readTopic } from './topic-fixture.ts';

let broker: BrokerProcess;
let proxy: TcpProxy;
let client: Client;

beforeAll(async () => {
  broker = await BrokerProcess.start();
  proxy = await TcpProxy.start(broker.server);
  client = connect({ server: proxy.address });
});

afterAll(async () => {
  await client.close();
  await proxy[Symbol.asyncDispose]();
  await broker[Symbol.asyncDispose]();
});

describe('a publisher whose connection is lost', () => {
  it('stores everything once and in order, over thirty losses', async () => {
    await applyTopic(broker.server, 'losses', { partitions: 3 });
    const publisher = client.publisher('losses', { batchBytes: 300 });
    let handedOver = 0;
    const places: Promise<{ partition: number; offset: number }>[] = [];
    for (let loss = 0; loss < 30; loss++) {
      for (let i = 0; i < 100; i++, handedOver++) {
        places.push(publisher.publish({ key: String(handedOver % 7), value: String(handedOver) }));
      }
      // Some of them are confirmed, some on their way, some not sent yet.
      if (loss % 3 === 0) await places[places.length - 50];
      else await turns(loss);
      proxy.cut();
    }
    const confirmed = await Promise.all(places);
    expectOnceInOrder(await readTopic(broker.server, 'losses'), confirmed, handedOver);
    await publisher.close();
  });

  it('is told the first offsets when only the answers were lost', async () => {
    await applyTopic(broker.server, 'answers');
    const publisher = client.publisher('answers', { batchBytes: 1 });
    await publisher.publish({ value: 'first' });
    proxy.setAnswersPass(false);
    const places = ['a', 'b', 'c'].map((value) => publisher.publish({ value }));
    await until(async () => (await readTopic(broker.server, 'answers')).length === 4);
    proxy.cut();
    proxy.setAnswersPass(true);
    expect(await Promise.all(places)).toEqual(
      [1, 2, 3].map((offset) => ({ partition: 0, offset })),
    );
    expect(await readTopic(broker.server, 'answers')).toHaveLength(4);
    await publisher.close();
  });

  it('goes on after a refusal that came after a loss', async () => {
    await applyTopic(broker.server, 'refusal');
    const publisher = client.publisher('refusal', { batchBytes: 1 });
    await publisher.publish({ value: 'first' });
    proxy.setAnswersPass(false);
    const refused = publisher.publishBatch([{ value: 'refused' }], { expectedOffset: 99 });
    const next = ['a', 'b'].map((value) => publisher.publish({ value }));
    await turns(5);
    proxy.cut();
    proxy.setAnswersPass(true);
    await expect(refused).rejects.toMatchObject({ reason: 'OFFSET_MISMATCH' });
    expect(await Promise.all(next)).toEqual([1, 2].map((offset) => ({ partition: 0, offset })));
    const stored = await readTopic(broker.server, 'refusal');
    expect(stored.map(({ value }) => value)).toEqual(['first', 'a', 'b']);
    await publisher.close();
  });
});

describe('a publisher whose broker goes away', () => {
  it.each(['SIGKILL', 'SIGTERM'] as const)(
    'goes on where it was when the broker is back after %s',
    async (signal) => {
      const topic = `back-${signal.toLowerCase()}`;
      await applyTopic(broker.server, topic, { partitions: 2 });
      const publisher = client.publisher(topic, { batchBytes: 500 });
      const places: Promise<{ partition: number; offset: number }>[] = [];
      const publish = (count: number): void => {
        for (let i = 0; i < count; i++) {
          const value = String(places.length);
          places.push(publisher.publish({ key: value, value }));
        }
      };
      publish(500);
      await places[250];
      publish(500);
      await broker.kill(signal);
      publish(500);
      await broker.restart();
      publish(500);
      const confirmed = await Promise.all(places);
      expectOnceInOrder(await readTopic(broker.server, topic), confirmed, 2_000);
      await publisher.close();
    },
  );

  it('waits for a broker that is not there yet', async () => {
    proxy.setAccepting(false);
    const late = connect({ server: proxy.address });
    await applyTopic(broker.server, 'late');
    const published = late.publisher('late').publish({ value: 'a' });
    await turns(20);
    proxy.setAccepting(true);
    expect(await published).toEqual({ partition: 0, offset: 0 });
    await late.close();
  });
});

describe('a limit of time', () => {
  it('fails what was never sent with no effect, and what was sent with an unknown one', async () => {
    await applyTopic(broker.server, 'time');
    const publisher = client.publisher('time', { deliveryTimeoutMs: 200, batchBytes: 1 });
    await publisher.publish({ value: 'first' });
    proxy.setAnswersPass(false);
    const sent = publisher.publish({ value: 'sent' });
    await until(async () => (await readTopic(broker.server, 'time')).length === 2);
    await expect(sent).rejects.toMatchObject({ reason: 'DELIVERY_TIMEOUT', effect: 'unknown' });
    proxy.setAccepting(false);
    proxy.cut();
    await turns(5);
    const unsent = publisher.publish({ value: 'unsent' });
    await expect(unsent).rejects.toMatchObject({ reason: 'DELIVERY_TIMEOUT', effect: 'none' });
    proxy.setAnswersPass(true);
    proxy.setAccepting(true);
    expect(await retried(() => publisher.publish({ value: 'last' }))).toMatchObject({ offset: 2 });
    const stored = await readTopic(broker.server, 'time');
    expect(stored.map(({ value }) => value)).toEqual(['first', 'sent', 'last']);
    await publisher.close();
  });

  it('fails what waits for a broker that was never there', async () => {
    proxy.setAccepting(false);
    const alone = connect({ server: proxy.address });
    const publisher = alone.publisher('time', { deliveryTimeoutMs: 100 });
    const late = { reason: 'DELIVERY_TIMEOUT', effect: 'none' };
    await expect(publisher.publish({ value: 'a' })).rejects.toMatchObject(late);
    publisher.send({ value: 'b' });
    await expect(publisher.flush()).rejects.toMatchObject(late);
    await alone.close();
    proxy.setAccepting(true);
  });

  it('of close fails what is left, and says that it may be stored', async () => {
    await applyTopic(broker.server, 'close-late');
    const publisher = client.publisher('close-late', { closeTimeoutMs: 50, batchBytes: 1 });
    await publisher.publish({ value: 'first' });
    proxy.setAnswersPass(false);
    const sent = publisher.publish({ value: 'sent' });
    sent.catch(() => undefined);
    await turns(5);
    await publisher.close();
    proxy.setAnswersPass(true);
    await expect(sent).rejects.toMatchObject({ reason: 'CLIENT_CLOSED', effect: 'unknown' });
  });
});

describe('a server that does not know the method', () => {
  it('fails what is handed over, instead of trying for ever', async () => {
    const server = new Server();
    const port = await promisify(server.bindAsync.bind(server))(
      '127.0.0.1:0',
      ServerCredentials.createInsecure(),
    );
    const other = connect({ server: `127.0.0.1:${port}` });
    const publisher = other.publisher('orders');
    for (let i = 0; i < 2; i++) {
      await expect(publisher.publish({ value: 'a' })).rejects.toMatchObject({
        kind: 'internal',
        reason: 'UNIMPLEMENTED',
      });
    }
    await other.close();
    server.forceShutdown();
  });
});

describe('a client that nobody answers', () => {
  it('refuses more than it may hold', async () => {
    proxy.setAccepting(false);
    const alone = connect({ server: proxy.address });
    const publisher = alone.publisher('full', { closeTimeoutMs: 0 });
    const value = Buffer.alloc(3 * 1024 * 1024);
    let accepted = 0;
    expect(() => {
      for (; accepted < 200; accepted++) publisher.send({ value });
    }).toThrow(expect.objectContaining({ reason: 'CLIENT_BUFFER_FULL' }) as Error);
    expect(accepted).toBe(86);
    expect(publisher.ready()).toBeInstanceOf(Promise);
    await expect(alone.close()).rejects.toMatchObject({ reason: 'CLIENT_CLOSED' });
    proxy.setAccepting(true);
  });
});

function expectOnceInOrder(
  stored: readonly { partition: number; offset: number; key: string; value: string }[],
  confirmed: readonly { partition: number; offset: number }[],
  count: number,
): void {
  expect(stored).toHaveLength(count);
  const places = new Map(stored.map((record) => [record.value, record]));
  confirmed.forEach(({ partition, offset }, i) => {
    expect(places.get(String(i))).toMatchObject({ partition, offset });
  });
  const last = new Map<number, number>();
  for (const { partition, value } of [...stored].sort((a, b) => a.offset - b.offset)) {
    expect(Number(value)).toBeGreaterThan(last.get(partition) ?? -1);
    last.set(partition, Number(value));
  }
}

/** Lets so many turns of the event loop pass. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error('waited too long');
  }
}

/** Tries until it succeeds. */
async function retried<T>(attempt: () => Promise<T>): Promise<T> {
  for (let i = 0; ; i++) {
    try {
      return await attempt();
    } catch (error) {
      if (i === 20) throw error;
    }
  }
}
