// A redrive and a purge whose broker is killed at random moments and at the steps between publishing and the ack; some
// redrives are cancelled on their way (Q19). REDRIVE_KILLS says how often (default 8); CRASH_SEED repeats a run.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FailPointName } from '../../broker/core/fail-point.ts';
import { seededRandom, type Random } from '../../broker/core/random.ts';
import { connect, RejectError, type Client, type DeadLetterJob } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';

const rounds = Number(process.env['REDRIVE_KILLS'] ?? 8);
const seed = Number(process.env['CRASH_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const letterCount = 600;
const partitions = 3;

const points = [
  'redrive-after-publish',
  'redrive-before-publish',
  'redrive-before-end',
] satisfies readonly FailPointName[];

describe(`a redrive killed ${rounds} times (CRASH_SEED=${seed})`, () => {
  let broker: BrokerProcess;
  let client: Client;
  const ended: DeadLetterJob[] = [];

  beforeAll(
    async () => {
      const random = seededRandom(seed);
      const program = join(import.meta.dirname, 'broker-with-fail-point.ts');
      broker = await BrokerProcess.start({
        program,
        args: ['--generation-bytes', '1048576', '--log-level', 'error'],
      });
      client = connect({ server: broker.server });
      await giveUpAll(client);
      await client.subscriptions.apply('origin', 'other', { kind: 'queue', start: 'latest' });
      let { jobId } = await client.deadLetters.redrive('failed');
      for (let round = 0; round < rounds; round++) {
        // By turns it ends itself at a step of the redrive, and at any moment.
        await broker.kill('SIGKILL');
        const endsItself = round % 2 === 0;
        // One that ends itself may do so before it is ready: the redrive goes on by itself.
        if (endsItself) await broker.restart(failPoint(round / 2, random)).catch(() => undefined);
        else await broker.restart();
        const lifeMs = endsItself ? 5_000 : 100 + random.next() * 300;
        const elapsed = new Promise((resolve) => setTimeout(resolve, lifeMs));
        await Promise.race([broker.exited(), elapsed]);
        if (endsItself) continue;
        const job = await client.deadLetters.job('failed', jobId);
        const isCancelled = job.state === 'running' && random.next() < 0.5;
        const now = isCancelled ? await client.deadLetters.cancel('failed', jobId) : job;
        if (now.state === 'running') continue;
        ended.push(now);
        ({ jobId } = await client.deadLetters.redrive('failed'));
      }
      await broker.kill('SIGKILL');
      await broker.restart();
      ended.push(await client.deadLetters.wait({ topic: 'failed', jobId }));
    },
    120_000 + rounds * 15_000,
  );

  afterAll(async () => {
    await client.close();
    await broker[Symbol.asyncDispose]();
  });

  it('brought every letter back once, and left none', async () => {
    const seen = new Map<string, number>();
    for await (const record of client.reader('origin', { from: 'earliest', stopAtEnd: true })) {
      const isRedriven = [...record.headers].some(([name]) => name === 'millrace-redriven');
      if (isRedriven) seen.set(record.text(), (seen.get(record.text()) ?? 0) + 1);
    }
    expect([...seen].filter(([, times]) => times !== 1)).toEqual([]);
    expect(seen.size).toBe(letterCount);
    const { partitions: held } = await client.subscriptions.get('failed', 'dead-letters');
    expect(held).toMatchObject([{ backlog: 0, dead: 0 }]);
  });

  it('counted what it did, over kills and cancels', () => {
    expect(ended.reduce((sum, { done }) => sum + done, 0)).toBe(letterCount);
    expect(ended.at(-1)).toMatchObject({ state: 'done', stayed: 0 });
  });

  it('gave them to the subscription that had given them up, in their order, and to no other', async () => {
    const { partitions: work } = await client.subscriptions.get('origin', 'work');
    expect(work.reduce((sum, { backlog }) => sum + backlog, 0)).toBe(letterCount);
    for (let partition = 0; partition < partitions; partition++) {
      const back = client.subscriptions.browse('origin', 'work', { partition });
      const values = (await Array.fromAsync(back)).map(({ value }) => Number(value.toString()));
      expect(values).toEqual(values.toSorted((a, b) => a - b));
    }
    const others: string[] = [];
    const other = client.consume('origin', 'other', (message) => void others.push(message.text()));
    await expect
      .poll(async () => backlogOf(client, 'origin', 'other'), { timeout: 10_000 })
      .toBe(0);
    await other.close();
    expect(others).toEqual([]);
  });
});

describe(`a purge killed ${Math.min(rounds, 3)} times (CRASH_SEED=${seed})`, () => {
  it('removes each letter that matches, once, and no other', async () => {
    const random = seededRandom(seed);
    await using broker = await BrokerProcess.start();
    await using client = connect({ server: broker.server });
    await giveUpAll(client);
    const { jobId } = await client.deadLetters.purge('failed', {
      headers: { parity: 'odd' },
      recordsPerSecondMax: letterCount / 4,
    });
    for (let round = 0; round < Math.min(rounds, 3); round++) {
      await new Promise((resolve) => setTimeout(resolve, 50 + random.next() * 300));
      await broker.kill('SIGKILL');
      await broker.restart();
    }
    const job = await client.deadLetters.wait({ topic: 'failed', jobId });
    const half = letterCount / 2;
    expect(job).toMatchObject({ state: 'done', scanned: letterCount, matched: half, done: half });
    expect(await backlogOf(client, 'failed', 'dead-letters')).toBe(half);
    const odd = client.deadLetters.peek('failed', { headers: { parity: 'odd' } });
    expect(await Array.fromAsync(odd)).toEqual([]);
  }, 300_000);
});

/** Each point in its turn. */
function failPoint(turn: number, random: Random): Record<string, string> {
  const point = points[turn % points.length] ?? points[0];
  const times = point === 'redrive-before-end' ? 1 : 1 + Math.floor(random.next() * 60);
  return { FAIL_POINT: `${point}:${times}` };
}

async function giveUpAll(client: Client): Promise<void> {
  await client.topics.apply('failed');
  await client.topics.apply('origin', { partitions });
  await client.subscriptions.apply('origin', 'work', { kind: 'queue', deadLetterTopic: 'failed' });
  const publisher = client.publisher('origin');
  for (let i = 0; i < letterCount; i++) {
    const headers = { parity: i % 2 === 0 ? 'even' : 'odd' };
    publisher.send({ key: `key ${i % 50}`, value: `${i}`, headers });
  }
  await publisher.close();
  const work = client.consume('origin', 'work', () => {
    throw new RejectError('not now');
  });
  const giveUpAtMs = performance.now() + 60_000;
  for (let left = 1; left > 0; left = await backlogOf(client, 'origin', 'work')) {
    if (performance.now() > giveUpAtMs) throw new Error(`${left} records did not die`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await work.close();
}

async function backlogOf(client: Client, topic: string, name: string): Promise<number> {
  const { partitions: all } = await client.subscriptions.get(topic, name);
  return all.reduce((sum, { backlog }) => sum + backlog, 0);
}
