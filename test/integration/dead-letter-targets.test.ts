// Dead letters whose topic is full, is deleted, or comes back, and records that kill whoever gets them: the record
// stays until it has arrived, the subscription says why it has not, and everything else goes on.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, RejectError, type Client } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { readLetters } from '../support/dead-letters.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

let broker: BrokerProcess;
let client: Client;
const polled = { timeout: 20_000 };

beforeAll(async () => {
  broker = await BrokerProcess.start();
  client = connect({ server: broker.server });
});

afterAll(async () => {
  await client.close();
  await broker[Symbol.asyncDispose]();
});

async function create(topic: string, deadLetterTopic: string, attemptsMax = 4): Promise<void> {
  await client.topics.apply(topic);
  await client.subscriptions.apply(topic, 'work', {
    kind: 'queue',
    backoffMinMs: 0,
    attemptsMax,
    deadLetterTopic,
  });
}

async function publish(topic: string, values: readonly (string | Buffer)[]): Promise<void> {
  const publisher = client.publisher(topic);
  for (const value of values) publisher.send({ value });
  await publisher.close();
}

const statusOf = async (topic: string) =>
  (await client.subscriptions.get(topic, 'work')).partitions[0];

/** Rejects what begins with `bad`. */
function rejectBad(topic: string) {
  return client.consume(topic, 'work', (message) => {
    if (message.text().startsWith('bad')) throw new RejectError('bad');
  });
}

const originsOf = async (topic: string): Promise<number[]> =>
  (await readLetters(client, topic)).map(({ origin }) => origin);

describe('a dead-letter topic', () => {
  it('that is full holds the letters back, and others go on, until it has room', async () => {
    const [bytes, letters] = [1024 * 1024, 40];
    await client.topics.apply('full', { backlogQuota: { bytes, policy: 'refuse-publish' } });
    await create('to-full', 'full');
    const bad = Buffer.alloc(64 * 1024, 'bad ');
    await publish('to-full', Array<Buffer>(letters).fill(bad));
    const work = rejectBad('to-full');
    const failing = { blockReasons: ['dead letter failing'] };
    await expect.poll(() => statusOf('to-full'), polled).toMatchObject(failing);
    await publish('to-full', ['good', 'good']);
    const isOnlyDead = async () => {
      const { backlog = 0, dead = 0, ackedAbove = 0 } = (await statusOf('to-full')) ?? {};
      return backlog === dead && ackedAbove >= 2;
    };
    await expect.poll(isOnlyDead, polled).toBe(true);
    expect((await statusOf('to-full'))?.blockDetail).toContain('quota');
    expect((await originsOf('full')).length).toBeLessThan(letters);
    const reader = client.consume('full', 'dead-letters', () => {});
    await expect
      .poll(() => statusOf('to-full'), polled)
      .toMatchObject({ backlog: 0, dead: 0, deadLetteredTotal: letters, blockDetail: '' });
    await reader.close();
    await work.close();
    expect(await originsOf('full')).toEqual(Array.from({ length: letters }, (_, i) => i));
  }, 60_000);

  it('that is deleted holds the letters back, over a restart too, until it is there again', async () => {
    await client.topics.apply('deleted');
    await create('to-deleted', 'deleted');
    await publish('to-deleted', ['bad 0', 'bad 1']);
    const work = rejectBad('to-deleted');
    await expect.poll(() => statusOf('to-deleted'), polled).toMatchObject({ deadLetteredTotal: 2 });
    await client.topics.delete('deleted');
    await publish('to-deleted', ['bad 2', 'good', 'bad 4']);
    const held = { backlog: 2, dead: 2, blockReasons: ['dead letter failing'] };
    await expect.poll(() => statusOf('to-deleted'), polled).toMatchObject(held);
    await broker.kill('SIGKILL');
    await broker.restart();
    await expect.poll(() => statusOf('to-deleted'), polled).toMatchObject(held);
    await client.topics.apply('deleted');
    await expect
      .poll(() => statusOf('to-deleted'), polled)
      .toMatchObject({ backlog: 0, dead: 0, blockDetail: '' });
    await work.close();
    expect(await originsOf('deleted')).toEqual([2, 4]);
  }, 60_000);
});

describe('a record that kills its consumer each time', () => {
  it('is a dead letter after exactly the limit, over a restart of the broker, and it alone', async () => {
    const attemptsMax = 4;
    await client.topics.apply('killers');
    await create('to-killers', 'killers', attemptsMax);
    await publish('to-killers', ['0', '1', 'killer', '3', '4', '5']);
    const attempts: number[] = [];
    const attemptsKnown = async () => {
      const places = await Array.fromAsync(client.subscriptions.browse('to-killers', 'work'));
      return places.find(({ offset }) => offset === 2)?.attempts;
    };
    for (let death = 1; death <= attemptsMax; death++) {
      attempts.push(await dieOf('killer', 'to-killers'));
      if (death === attemptsMax) break;
      await expect.poll(attemptsKnown, polled).toBe(death);
      if (death !== 2) continue;
      // Confirmed behind the attempt, which is durable then.
      await publish('to-killers', ['later']);
      await broker.kill('SIGKILL');
      await broker.restart();
      expect(await attemptsKnown()).toBe(death);
    }
    expect(attempts).toEqual([1, 2, 3, 4]);
    await expect.poll(() => originsOf('killers'), polled).toEqual([2]);
    const work = rejectBad('to-killers');
    await expect.poll(() => statusOf('to-killers'), polled).toMatchObject({ backlog: 0 });
    await work.close();
    expect(await readLetters(client, 'killers')).toEqual([
      { origin: 2, reason: 'attempts_exhausted', attempts: attemptsMax },
    ]);
  }, 60_000);
});

/** Works until the value comes, then is gone without a word. Answers which attempt it was. */
async function dieOf(value: string, topic: string): Promise<number> {
  await using proxy = await TcpProxy.start(broker.server);
  const victim = connect({ server: proxy.address });
  const work = { prefetchRecords: 10, closeTimeoutMs: 0 };
  for await (const message of victim.consumer(topic, 'work', work)) {
    if (message.text() !== value) {
      await message.ackConfirmed();
      continue;
    }
    proxy.setAccepting(false);
    proxy.cut();
    void victim.close();
    return message.attempt;
  }
  throw new Error('the consumer has ended');
}
