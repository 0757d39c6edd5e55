// What every object store must do, as checks that throw. Run on each adapter, and on broken ones: those must be caught.
import { expect } from 'vitest';
import { BrokerError } from '../../broker/core/errors.ts';
import { objectKey, type ObjectStore, type ObjectTag } from '../../broker/objects/object-store.ts';
import { rejectionOf } from '../support/reason-of.ts';

export interface Check {
  /** A claim about the store. */
  readonly claim: string;
  /** Gets an empty store. */
  readonly run: (this: void, store: ObjectStore) => Promise<void>;
}

const key = objectKey('shards', '0', 'root.json');
const other = objectKey('shards', '0-a', 'root.json');
const one = Buffer.from('one');
const two = Buffer.from('two');
const within = (): AbortSignal => AbortSignal.timeout(5_000);

export const objectStoreChecks: readonly Check[] = [
  {
    claim: 'answers missing for a key that was never written',
    async run(store) {
      expect(await store.get(key, within())).toEqual({ outcome: 'missing' });
      expect(await store.getRange(key, 0, 1, within())).toEqual({ outcome: 'missing' });
      expect(await store.delete(key, within())).toEqual({ outcome: 'missing' });
      const tag = await tagOf(store);
      await store.delete(key, within());
      const swap = await store.compareAndSwap(key, tag, two, within());
      expect(swap).toEqual({ outcome: 'missing' });
      expect(await keysOf(store, '')).toEqual([]);
    },
  },
  {
    claim: 'gives back the bytes that were written, with a tag',
    async run(store) {
      const put = await store.putIfAbsent(key, one, within());
      const got = await store.get(key, within());
      expect(put.outcome).toBe('written');
      expect(got).toMatchObject({ outcome: 'found', bytes: one });
      if (put.outcome === 'written') expect(got).toHaveProperty('tag', put.tag);
      const empty = objectKey('empty');
      await store.putIfAbsent(empty, Buffer.alloc(0), within());
      expect(await store.get(empty, within())).toMatchObject({ bytes: Buffer.alloc(0) });
    },
  },
  {
    claim: 'is not changed by what the writer does with its buffer later',
    async run(store) {
      const bytes = Buffer.from('mine');
      await store.putIfAbsent(key, bytes, within());
      bytes.fill(0);
      const got = await store.get(key, within());
      expect(got).toMatchObject({ bytes: Buffer.from('mine') });
      if (got.outcome === 'found') got.bytes.fill(0);
      expect(await store.get(key, within())).toMatchObject({ bytes: Buffer.from('mine') });
    },
  },
  {
    claim: 'gives ranges, shorter where the object ends',
    async run(store) {
      await store.putIfAbsent(key, Buffer.from('0123456789'), within());
      const range = async (start: number, length: number): Promise<string> => {
        const answer = await store.getRange(key, start, length, within());
        return answer.outcome === 'found' ? answer.bytes.toString() : answer.outcome;
      };
      expect(await range(0, 10)).toBe('0123456789');
      expect(await range(3, 4)).toBe('3456');
      expect(await range(8, 5)).toBe('89');
      expect(await range(10, 1)).toBe('');
      expect(await range(99, 1)).toBe('');
    },
  },
  {
    claim: 'puts only where nothing is',
    async run(store) {
      await store.putIfAbsent(key, one, within());
      expect(await store.putIfAbsent(key, two, within())).toEqual({ outcome: 'exists' });
      expect(await store.get(key, within())).toMatchObject({ bytes: one });
      await store.delete(key, within());
      expect((await store.putIfAbsent(key, two, within())).outcome).toBe('written');
      expect(await store.get(key, within())).toMatchObject({ bytes: two });
    },
  },
  {
    claim: 'swaps only what has the expected tag',
    async run(store) {
      const first = await tagOf(store);
      const swap = await store.compareAndSwap(key, first, two, within());
      expect(swap.outcome).toBe('swapped');
      expect(await store.get(key, within())).toMatchObject({ bytes: two });
      const late = await store.compareAndSwap(key, first, Buffer.from('late'), within());
      expect(late).toEqual({ outcome: 'mismatch' });
      const got = await store.get(key, within());
      expect(got).toMatchObject({ bytes: two });
      if (swap.outcome === 'swapped') expect(got).toHaveProperty('tag', swap.tag);
    },
  },
  {
    claim: 'lets exactly one of many puts win, and shows the bytes of the winner',
    async run(store) {
      const bytes = Array.from({ length: 12 }, (_, i) => Buffer.from(`writer ${i}`));
      const outcomes = await Promise.all(bytes.map((b) => store.putIfAbsent(key, b, within())));
      const winners = outcomes.flatMap((o, i) => (o.outcome === 'written' ? [i] : []));
      expect(winners).toHaveLength(1);
      expect(await store.get(key, within())).toMatchObject({ bytes: bytes[winners[0] ?? -1] });
    },
  },
  {
    claim: 'lets exactly one of many swaps win, in every round',
    async run(store) {
      let tag = await tagOf(store);
      for (let round = 0; round < 3; round++) {
        const bytes = Array.from({ length: 8 }, (_, i) => Buffer.from(`${round} ${i}`));
        const expected = tag;
        const outcomes = await Promise.all(
          bytes.map((b) => store.compareAndSwap(key, expected, b, within())),
        );
        const winners = outcomes.flatMap((o, i) => (o.outcome === 'swapped' ? [i] : []));
        expect(winners).toHaveLength(1);
        const got = await store.get(key, within());
        expect(got).toMatchObject({ bytes: bytes[winners[0] ?? -1] });
        if (got.outcome === 'found') tag = got.tag;
      }
    },
  },
  {
    claim: 'never shows half of an object while it is replaced',
    async run(store) {
      const contents = ['a', 'b'].map((letter) => Buffer.alloc(256 * 1024, letter));
      const [a = one, b = two] = contents;
      const put = await store.putIfAbsent(key, a, within());
      let tag = put.outcome === 'written' ? put.tag : await tagOf(store);
      let writing = true;
      const writer = (async () => {
        for (let i = 0; i < 10; i++) {
          const swap = await store.compareAndSwap(key, tag, i % 2 === 0 ? b : a, within());
          if (swap.outcome === 'swapped') tag = swap.tag;
        }
        writing = false;
      })();
      do {
        const got = await store.get(key, within());
        const whole = got.outcome === 'found' && contents.some((bytes) => bytes.equals(got.bytes));
        expect(whole).toBe(true);
      } while (writing);
      await writer;
    },
  },
  {
    claim: 'lists by any prefix, ascending by the whole key, with sizes',
    async run(store) {
      const keys = ['b', 'a/b/c', 'a-b', 'a/b/d', 'a.b', 'a/bb', 'ab/c', 'c/d/e/f'];
      for (const name of keys) {
        await store.putIfAbsent(objectKey(name), Buffer.alloc(name.length), within());
      }
      const sorted = [...keys].sort();
      expect(await keysOf(store, '')).toEqual(sorted);
      for (const prefix of ['a', 'a/', 'a/b', 'a/b/', 'a/b/c', 'c/d/', 'x', 'a/x/y', '/', '..']) {
        expect(await keysOf(store, prefix)).toEqual(sorted.filter((k) => k.startsWith(prefix)));
      }
      for await (const { key: listed, bytes } of store.list('', within())) {
        expect(bytes).toBe(listed.length);
      }
    },
  },
  {
    claim: 'takes a key that is only the beginning of others as missing',
    async run(store) {
      await store.putIfAbsent(objectKey('a/b'), one, within());
      expect(await store.get(objectKey('a'), within())).toEqual({ outcome: 'missing' });
      expect(await store.getRange(objectKey('a'), 0, 1, within())).toEqual({ outcome: 'missing' });
      expect(await store.get(objectKey('a/b/c'), within())).toEqual({ outcome: 'missing' });
    },
  },
  {
    claim: 'deletes one key and no other',
    async run(store) {
      await store.putIfAbsent(key, one, within());
      await store.putIfAbsent(other, two, within());
      expect(await store.delete(key, within())).toEqual({ outcome: 'deleted' });
      expect(await store.get(key, within())).toEqual({ outcome: 'missing' });
      expect(await store.get(other, within())).toMatchObject({ bytes: two });
      expect(await keysOf(store, 'shards/')).toEqual([other]);
    },
  },
  {
    claim: 'does nothing for a caller who has already given up',
    async run(store) {
      const tag = await tagOf(store);
      const gone = AbortSignal.abort();
      for (const call of [
        store.get(key, gone),
        store.getRange(key, 0, 1, gone),
        store.putIfAbsent(other, one, gone),
        store.compareAndSwap(key, tag, two, gone),
        store.delete(key, gone),
        keysOf(store, '', gone),
      ]) {
        const error = await rejectionOf(call);
        expect(error).toBeInstanceOf(BrokerError);
        expect(error?.reason).toBe('CANCELLED');
        expect(error?.effect).toBe('none');
      }
      expect(await store.get(key, within())).toMatchObject({ bytes: one });
      expect(await keysOf(store, '')).toEqual([key]);
    },
  },
];

/** Writes `one` at the key, unless something is there, and answers the tag of what is. */
async function tagOf(store: ObjectStore): Promise<ObjectTag> {
  await store.putIfAbsent(key, one, within());
  const got = await store.get(key, within());
  if (got.outcome !== 'found') throw new Error('what was just written is missing');
  return got.tag;
}

async function keysOf(store: ObjectStore, prefix: string, signal = within()): Promise<string[]> {
  const keys: string[] = [];
  for await (const object of store.list(prefix, signal)) keys.push(object.key);
  return keys;
}
