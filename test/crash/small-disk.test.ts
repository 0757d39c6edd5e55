// A small disk and a store that is away: publishers are held back with the reason, nothing is dropped, and it goes on
// by itself when the store is back.
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { startBroker } from '../../broker/main.ts';
import { readSettings } from '../../broker/settings.ts';
import { connect, MillraceError } from '../../client/src/index.ts';
import { FaultyStore } from '../support/faulty-store.ts';
import { itNeeding } from '../support/needs.ts';

const noMount =
  process.platform === 'linux' && process.getuid?.() === 0
    ? undefined
    : 'mounting a small file system needs Linux and root';

const valueBytes = 64 * 1024;

itNeeding(noMount, 'a disk that fills because the store is away drops nothing', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-small-disk-'));
  const dataDir = join(directory, 'disk');
  execFileSync('mkdir', [dataDir]);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', dataDir]);
  try {
    await fillAndHeal(dataDir, `file://${join(directory, 'store')}`);
  } finally {
    execFileSync('umount', ['-l', dataDir]);
    await rm(directory, { recursive: true, force: true });
  }
});

async function fillAndHeal(dataDir: string, objectStore: string): Promise<void> {
  let store: FaultyStore | undefined;
  const flags = {
    ...{ listen: '127.0.0.1:0', httpListen: '127.0.0.1:0', logLevel: 'error' },
    ...{ generationBytes: '4M', retentionIntervalMs: '50', dataDir, objectStore },
  };
  const onFatal = (error: Error): void => {
    throw error;
  };
  const broker = await startBroker(readSettings(flags, {}), onFatal, {
    wrapStore: (inner) => (store = new FaultyStore(inner)),
  });
  const client = connect({ server: broker.grpcAddress });
  await client.topics.apply('t', {
    retention: { ageMs: 0, bytes: 0, forever: true, unackedAgeMs: 0 },
  });
  if (store === undefined) throw new Error('the store is wrapped');
  store.fault = 'away';
  const confirmed: number[] = [];
  const publish = async (i: number, deliveryTimeoutMs: number): Promise<void> => {
    const publisher = client.publisher('t', { batchBytes: 1, deliveryTimeoutMs });
    const value = Buffer.alloc(valueBytes, String(i % 10));
    value.writeUInt32LE(i);
    await publisher.publish({ value });
    confirmed.push(i);
  };
  let refused: MillraceError | undefined;
  for (let i = 0; refused === undefined; i++) {
    await publish(i, 2_000).catch((error: unknown) => {
      if (!(error instanceof MillraceError)) throw error;
      refused = error;
    });
  }
  expect(refused.message).toContain('DISK_FULL');
  expect(refused.message).toContain('the object store fails');
  expect(confirmed.length * valueBytes).toBeGreaterThan(30_000_000);
  expect((await client.topics.get('t')).partitions).toMatchObject([{ startOffset: 0 }]);

  store.fault = 'none';
  await publish(1_000_000, 30_000);
  const stored = new Set<number>();
  for await (const record of client.reader('t', { from: 'earliest', stopAtEnd: true })) {
    stored.add(Buffer.from(record.value).readUInt32LE());
  }
  expect(confirmed.filter((i) => !stored.has(i))).toEqual([]);
  await client.close();
  await broker.close();
}
