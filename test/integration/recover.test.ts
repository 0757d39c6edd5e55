// A disk is lost: a broker from the object store alone, and what fsck says of the store before and after damage.
import { mkdir, mkdtemp, open, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { connect, type Client } from '../../client/src/index.ts';
import type { FsckReport } from '../../broker/fsck.ts';
import type { RecoverReport } from '../../broker/recover.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { runMillrace, type Finished } from '../support/run-millrace.ts';

const recordBytes = 10_000;
let directory = '';
let store = '';

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-recover-'));
  store = join(directory, 'store');
  await mkdir(store);
});

afterEach(() => rm(directory, { recursive: true, force: true }));

it('a broker from the bucket alone has the records, subscriptions and cursors of the last upload', async () => {
  const first = await startBroker('first');
  const client = connect({ server: first.server });
  await publish(client, 'big', 1_200);
  await publish(client, 'small', 50);
  await ackSome(client, 'small', 'work', 20);
  for (const topic of ['big', 'small']) await client.topics.offload(topic, { wait: true });
  // Only on the disk: lost with it.
  await publish(client, 'small', 5, 50);
  await untilUploaded(client, 'small');
  await client.close();
  await first.kill('SIGKILL');
  await rm(join(directory, 'first'), { recursive: true });

  const report = await run<RecoverReport>('recover', '--data-dir', join(directory, 'second'));
  expect(report.partitions).toMatchObject([
    { topic: 'public/default/big', startOffset: 0, endOffset: 1_200, lostRecords: 0 },
    { topic: 'public/default/small', startOffset: 0, endOffset: 50, lostRecords: 5 },
  ]);

  await using second = await startBroker('second');
  await using again = connect({ server: second.server });
  expect(await readAll(again, 'big')).toEqual(numbers(1_200));
  expect(await readAll(again, 'small')).toEqual(numbers(50));
  expect(await ackSome(again, 'small', 'work', 30)).toEqual(numbers(50).slice(20));
  await publish(again, 'small', 3, 900);
  expect((await readAll(again, 'small')).slice(-3)).toEqual([900, 901, 902]);
  expect((await run<FsckReport>('fsck')).isClean).toBe(true);
});

it('what was offloaded and waited for is recovered, however soon the disk is lost', async () => {
  const first = await startBroker('first', '3600000');
  const client = connect({ server: first.server });
  await publish(client, 'small', 30);
  await client.topics.offload('small', { wait: true });
  await client.close();
  await first.kill('SIGKILL');
  const report = await run<RecoverReport>('recover', '--data-dir', join(directory, 'second'));
  expect(report.partitions).toMatchObject([{ endOffset: 30, lostRecords: 0 }]);
});

it('an old broker that still runs is fenced', async () => {
  const old = await startBroker('first');
  const client = connect({ server: old.server });
  await publish(client, 'small', 5);
  await untilUploaded(client, 'small');
  // The lock of the directory keeps the tools of one machine from each other; another machine would not see it.
  await old.kill('SIGKILL');
  await run<RecoverReport>('recover', '--data-dir', join(directory, 'second'));
  await client.close();
  const { code, stderr } = await millrace(['start', ...flags('first')]);
  expect(stderr).toContain('VOLUME_FOREIGN');
  expect(code).toBe(8);
});

it('fsck finds what is missing and what is damaged, and whose records they are', async () => {
  const broker = await startBroker('first');
  const client = connect({ server: broker.server });
  for (const topic of ['a', 'b']) {
    await publish(client, topic, 900);
    await client.topics.offload(topic, { wait: true });
  }
  await untilUploaded(client, 'a');
  await client.close();
  await broker.kill('SIGKILL');
  const clean = await run<FsckReport>('fsck');
  expect(clean).toMatchObject({ isClean: true, findings: [], referenced: 2 });

  const [first = '', second = ''] = await segments();
  await flipByte(first, 5_000);
  const damaged = await run<FsckReport>('fsck');
  expect(damaged.findings).toMatchObject([
    { kind: 'corrupt', lost: [{ partition: 0, firstOffset: 0 }] },
  ]);
  expect((await run<FsckReport>('fsck', '--fast')).isClean).toBe(true);
  await rm(second);
  const missing = await millrace(['fsck', '--object-store', `file://${store}`, '-o', 'json']);
  expect(missing.code).toBe(8);
  const report = JSON.parse(missing.stdout) as FsckReport;
  expect(report.findings.map(({ kind }) => kind).sort()).toEqual(['corrupt', 'missing']);
  expect(report.findings.find(({ kind }) => kind === 'missing')?.lost).toMatchObject([
    { firstOffset: 0, lastOffset: 899 },
  ]);
});

