// What a journal demands of its storage, on every adapter.
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { seededRandom } from '../../broker/core/random.ts';
import { encodeKey, keyKinds } from '../../broker/journal/format.ts';
import { lmdbStorage } from '../../broker/journal/storage-lmdb.ts';
import type { JournalStorage } from '../../broker/journal/storage.ts';
import { SimulatedDisk } from '../support/simulated-disk.ts';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-storage-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

const adapters: readonly (readonly [string, () => JournalStorage])[] = [
  ['LMDB', () => lmdbStorage(directory, 64 * 1024 * 1024)],
  ['the simulated disk', () => new SimulatedDisk(seededRandom(1)).storage()],
];

const page = (number: number): Buffer => encodeKey(keyKinds.page, number);

describe.each(adapters)('journal storage on %s', (_name, create) => {
  it('keeps rows and answers copies of them, also after the file was closed', async () => {
    const storage = create();
    const file = await storage.create('1-1');
    const value = Buffer.alloc(100_000, 'a');
    await file.write([
      { key: page(7), value },
      { key: page(2 ** 40), value: Buffer.from('far') },
      { key: encodeKey(keyKinds.seal, 0), value: Buffer.from('seal') },
    ]);
    const copy = file.read(page(7));
    copy?.fill('b');
    expect(file.read(page(7))).toEqual(value);
    await file.prefetch([page(7)]);
    await file.close();
    const again = await storage.open('1-1');
    expect(again.read(page(2 ** 40))?.toString()).toBe('far');
    expect(again.read(page(8))).toBeUndefined();
    expect(again.numbers(keyKinds.page)).toEqual([7, 2 ** 40]);
    expect(again.bytes()).toBeGreaterThan(0);
    await again.close();
  });

  it('replaces the list as a whole, and lists and removes files', async () => {
    const storage = create();
    expect(await storage.readList()).toBeUndefined();
    for (const name of ['1-1', '1-2']) await (await storage.create(name)).close();
    await storage.writeList(Buffer.from('first'));
    await storage.writeList(Buffer.from('second'));
    expect((await storage.readList())?.toString()).toBe('second');
    await storage.remove('1-1');
    expect(await storage.existing()).toEqual(['1-2']);
  });

  it('refuses to open what is not there', async () => {
    await expect(create().open('9-9')).rejects.toThrow();
  });
});

describe('an LMDB generation', () => {
  it('only grows: 1,500 small commits leave next to nothing on the free list', async () => {
    const storage = lmdbStorage(directory, 64 * 1024 * 1024);
    const file = await storage.create('1-1');
    for (let i = 0; i < 1_500; i++)
      await file.write([{ key: page(i), value: Buffer.alloc(40, i) }]);
    // 1,500 rows of 50 bytes are 19 pages of 4 KiB; copy-on-write adds a handful.
    expect((await stat(join(directory, '1-1.mdb'))).size).toBeLessThan(64 * 4096);
    await file.close();
  });
});
