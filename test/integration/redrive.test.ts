// Redrive and purge against a real broker: every verb and filter, rate, dry run, cancel, what has nowhere to go, and
// who gets what is brought back.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  connect,
  RejectError,
  type Client,
  type DeadLetter,
  type DeadLetterFilter,
  type Message,
} from '../../client/src/index.ts';
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

/** Other work of the machine must not fail a test. */
const waited = { timeout: 20_000 };
const quick = { ackDeadlineMs: 1_000, backoffMinMs: 1, backoffMaxMs: 5 } as const;

/** A topic whose subscription `work` gives up each of the values, in their order; answers the dead-letter topic. */
async function deadTopic(
  topic: string,
  values: readonly string[],
  partitions = 1,
): Promise<string> {
  const failed = `${topic}-failed`;
  await client.topics.apply(failed);
  await client.topics.apply(topic, { partitions });
  await client.subscriptions.apply(topic, 'work', {
    kind: 'queue',
    ...quick,
    deadLetterTopic: failed,
    attemptsMax: 1,
  });
  await giveUp(topic, values);
  return failed;
}

/** Odd ones are rejected, even ones fail for the last time. */
async function giveUp(topic: string, values: readonly string[]): Promise<void> {
  const publisher = client.publisher(topic, { batchBytes: 1 });
  for (const value of values) {
    const headers = { parity: Number(value) % 2 === 0 ? 'even' : 'odd' };
    await publisher.publish({ key: `key ${value}`, value, headers });
  }
  await publisher.close();
  const before = await held(`${topic}-failed`);
  const work = client.consume(topic, 'work', (message: Message) => {
    if (Number(message.text()) % 2 === 0) throw new Error(`failed on ${message.text()}`);
    throw new RejectError(`no to ${message.text()}`);
  });
  await expect.poll(() => held(`${topic}-failed`), waited).toBe(before + values.length);
  await work.close();
}

/** Letters that are not dealt with. */
async function held(failed: string): Promise<number> {
  for await (const { topic, letters } of client.deadLetters.topics()) {
    if (topic === `public/default/${failed}`) return letters;
  }
  return 0;
}

/** Values of what a subscription has to work on, in the order of partitions and offsets. */
async function waiting(topic: string, subscription = 'work'): Promise<string[]> {
  const { partitions } = await client.subscriptions.get(topic, subscription);
  const values: string[] = [];
  for (const { partition } of partitions) {
    const records = client.subscriptions.browse(topic, subscription, { partition });
    for await (const { value } of records) values.push(value.toString());
  }
  return values;
}

async function peeked(topic: string, filter: DeadLetterFilter = {}): Promise<string[]> {
  const found: DeadLetter[] = await Array.fromAsync(client.deadLetters.peek(topic, filter));
  return found.map(({ value }) => value.toString());
}

const upTo = (count: number): string[] => Array.from({ length: count }, (_, i) => `${i}`);

