import { execFile } from 'node:child_process';
import { link, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { DirectoryObjectStore } from '../../broker/objects/directory.ts';
import { objectKey, type ObjectStore } from '../../broker/objects/object-store.ts';
import { rejectionOf } from '../support/reason-of.ts';
import { withTemporaryDirectory } from '../support/temporary-directory.ts';

const key = objectKey('a/b');
const within = (): AbortSignal => AbortSignal.timeout(5_000);

function withStore(work: (store: ObjectStore, root: string) => Promise<void>): Promise<void> {
  return withTemporaryDirectory(async (directory) => {
    const root = join(directory, 'objects');
    await work(await DirectoryObjectStore.open(root), root);
  });
}

describe('a directory as object store', () => {
  it('holds each object as the file of its key, and nothing else when all is done', () =>
    withStore(async (store, root) => {
      const put = await store.putIfAbsent(key, Buffer.from('x'), within());
      await store.putIfAbsent(key, Buffer.from('y'), within());
      if (put.outcome === 'written') {
        await store.compareAndSwap(key, put.tag, Buffer.from('z'), within());
      }
      expect(await readFile(join(root, 'a', 'b'), 'utf8')).toBe('z');
      expect(await readdir(join(root, '.tmp'))).toEqual([]);
    }));

  it('knows tags and contents again after a restart', () =>
    withStore(async (store, root) => {
      const put = await store.putIfAbsent(key, Buffer.from('x'), within());
      const reopened = await DirectoryObjectStore.open(root);
      if (put.outcome !== 'written') throw new Error(put.outcome);
      const swap = await reopened.compareAndSwap(key, put.tag, Buffer.from('y'), within());
      expect(swap.outcome).toBe('swapped');
    }));

  it('neither shows nor keeps what a crash has left half written', () =>
    withStore(async (store, root) => {
      await writeFile(join(root, '.tmp', '0'), 'half');
      const keys: string[] = [];
      for await (const object of store.list('', within())) keys.push(object.key);
      expect(keys).toEqual([]);
      await DirectoryObjectStore.open(root);
      expect(await readdir(join(root, '.tmp'))).toEqual([]);
    }));

  it('takes an object that a killed process has just linked as existing', () =>
    withStore(async (store, root) => {
      await writeFile(join(root, '.tmp', 'x'), 'theirs');
      await mkdir(join(root, 'a'));
      await link(join(root, '.tmp', 'x'), join(root, 'a', 'b'));
      expect(await store.putIfAbsent(key, Buffer.from('y'), within())).toEqual({
        outcome: 'exists',
      });
    }));

  it('says that nothing happened when the bytes could not be written', () =>
    withStore(async (store, root) => {
      await rm(join(root, '.tmp'), { recursive: true });
      const error = await rejectionOf(store.putIfAbsent(key, Buffer.from('x'), within()));
      expect(error?.reason).toBe('STORE_FAILED');
      expect(error?.effect).toBe('none');
      expect(await store.get(key, within())).toEqual({ outcome: 'missing' });
    }));

  // A volume that fills up does the same, and this needs no volume: the system takes a part of the write.
  it('never takes an object as written of which the system took a part only', () =>
    withTemporaryDirectory(async (directory) => {
      const root = join(directory, 'objects');
      expect(await putBelowFileLimit(root)).toEqual(['STORE_FAILED', 'none', 'EFBIG']);
      const store = await DirectoryObjectStore.open(root);
      expect(await store.get(key, within())).toEqual({ outcome: 'missing' });
      expect(await readdir(join(root, '.tmp'))).toEqual([]);
    }));

  it('gives ranges in buffers of their own, which cross threads without a copy', () =>
    withStore(async (store) => {
      await store.putIfAbsent(key, Buffer.from('0123456789'), within());
      const range = await store.getRange(key, 2, 4, within());
      if (range.outcome !== 'found') throw new Error(range.outcome);
      expect(range.bytes.toString()).toBe('2345');
      expect(range.bytes.buffer.byteLength).toBe(4);
    }));

  it('says STORE_FAILED for a root that cannot be a directory', () =>
    withTemporaryDirectory(async (directory) => {
      await writeFile(join(directory, 'file'), '');
      const error = await rejectionOf(DirectoryObjectStore.open(join(directory, 'file')));
      expect(error?.reason).toBe('STORE_FAILED');
    }));
});

/** Reason, effect and code of a put of 700 KiB in a process whose files may have 256 or 512 KiB. */
async function putBelowFileLimit(root: string): Promise<unknown> {
  const script = `
    const { DirectoryObjectStore } = await import(${JSON.stringify(moduleUrl('directory.ts'))});
    const { objectKey } = await import(${JSON.stringify(moduleUrl('object-store.ts'))});
    const store = await DirectoryObjectStore.open(process.argv[1]);
    const bytes = Buffer.alloc(700 * 1024, 'x');
    const answer = await store.putIfAbsent(objectKey('${key}'), bytes, AbortSignal.timeout(5_000)).then(
      ({ outcome }) => [outcome],
      ({ reason, effect, metadata }) => [reason, effect, metadata.code],
    );
    process.stdout.write(JSON.stringify(answer));`;
  const { stdout } = await promisify(execFile)('sh', [
    '-c',
    'ulimit -f 512; exec "$@"',
    'sh',
    process.execPath,
    '--input-type=module',
    '--eval',
    script,
    root,
  ]);
  return JSON.parse(stdout);
}

function moduleUrl(name: string): string {
  return new URL(`../../broker/objects/${name}`, import.meta.url).href;
}

describe('object keys', () => {
  it.each(['', '/', 'a/', '/a', 'a//b', '..', 'a/../b', '.tmp/0', 'a/.b', 'a b', 'a\\b', 'a\0'])(
    'are never %j',
    (text) => {
      expect(() => objectKey(text)).toThrow('object key');
    },
  );

  it('are at most 1024 bytes, in parts that are file names', () => {
    expect(() => objectKey('x'.repeat(201))).toThrow('object key');
    const part = 'x'.repeat(200);
    expect(() => objectKey(part, part, part, part, part, part)).toThrow('object key');
    expect(objectKey(part, '~dead', 'A_1-2.seg')).toBe(`${part}/~dead/A_1-2.seg`);
  });
});
