// An object store that is full: publishing and hot reads go on, nothing leaves the disk, and offload catches up by
// itself when there is room.
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { connect, MillraceError, type Client } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { itNeeding } from '../support/needs.ts';

const noMount =
  process.platform === 'linux' && process.getuid?.() === 0
    ? undefined
    : 'mounting a small file system needs Linux and root';

const valueBytes = 64 * 1024;
const count = 240;

itNeeding(noMount, 'a store that is full is waited for', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-full-store-'));
  const store = join(directory, 'store');
  await mkdir(store);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'tmpfs', store]);
  try {
    await fillAndEnlarge(join(directory, 'data'), store);
  } finally {
    execFileSync('umount', ['-l', store]);
    await rm(directory, { recursive: true, force: true });
  }
});

async function fillAndEnlarge(dataDir: string, store: string): Promise<void> {
  await using broker = await BrokerProcess.start({
    dataDir,
    args: [
      ['--object-store', `file://${store}`, '--generation-bytes', '4M', '--hot-bytes', '1'],
      ['--retention-interval-ms', '50', '--log-level', 'error'],
    ].flat(),
  });
  await using client = connect({ server: broker.server });
  const forever = { ageMs: 0, bytes: 0, forever: true, unackedAgeMs: 0 };
  await client.topics.apply('t', { retention: forever });
  await publish(client);
  const refusal: unknown = await client.topics
    .offload('t', { wait: true })
    .catch((e: unknown) => e);
  expect(refusal).toBeInstanceOf(MillraceError);
  expect(refusal).toMatchObject({ reason: 'STORE_FAILED' });
  expect((refusal as MillraceError).message).toContain('ENOSPC');
  await expectAll(client);
  expect(await readdir(join(store, '.tmp'))).toEqual([]);

  execFileSync('mount', ['-o', 'remount,size=64m', store]);
  const waited = { timeout: 15_000, interval: 100 };
  await expect
    .poll(async () => (await client.topics.get('t')).partitions[0]?.offloadedEndOffset, waited)
    .toBeGreaterThan(count / 2);
  await client.topics.offload('t', { wait: true });
  expect((await client.topics.get('t')).partitions).toMatchObject([{ offloadedEndOffset: count }]);
  await expectAll(client);
}

async function publish(client: Client): Promise<void> {
  const publisher = client.publisher('t');
  const values = Array.from({ length: count }, (_, i) => valueOf(i));
  await Promise.all(values.map((value) => publisher.publish({ value })));
  await publisher.close();
}

async function expectAll(client: Client): Promise<void> {
  let next = 0;
  for await (const record of client.reader('t', { from: 'earliest', stopAtEnd: true })) {
    expect(record.text() === valueOf(next), `record ${next}`).toBe(true);
    next++;
  }
  expect(next).toBe(count);
}

function valueOf(i: number): string {
  return `${i} `.padEnd(valueBytes, String(i % 10));
}