describe('looking at dead letters', () => {
  it('lists their topics and those that are only named, and counts by origin and reason', async () => {
    const failed = await deadTopic('counted', upTo(5));
    await client.subscriptions.apply('counted', 'other', {
      kind: 'queue',
      deadLetterTopic: 'not-there',
    });
    const topics = await Array.fromAsync(client.deadLetters.topics());
    expect(topics.find(({ topic }) => topic === `public/default/${failed}`)).toMatchObject({
      exists: true,
      letters: 5,
      sources: [{ topic: 'public/default/counted', subscription: 'work' }],
    });
    expect(topics.find(({ topic }) => topic === 'public/default/not-there')).toEqual({
      topic: 'public/default/not-there',
      exists: false,
      letters: 0,
      oldestMs: undefined,
      sources: [{ topic: 'public/default/counted', subscription: 'other' }],
    });
    const { counts, damaged } = await client.deadLetters.count(failed);
    expect(damaged).toBe(0);
    const origin = { originTopic: 'public/default/counted', originSubscription: 'work' };
    expect(counts).toMatchObject([
      { ...origin, reason: 'attempts_exhausted', letters: 3 },
      { ...origin, reason: 'rejected', letters: 2 },
    ]);
    const { counts: odd } = await client.deadLetters.count(failed, { headers: { parity: 'odd' } });
    expect(odd).toMatchObject([{ reason: 'rejected', letters: 2 }]);
  });

  it('shows each with its origin, and changes nothing', async () => {
    const failed = await deadTopic('shown', upTo(3));
    const before = await client.subscriptions.get(failed, 'dead-letters');
    const letters = await Array.fromAsync(client.deadLetters.peek(failed, { lettersMax: 2 }));
    expect(letters).toHaveLength(2);
    expect(letters[1]).toMatchObject({
      partition: 0,
      offset: 1,
      state: 'ready',
      originTopic: 'public/default/shown',
      originPartition: 0,
      originOffset: 1,
      originSubscription: 'work',
      reason: 'rejected',
      attempts: 1,
      error: 'no to 1',
      redriven: 0,
      key: Buffer.from('key 1'),
      value: Buffer.from('1'),
      headers: [['parity', Buffer.from('odd')]],
    });
    expect(await client.subscriptions.get(failed, 'dead-letters')).toEqual(before);
  });

  it('filters by reason, key, header, time and origin, alone and together', async () => {
    const failed = await deadTopic('filtered', upTo(4));
    const [, , third] = await Array.fromAsync(client.deadLetters.peek(failed));
    const diedMs = third?.appendTimeMs ?? 0;
    expect(await peeked(failed, { reasons: ['rejected'] })).toEqual(['1', '3']);
    expect(await peeked(failed, { reasons: ['expired'] })).toEqual([]);
    expect(await peeked(failed, { reasons: ['rejected', 'attempts_exhausted'] })).toHaveLength(4);
    expect(await peeked(failed, { key: 'key 2' })).toEqual(['2']);
    expect(await peeked(failed, { key: '' })).toEqual([]);
    expect(await peeked(failed, { headers: { parity: 'even' } })).toEqual(['0', '2']);
    expect(await peeked(failed, { headers: { parity: 'even', more: '' } })).toEqual([]);
    expect((await peeked(failed, { sinceMs: diedMs })).slice(-2)).toEqual(['2', '3']);
    expect(await peeked(failed, { sinceMs: Date.now() + 3_600_000 })).toEqual([]);
    expect(await peeked(failed, { untilMs: diedMs + 3_600_000 })).toHaveLength(4);
    expect(await peeked(failed, { originTopic: 'filtered' })).toHaveLength(4);
    expect(await peeked(failed, { originTopic: 'other' })).toEqual([]);
    expect(await peeked(failed, { originSubscription: 'other' })).toEqual([]);
    expect(await peeked(failed, { reasons: ['rejected'], key: 'key 3' })).toEqual(['3']);
    const empty = Array.fromAsync(client.deadLetters.peek(failed, { sinceMs: 5, untilMs: 5 }));
    await expect(empty).rejects.toMatchObject({ reason: 'SPEC_INVALID' });
  });

  it('goes on page by page', async () => {
    await client.topics.apply('paged', { partitions: 3 });
    await client.subscriptions.apply('paged', 'dead-letters', { kind: 'queue' });
    const publisher = client.publisher('paged', { compression: 'gzip' });
    for (const value of upTo(350)) publisher.send({ key: value, value });
    await publisher.close();
    expect((await peeked('paged')).map(Number).toSorted((a, b) => a - b)).toEqual(
      upTo(350).map(Number),
    );
    const { counts } = await client.deadLetters.count('paged');
    expect(counts).toMatchObject([{ originTopic: '', reason: undefined, letters: 350 }]);
  });
});

