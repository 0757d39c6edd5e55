import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DirectoryObjectStore } from '../../broker/objects/directory.ts';
import type { ObjectStore } from '../../broker/objects/object-store.ts';
import { MemoryObjectStore } from '../support/memory-object-store.ts';
import { withTemporaryDirectory } from '../support/temporary-directory.ts';
import { objectStoreChecks } from './object-store.ts';

describe.each(objectStoreChecks)('an object store $claim', ({ run }) => {
  it('in memory', () => run(new MemoryObjectStore()));

  it('in a directory', () =>
    withTemporaryDirectory(async (directory) => {
      await run(await DirectoryObjectStore.open(join(directory, 'objects')));
    }));
});

/** Stores with one fault each, as real ones have had them. */
const broken: readonly { readonly fault: string; readonly store: () => ObjectStore }[] = [
  {
    fault: 'ignores the tag of a swap',
    store: () =>
      brokenStore({
        async compareAndSwap(key, _expected, bytes, signal) {
          const got = await this.get(key, signal);
          if (got.outcome === 'missing') return got;
          return MemoryObjectStore.prototype.compareAndSwap.call(this, key, got.tag, bytes, signal);
        },
      }),
  },
  {
    fault: 'overwrites on put',
    store: () =>
      brokenStore({
        putIfAbsent(key, bytes, signal) {
          this.objects.delete(key);
          return MemoryObjectStore.prototype.putIfAbsent.call(this, key, bytes, signal);
        },
      }),
  },
  {
    fault: 'creates on swap',
    store: () =>
      brokenStore({
        async compareAndSwap(key, expected, bytes, signal) {
          if (!this.objects.has(key)) {
            const put = await this.putIfAbsent(key, bytes, signal);
            if (put.outcome === 'written') return { outcome: 'swapped', tag: put.tag };
          }
          return MemoryObjectStore.prototype.compareAndSwap.call(
            this,
            key,
            expected,
            bytes,
            signal,
          );
        },
      }),
  },
  {
    fault: 'reads past the range',
    store: () =>
      brokenStore({
        getRange(key, start, length, signal) {
          return MemoryObjectStore.prototype.getRange.call(this, key, start, length + 1, signal);
        },
      }),
  },
  {
    fault: 'lists by part of the key only',
    store: () =>
      brokenStore({
        list(prefix, signal) {
          const part = prefix.slice(0, prefix.lastIndexOf('/') + 1);
          return MemoryObjectStore.prototype.list.call(this, part, signal);
        },
      }),
  },
  {
    fault: 'deletes by prefix',
    store: () =>
      brokenStore({
        delete(key, signal) {
          const beginning = key.split('/')[0] ?? '';
          for (const name of this.objects.keys()) {
            if (name !== key && name.startsWith(beginning)) this.objects.delete(name);
          }
          return MemoryObjectStore.prototype.delete.call(this, key, signal);
        },
      }),
  },
];

function brokenStore(methods: Partial<ObjectStore> & ThisType<MemoryObjectStore>): ObjectStore {
  return Object.assign(new MemoryObjectStore(), methods);
}

it.each(broken)('the checks catch a store that $fault', async ({ store }) => {
  const caught: string[] = [];
  for (const { claim, run } of objectStoreChecks) {
    await run(store()).catch(() => caught.push(claim));
  }
  expect(caught).not.toEqual([]);
  expect(caught.length).toBeLessThan(objectStoreChecks.length);
});
