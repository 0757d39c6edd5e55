// Disk faults on a real broker: full, failing, flipped bits, truncated and missing files. Each has a clear error, no
// wrong data, and nothing confirmed is lost.
import { execFileSync } from 'node:child_process';
import { mkdtemp, open, readdir, rm, stat, truncate, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connect, MillraceError, type Client } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { itNeeding } from '../support/needs.ts';

const valueBytes = 16 * 1024;
const smallGenerations = ['--generation-bytes', '1048576', '--retention-interval-ms', '100'];

let dataDir: string;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'millrace-faults-'));
});

afterEach(async () => {
  await rm(dataDir, { recursive: true, force: true });
});

/** Publishes records with distinct values, one after another; answers the values by offset. */
async function publish(client: Client, topic: string, count: number): Promise<Map<number, string>> {
  const publisher = client.publisher(topic, { batchBytes: 1 });
  const stored = new Map<number, string>();
  await Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const value = `${topic} ${i} `.padEnd(valueBytes, 'x');
      const { offset } = await publisher.publish({ value });
      stored.set(offset, value);
    }),
  );
  await publisher.close();
  return stored;
}

async function readAll(client: Client, topic: string): Promise<Map<number, string>> {
  const read = new Map<number, string>();
  const reader = client.reader(topic, { from: 'earliest', stopAtEnd: true });
  for await (const record of reader) read.set(record.offset, record.text());
  return read;
}

async function generationFiles(): Promise<string[]> {
  const directory = join(dataDir, '0');
  const names = (await readdir(directory)).filter((name) => name.endsWith('.mdb'));
  const number = (name: string): number => Number(name.split('-')[1]?.replace('.mdb', ''));
  return names.sort((a, b) => number(a) - number(b)).map((name) => join(directory, name));
}

/** A broker's data with several sealed generations of one topic. */
async function someGenerations(): Promise<Map<number, string>> {
  await using broker = await BrokerProcess.start({ dataDir, args: smallGenerations });
  await using client = connect({ server: broker.server });
  await client.topics.apply('t', {});
  const stored = await publish(client, 't', 300);
  await client.close();
  await broker.kill('SIGTERM');
  return stored;
}

describe('damage on disk', () => {
  it('a flipped bit in stored bytes is DATA_LOSS for that record, and the rest is readable', async () => {
    const stored = await someGenerations();
    const [first = ''] = await generationFiles();
    await flipBit(first, Math.floor((await stat(first)).size / 2));
    await using broker = await BrokerProcess.start({ dataDir, args: smallGenerations });
    await using client = connect({ server: broker.server });

    const read = new Map<number, string>();
    const reader = client.reader('t', { from: 'earliest', stopAtEnd: true });
    const failure = await (async () => {
      for await (const record of reader) read.set(record.offset, record.text());
    })().catch((error: unknown) => error);

    expect(failure).toBeInstanceOf(MillraceError);
    expect((failure as MillraceError).reason).toBe('DATA_LOSS');
    for (const [offset, value] of read) expect(value).toBe(stored.get(offset));
    const damagedAt = Number((failure as MillraceError).metadata['offset']);
    const after = client.reader('t', { from: { offset: damagedAt + 1 }, stopAtEnd: true });
    for await (const record of after) {
      expect(record.text()).toBe(stored.get(record.offset));
      read.set(record.offset, record.text());
    }
    expect(read.size).toBe(stored.size - 1);
  }, 60_000);

  it('a truncated journal file refuses to start, with its name', async () => {
    await someGenerations();
    const [first = ''] = await generationFiles();
    await truncate(first, 40_960);
    await expect(BrokerProcess.start({ dataDir, args: smallGenerations })).rejects.toThrow(
      new RegExp(`${first}.*DATA_LOSS`, 's'),
    );
  }, 60_000);

  it('a missing journal file refuses to start, with its name', async () => {
    await someGenerations();
    const files = await generationFiles();
    const middle = files[1] ?? '';
    await unlink(middle);
    await expect(BrokerProcess.start({ dataDir, args: smallGenerations })).rejects.toThrow(
      new RegExp(`${middle}.*DATA_LOSS`, 's'),
    );
  }, 60_000);

  it('a second broker on the same data is refused, and the first goes on', async () => {
    await using broker = await BrokerProcess.start({ dataDir });
    await expect(BrokerProcess.start({ dataDir })).rejects.toThrow(/DATA_DIRECTORY_IN_USE/);
    await using client = connect({ server: broker.server });
    await client.topics.apply('t', {});
    expect((await publish(client, 't', 5)).size).toBe(5);
  }, 60_000);
});