describe('a redrive', () => {
  it('brings letters back in their order, for the subscription that gave them up only', async () => {
    const failed = await deadTopic('back', upTo(6));
    await client.subscriptions.apply('back', 'other', { kind: 'queue', start: 'latest' });
    const started = await client.deadLetters.redrive(failed);
    expect(started).toMatchObject({ action: 'redrive', topic: `public/default/${failed}` });
    const job = await client.deadLetters.wait(started);
    expect(job).toMatchObject({ state: 'done', scanned: 6, matched: 6, done: 6, stayed: 0 });
    expect(await held(failed)).toBe(0);
    expect(await waiting('back')).toEqual(upTo(6));

    const worked: { value: string; attempt: number; headers: string[] }[] = [];
    const work = client.consume('back', 'work', (message: Message) => {
      const headers = [...message.headers].map(([name, value]) => `${name}=${String(value)}`);
      worked.push({ value: message.text(), attempt: message.attempt, headers });
    });
    await expect.poll(() => worked.length, waited).toBe(6);
    await work.close();
    expect(worked[0]).toEqual({
      value: '0',
      attempt: 1,
      headers: ['parity=even', 'millrace-redriven=1'],
    });
    const others: string[] = [];
    const other = client.consume('back', 'other', (message: Message) => {
      others.push(message.text());
    });
    await expect
      .poll(async () => (await client.subscriptions.get('back', 'other')).partitions[0], waited)
      .toMatchObject({ backlog: 0, ackedOffset: 12 });
    await other.close();
    expect(others).toEqual([]);
    const all = client.reader('back', { from: 'earliest', stopAtEnd: true });
    const values = (await Array.fromAsync(all)).map((record) => record.text());
    expect(values).toEqual([...upTo(6), ...upTo(6)]);
  });

  it('of a record that dies again counts how often it was redriven', async () => {
    const failed = await deadTopic('again', ['1']);
    for (const times of [1, 2]) {
      const work = client.consume('again', 'work', () => {
        throw new RejectError('still no');
      });
      await client.deadLetters.wait(await client.deadLetters.redrive(failed));
      await expect.poll(() => held(failed), waited).toBe(1);
      await work.close();
      const [letter] = await Array.fromAsync(client.deadLetters.peek(failed));
      expect(letter).toMatchObject({ redriven: times, attempts: 1, originOffset: times });
    }
  });

  it('takes what the filter matches, and only that', async () => {
    const failed = await deadTopic('some', upTo(6));
    const job = await client.deadLetters.redrive(failed, { reasons: ['rejected'] });
    expect(await client.deadLetters.wait(job)).toMatchObject({ scanned: 6, matched: 3, done: 3 });
    expect(await waiting('some')).toEqual(['1', '3', '5']);
    expect(await peeked(failed)).toEqual(['0', '2', '4']);
  });

  it('goes to the partition of the key, in the order of its letters', async () => {
    const failed = await deadTopic('parts', upTo(20), 4);
    const origins = await Array.fromAsync(client.deadLetters.peek(failed));
    await client.deadLetters.wait(await client.deadLetters.redrive(failed));
    for (let partition = 0; partition < 4; partition++) {
      const back = await Array.fromAsync(
        client.subscriptions.browse('parts', 'work', { partition }),
      );
      const expected = origins.filter(({ originPartition }) => originPartition === partition);
      expect(back.map(({ value }) => value.toString())).toEqual(
        expected.map(({ value }) => value.toString()),
      );
    }
    expect(await held(failed)).toBe(0);
  });

  it('only counts in a dry run', async () => {
    const failed = await deadTopic('dry', upTo(4));
    const job = await client.deadLetters.redrive(failed, { key: 'key 2', dryRun: true });
    const outcome = { state: 'done', scanned: 4, matched: 1, done: 0, stayed: 0 };
    expect(await client.deadLetters.wait(job)).toMatchObject(outcome);
    expect(await held(failed)).toBe(4);
    expect(await waiting('dry')).toEqual([]);
  });

  it('keeps to its rate, says how far it is, and can be cancelled half-way', async () => {
    const failed = await deadTopic('slow', upTo(60));
    const startedMs = performance.now();
    const { jobId } = await client.deadLetters.redrive(failed, { recordsPerSecondMax: 20 });
    await expect
      .poll(async () => (await client.deadLetters.job(failed, jobId)).done, waited)
      .toBeGreaterThan(5);
    const cancelled = await client.deadLetters.cancel(failed, jobId);
    const seconds = (performance.now() - startedMs) / 1_000;
    // What was on its way then has come back.
    expect(cancelled.state).toBe('cancelled');
    expect(cancelled.done + cancelled.stayed).toBe(cancelled.matched);
    expect(cancelled.done).toBeLessThanOrEqual(20 * seconds + 2);
    expect(cancelled.done).toBeLessThan(60);
    expect(await held(failed)).toBe(60 - cancelled.done);
    expect(await waiting('slow')).toEqual(upTo(cancelled.done));
    expect(await client.deadLetters.cancel(failed, jobId)).toEqual(cancelled);
    expect(await client.deadLetters.jobs(failed)).toEqual([cancelled]);
  });

  it('to another topic is for everybody there', async () => {
    const failed = await deadTopic('moved', upTo(5));
    await client.topics.apply('elsewhere', { partitions: 2 });
    await client.subscriptions.apply('elsewhere', 'one', { kind: 'queue' });
    const job = await client.deadLetters.redrive(failed, { to: 'elsewhere' });
    expect(await client.deadLetters.wait(job)).toMatchObject({ done: 5, stayed: 0 });
    expect((await waiting('elsewhere', 'one')).toSorted()).toEqual(upTo(5));
    expect(await waiting('moved')).toEqual([]);
  });

  it('leaves a letter whose topic or subscription is gone, and says why', async () => {
    const failed = await deadTopic('gone', upTo(3));
    await client.subscriptions.delete('gone', 'work');
    const first = await client.deadLetters.wait(await client.deadLetters.redrive(failed));
    expect(first).toMatchObject({ state: 'done', matched: 3, done: 0, stayed: 3 });
    expect(first.stayedBecause).toContain('work');
    await client.topics.delete('gone');
    const second = await client.deadLetters.wait(await client.deadLetters.redrive(failed));
    expect(second).toMatchObject({ done: 0, stayed: 3 });
    expect(second.stayedBecause).toContain('public/default/gone');
    expect(await peeked(failed)).toEqual(upTo(3));
  });

  it('leaves a letter that a consumer has, and one that nobody gave up', async () => {
    const failed = await deadTopic('taken', upTo(2));
    const [taken] = await client.pull(failed, 'dead-letters', { recordsMax: 1 });
    await client.publisher(failed).publish({ value: 'by hand' });
    const job = await client.deadLetters.wait(await client.deadLetters.redrive(failed));
    expect(job).toMatchObject({ scanned: 3, matched: 3, done: 1, stayed: 2 });
    expect(await waiting('taken')).toEqual(['1']);
    await taken?.ack();
    expect(await peeked(failed)).toEqual(['by hand']);
  });

  it('waits while its target refuses, says so, and gives everything back when it is cancelled', async () => {
    const failed = await deadTopic('refusing', upTo(4));
    await client.subscriptions.apply('refusing', 'behind', { kind: 'queue', start: 'earliest' });
    await client.topics.apply('refusing', {
      backlogQuota: { bytes: 1, policy: 'refuse-publish' },
    });
    const { jobId } = await client.deadLetters.redrive(failed);
    await expect
      .poll(async () => (await client.deadLetters.job(failed, jobId)).waitingFor, waited)
      .toContain('backlog quota');
    const states = await Array.fromAsync(client.subscriptions.browse(failed, 'dead-letters'));
    expect(states).toMatchObject([{ state: 'dead', reason: 'redriven' }, {}, {}, {}]);
    expect(await client.deadLetters.cancel(failed, jobId)).toMatchObject({ done: 0, stayed: 4 });
    expect(await waiting('refusing')).toEqual([]);

    const next = await client.deadLetters.redrive(failed);
    await client.topics.apply('refusing', { backlogQuota: { bytes: 0, policy: 'refuse-publish' } });
    expect(await client.deadLetters.wait(next)).toMatchObject({ done: 4, stayed: 0 });
    expect(await waiting('refusing')).toEqual(upTo(4));
    expect(await held(failed)).toBe(0);
  }, 30_000);

  it('gives back what is on its way when its target is deleted', async () => {
    const failed = await deadTopic('deleted', upTo(3));
    await client.subscriptions.apply('deleted', 'behind', { kind: 'queue', start: 'earliest' });
    await client.topics.apply('deleted', { backlogQuota: { bytes: 1, policy: 'refuse-publish' } });
    const { jobId } = await client.deadLetters.redrive(failed);
    await expect
      .poll(async () => (await client.deadLetters.job(failed, jobId)).waitingFor, waited)
      .not.toBe('');
    await client.topics.delete('deleted');
    const job = await client.deadLetters.wait({ topic: failed, jobId });
    expect(job).toMatchObject({ state: 'done', done: 0, stayed: 3 });
    expect(await peeked(failed)).toEqual(upTo(3));
  }, 30_000);

  it('goes on after a restart of the broker, with its figures', async () => {
    const failed = await deadTopic('restarted', upTo(40));
    const { jobId } = await client.deadLetters.redrive(failed, { recordsPerSecondMax: 30 });
    await expect
      .poll(async () => (await client.deadLetters.job(failed, jobId)).done, waited)
      .toBeGreaterThan(3);
    await broker.kill('SIGTERM');
    await broker.restart();
    const job = await client.deadLetters.wait({ topic: failed, jobId });
    expect(job).toMatchObject({ state: 'done', scanned: 40, matched: 40, done: 40, stayed: 0 });
    expect(await waiting('restarted')).toEqual(upTo(40));
    await broker.kill('SIGKILL');
    await broker.restart();
    expect(await client.deadLetters.job(failed, jobId)).toEqual(job);
  }, 60_000);
});