it('recover refuses a directory that is not empty, and a store that holds nothing', async () => {
  await mkdir(join(directory, 'full', 'something'), { recursive: true });
  const full = await millrace(['recover', ...where(), '--data-dir', join(directory, 'full')]);
  expect(full.stderr).toContain('DATA_DIRECTORY_FAILED');
  const empty = await millrace(['recover', ...where(), '--data-dir', join(directory, 'new')]);
  expect(empty.stderr).toContain('DATA_LOSS');
});

function startBroker(name: string, uploadIntervalMs = '100'): Promise<BrokerProcess> {
  const args = ['--generation-bytes', '4M', '--retention-interval-ms', '100', '--hot-bytes', '1'];
  const upload = ['--checkpoint-upload-interval-ms', uploadIntervalMs];
  return BrokerProcess.start({
    dataDir: join(directory, name),
    args: [...args, ...upload, ...where()],
  });
}

function where(): string[] {
  return ['--object-store', `file://${store}`];
}

function flags(name: string): string[] {
  const listen = ['--listen', '127.0.0.1:0', '--http-listen', '127.0.0.1:0'];
  return ['--data-dir', join(directory, name), ...listen, ...where()];
}

async function publish(client: Client, topic: string, count: number, from = 0): Promise<void> {
  await client.topics.apply(topic);
  const publisher = client.publisher(topic);
  const values = numbers(count).map((i) => `${from + i}:`.padEnd(recordBytes, 'x'));
  await Promise.all(values.map((value) => publisher.publish({ value })));
  await publisher.close();
}

async function readAll(client: Client, topic: string): Promise<number[]> {
  const seen: number[] = [];
  for await (const record of client.reader(topic, { from: 'earliest', stopAtEnd: true })) {
    const text = record.text();
    expect(text.length).toBe(recordBytes);
    seen.push(Number.parseInt(text, 10));
  }
  return seen;
}

/** Takes so many of a queue, acks them durably, and answers them in order. */
async function ackSome(
  client: Client,
  topic: string,
  subscription: string,
  count: number,
): Promise<number[]> {
  await client.subscriptions.apply(topic, subscription, { kind: 'queue', start: 'earliest' });
  const consumer = client.consumer(topic, subscription);
  const seen: number[] = [];
  for await (const message of consumer) {
    await message.ackConfirmed();
    seen.push(Number.parseInt(message.text(), 10));
    if (seen.length === count) break;
  }
  await consumer.close();
  return seen.sort((a, b) => a - b);
}

/** Waits for checkpoints of everything that was done so far. */
async function untilUploaded(client: Client, topic: string): Promise<void> {
  const sinceMs = Date.now();
  // Changes catalog and shard, so that checkpoints of both are due.
  await client.subscriptions.apply(topic, 'tick', { kind: 'stream' });
  await expect
    .poll(
      async () => {
        const { shards } = await client.cluster();
        return Math.min(...shards.map(({ checkpointUploadedMs }) => checkpointUploadedMs));
      },
      { timeout: 10_000 },
    )
    .toBeGreaterThanOrEqual(sinceMs);
}

async function segments(): Promise<string[]> {
  const found = await readdir(join(store, 'tenants'), { recursive: true });
  return found
    .filter((name) => name.endsWith('.seg'))
    .map((name) => join(store, 'tenants', name))
    .sort();
}

async function flipByte(path: string, at: number): Promise<void> {
  expect((await stat(path)).size).toBeGreaterThan(at);
  const file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, at);
  byte[0] = (byte[0] ?? 0) ^ 0x20;
  await file.write(byte, 0, 1, at);
  await file.close();
}

async function run<T>(...args: readonly string[]): Promise<T> {
  const { stdout, stderr } = await millrace([...args, ...where(), '-o', 'json']);
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout) as T;
}

/** Of commands that ask no broker. */
function millrace(args: readonly string[]): Promise<Finished> {
  return runMillrace('', args);
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
