// Queues on a broker whose wall clock steps forward and back, while it runs and between two runs: what is delayed comes
// neither early nor never, and what is in flight does not notice.
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, type Client } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';

const hourMs = 3_600_000;
const polled = { timeout: 15_000 };

let directory = '';
let broker: BrokerProcess;
let client: Client;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-clock-'));
  await writeFile(join(directory, 'step'), '0');
  broker = await BrokerProcess.start({
    program: join(import.meta.dirname, '..', 'support', 'broker-with-clock.ts'),
    env: { CLOCK_FILE: join(directory, 'step') },
  });
  client = connect({ server: broker.server });
});

afterAll(async () => {
  await client.close();
  await broker[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

/** The broker's clock is off by so much from now on, or from its next start. */
async function setStep(ms: number): Promise<void> {
  await writeFile(join(directory, 'new'), String(ms));
  await rename(join(directory, 'new'), join(directory, 'step'));
  if (!broker.isRunning) return;
  const seen = () => readFile(join(directory, 'step.seen'), 'utf8');
  await expect.poll(seen, polled).toBe(String(ms));
}

async function queueOn(topic: string): Promise<void> {
  await client.topics.apply(topic);
  await client.subscriptions.apply(topic, 'work', { kind: 'queue', ackDeadlineMs: 600_000 });
}

const statusOf = async (topic: string) =>
  (await client.subscriptions.get(topic, 'work')).partitions[0];

/** How far the broker's clock is ahead, as it stamps a record. */
async function aheadMs(topic: string): Promise<number> {
  const { offset } = await client.publisher(topic).publish({ value: 'now' });
  for await (const record of client.reader(topic, { from: { offset }, stopAtEnd: true })) {
    return record.appendTimeMs - Date.now();
  }
  throw new Error('the record is not there');
}

describe('a wall clock that steps', () => {
  it('forward releases what is due by it, and takes nothing from who holds a record', async () => {
    await queueOn('forward');
    const publisher = client.publisher('forward');
    const dueMs = Date.now() + hourMs;
    await publisher.publish({ value: 'held' });
    await publisher.publish({ value: 'in an hour', deliverAt: dueMs });
    await publisher.publish({ value: 'in ten hours', deliverAt: dueMs + 9 * hourMs });
    const seen: string[] = [];
    const release = Promise.withResolvers<void>();
    const work = client.consume('forward', 'work', async (message) => {
      seen.push(`${message.text()} ${message.attempt}`);
      await release.promise;
    });
    await expect.poll(() => seen, polled).toEqual(['held 1']);
    await setStep(2 * hourMs);
    await expect.poll(() => seen, polled).toEqual(['held 1', 'in an hour 1']);
    expect(await statusOf('forward')).toMatchObject({ inFlight: 2, delayed: 1 });
    release.resolve();
    await expect.poll(() => statusOf('forward'), polled).toMatchObject({ backlog: 1, delayed: 1 });
    await work.close();
    await setStep(0);
  });

  it('back, running or at a restart, delivers nothing early and loses nothing', async () => {
    await queueOn('back');
    const seen: string[] = [];
    const work = client.consume('back', 'work', (message) => void seen.push(message.text()));
    const publisher = client.publisher('back');
    const dueMs = Date.now() + 1_500;
    await publisher.publish({ value: 'late', deliverAt: dueMs });
    await setStep(-hourMs);
    await publisher.publish({ value: 'now' });
    await expect.poll(() => seen, polled).toEqual(['now']);
    // Its time would have come by the clock that was.
    await expect.poll(() => Date.now(), polled).toBeGreaterThan(dueMs + 1_000);
    expect(await statusOf('back')).toMatchObject({ delayed: 1, backlog: 1 });
    await broker.kill('SIGKILL');
    await setStep(-2 * hourMs);
    await broker.restart();
    await publisher.publish({ value: 'after' });
    await expect.poll(() => seen, polled).toEqual(['now', 'after']);
    expect(await statusOf('back')).toMatchObject({ delayed: 1, backlog: 1 });
    await setStep(0);
    await expect.poll(() => seen, polled).toEqual(['now', 'after', 'late']);
    await expect.poll(() => statusOf('back'), polled).toMatchObject({ backlog: 0 });
    await work.close();
  });

  it('at a restart releases at once what has become due meanwhile', async () => {
    await queueOn('meanwhile');
    const publisher = client.publisher('meanwhile');
    await publisher.publish({ value: 'in an hour', deliverAt: Date.now() + hourMs });
    await broker.kill('SIGTERM');
    await setStep(2 * hourMs);
    await broker.restart();
    const seen: string[] = [];
    const work = client.consume('meanwhile', 'work', (message) => void seen.push(message.text()));
    await expect.poll(() => seen, polled).toEqual(['in an hour']);
    await work.close();
  });

  it('back never lets append times go back within a partition', async () => {
    await client.topics.apply('stamped');
    await setStep(2 * hourMs);
    await expect.poll(() => aheadMs('stamped'), polled).toBeGreaterThan(1.9 * hourMs);
    await setStep(0);
    await client.topics.apply('stamped-later');
    await expect.poll(() => aheadMs('stamped-later'), polled).toBeLessThan(hourMs);
    expect(await aheadMs('stamped')).toBeGreaterThan(1.9 * hourMs);
  });
});