describe('a purge', () => {
  it('removes what matches, durably', async () => {
    const failed = await deadTopic('purged', upTo(6));
    const dry = await client.deadLetters.purge(failed, { key: 'key 0', dryRun: true });
    expect(await client.deadLetters.wait(dry)).toMatchObject({ matched: 1, done: 0 });
    const job = await client.deadLetters.wait(
      await client.deadLetters.purge(failed, { headers: { parity: 'odd' } }),
    );
    expect(job).toMatchObject({ action: 'purge', state: 'done', scanned: 6, matched: 3, done: 3 });
    await broker.kill('SIGKILL');
    await broker.restart();
    expect(await peeked(failed)).toEqual(['0', '2', '4']);
    const rest = await client.deadLetters.wait(await client.deadLetters.purge(failed));
    expect(rest).toMatchObject({ scanned: 3, done: 3 });
    expect(await held(failed)).toBe(0);
  }, 30_000);
});

describe('what is refused', () => {
  it('has a reason', async () => {
    const failed = await deadTopic('refused', ['0']);
    const { deadLetters } = client;
    const reason = (of: string) => ({ reason: of });
    await expect(deadLetters.redrive('nowhere')).rejects.toMatchObject(reason('TOPIC_NOT_FOUND'));
    await expect(deadLetters.redrive('refused')).rejects.toMatchObject(
      reason('SUBSCRIPTION_NOT_FOUND'),
    );
    await expect(deadLetters.redrive(failed, { to: 'nowhere' })).rejects.toMatchObject(
      reason('TOPIC_NOT_FOUND'),
    );
    await expect(deadLetters.redrive(failed, { to: failed })).rejects.toMatchObject(
      reason('SPEC_INVALID'),
    );
    await expect(deadLetters.job(failed, '77777')).rejects.toMatchObject(reason('JOB_NOT_FOUND'));
    await expect(deadLetters.cancel(failed, 'x')).rejects.toMatchObject(reason('JOB_NOT_FOUND'));
    await client.topics.apply('keyed');
    await client.subscriptions.apply('keyed', 'dead-letters', { kind: 'keyed_queue' });
    await expect(deadLetters.purge('keyed')).rejects.toMatchObject(
      reason('SUBSCRIPTION_KIND_MISMATCH'),
    );
  });

  it('is more than four jobs at a time; of those that ended the last are remembered', async () => {
    const failed = await deadTopic('many', upTo(30));
    const slow = { recordsPerSecondMax: 1 };
    for (let i = 0; i < 4; i++) await client.deadLetters.redrive(failed, slow);
    await expect(client.deadLetters.redrive(failed)).rejects.toMatchObject({
      reason: 'LIMIT_REACHED',
    });
    for (const { jobId } of await client.deadLetters.jobs(failed)) {
      await client.deadLetters.cancel(failed, jobId);
    }
    for (let i = 0; i < 20; i++) {
      await client.deadLetters.wait(await client.deadLetters.redrive(failed, { dryRun: true }));
    }
    const jobs = await client.deadLetters.jobs(failed);
    expect(jobs).toHaveLength(20);
    expect(jobs.every(({ dryRun }) => dryRun)).toBe(true);
  }, 30_000);
});