describe('a write that fails', () => {
  it('ends the broker with JOURNAL_FAILED, and everything confirmed is there after a restart', async () => {
    // 16 MiB a file: the operating system refuses the commit that would go beyond it.
    const limited = ['bash', '-c', 'ulimit -f 16384; exec "$0" "$@"'];
    const broker = await BrokerProcess.start({ dataDir, wrapper: limited });
    const client = connect({ server: broker.server });
    await client.topics.apply('t', {});
    const confirmed = new Map<number, string>();
    const publisher = client.publisher('t', { batchBytes: 1 });
    const publishing = Promise.allSettled(
      Array.from({ length: 2_000 }, async (_, i) => {
        const value = `t ${i} `.padEnd(valueBytes, 'x');
        const { offset } = await publisher.publish({ value });
        confirmed.set(offset, value);
      }),
    );
    expect(await broker.exited()).toBe(8);
    expect(broker.stderr).toMatch(/JOURNAL_FAILED/);
    const confirmedThen = new Map(confirmed);
    await client.close();
    await publishing;
    expect(confirmedThen.size).toBeGreaterThan(0);

    await using again = await BrokerProcess.start({ dataDir });
    await using reading = connect({ server: again.server });
    const read = await readAll(reading, 't');
    for (const [offset, value] of confirmedThen) expect(read.get(offset)).toBe(value);
  }, 60_000);
});

const noMount =
  process.platform === 'linux' && process.getuid?.() === 0
    ? undefined
    : 'mounting a small file system needs Linux and root';

describe('a full disk', () => {
  itNeeding(noMount, 'refuses publishes, takes acks, goes on when there is room', async () => {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=96m', 'tmpfs', dataDir]);
    try {
      await fillThenMakeRoom();
    } finally {
      execFileSync('umount', ['-l', dataDir]);
    }
  });
});

async function fillThenMakeRoom(): Promise<void> {
  await using broker = await BrokerProcess.start({
    dataDir,
    args: ['--generation-bytes', '4194304', '--retention-interval-ms', '100'],
  });
  await using client = connect({ server: broker.server });
  const forever = { ageMs: 0, bytes: 0, forever: true, unackedAgeMs: 0 };
  await client.topics.apply('t', { retention: forever });
  await client.subscriptions.apply('t', 'work', { kind: 'queue' });
  const refused = await fill(client);
  expect(refused.message).toContain('DISK_FULL');

  const consumer = client.consumer('t', 'work');
  let acked = 0;
  for await (const message of consumer) {
    await message.ackConfirmed();
    if (++acked === 20) break;
  }

  const short = { ageMs: 0, bytes: 1024 * 1024, forever: false, unackedAgeMs: 1 };
  await client.topics.apply('t', { retention: short });
  const publisher = client.publisher('t', { deliveryTimeoutMs: 30_000 });
  await expect(publisher.publish({ value: 'there is room again' })).resolves.toBeDefined();
}

/** Publishes until the broker refuses it for want of room; answers the refusal. */
async function fill(client: Client): Promise<MillraceError> {
  const value = Buffer.alloc(64 * 1024, 'x');
  for (;;) {
    const publisher = client.publisher('t', { batchBytes: 1, deliveryTimeoutMs: 2_000 });
    const outcomes = await Promise.allSettled(
      Array.from({ length: 32 }, () => publisher.publish({ value })),
    );
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed === undefined) continue;
    const error: unknown = failed.reason;
    if (!(error instanceof MillraceError)) throw error;
    // Held up while room was made by offload: not yet full.
    if (error.message.includes('DISK_FULL')) return error;
  }
}

async function flipBit(path: string, at: number): Promise<void> {
  const file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, at);
  byte[0] = (byte[0] ?? 0) ^ 0x10;
  await file.write(byte, 0, 1, at);
  await file.close();
}