describe('the command line', () => {
  it('lists, peeks, redrives, purges and cancels', async () => {
    const failed = await deadTopic('cli', upTo(30));
    const dlq = (...args: string[]) => runMillrace(broker.server, ['dlq', ...args]);
    expect((await dlq('list')).stdout).toMatch(/cli-failed +30 .*public\/default\/cli work/);
    expect((await dlq('list', failed)).stdout).toMatch(/public\/default\/cli +work +rejected +15/);
    const peek = await dlq('peek', failed, '--key', 'key 1');
    expect(peek.stdout).toMatch(/public\/default\/cli\/0@1 work +rejected +1 +no to 1 +key 1 +1/);
    const json = await dlq('peek', failed, '--reason', 'rejected', '--count', '1', '-o', 'json');
    expect(JSON.parse(json.stdout)).toMatchObject({ originOffset: 1, value: '1' });
    const dry = await dlq('redrive', failed, '--header', 'parity=odd', '--dry-run');
    expect(dry.stdout).toBe('would redrive 15 of 30 letters\n');
    const redriven = await dlq('redrive', failed, '--reason', 'rejected');
    expect(redriven).toMatchObject({ code: 0, stdout: 'redriven 15 of 30 letters\n' });
    expect(await waiting('cli')).toHaveLength(15);
    expect((await dlq('purge', failed)).code).toBe(2);
    const slow = await dlq('redrive', failed, '--rate', '1', '--detach', '-o', 'json');
    const { jobId } = JSON.parse(slow.stdout) as { jobId: string };
    expect((await dlq('cancel', failed, jobId)).stdout).toMatch(/cancelled$/m);
    expect((await dlq('jobs', failed)).stdout).toMatch(new RegExp(`${jobId} +redrive +cancelled`));
    expect((await dlq('purge', failed, '--all')).stdout).toMatch(/^purged \d+ of \d+ letters$/m);
    expect(await held(failed)).toBe(0);
  }, 60_000);
});
