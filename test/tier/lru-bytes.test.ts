// A cache of values within a byte budget: it stays within it, loads once, and gives what was loaded.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LruBytes } from '../../broker/tier/lru-bytes.ts';

const budget = 100;

interface Value {
  readonly key: string;
  readonly bytes: number;
}

async function hops(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await Promise.resolve();
}

describe('values within a budget', () => {
  it('are those used last, as in a plain list', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(12), { maxLength: 60 }), async (keys) => {
        const cache = new LruBytes<Value>(budget, ({ bytes }) => bytes);
        /** Oldest use first. */
        let model: Value[] = [];
        for (const number of keys) {
          const wanted = { key: `${number}`, bytes: 5 + 7 * number };
          let loads = 0;
          const value = await cache.get(wanted.key, () => {
            loads++;
            return Promise.resolve(wanted);
          });
          expect(value).toEqual(wanted);
          const known = model.some(({ key }) => key === wanted.key);
          expect(loads).toBe(known ? 0 : 1);
          model = [...model.filter(({ key }) => key !== wanted.key), wanted];
          const used = () => model.reduce((sum, { bytes }) => sum + bytes, 0);
          while (used() > budget && model.length > 1) model.shift();
          expect(cache.usedBytes).toBe(used());
        }
      }),
    );
  });

  it('count once, however loads of one key meet', async () => {
    for (let later = 0; later < 12; later++) {
      const cache = new LruBytes<Value>(budget, ({ bytes }) => bytes);
      const load = () => hops(1).then(() => ({ key: 'a', bytes: 60 }));
      const first = cache.get('a', load);
      await hops(later);
      await Promise.all([first, cache.get('a', load), cache.get('a', load)]);
      expect(cache.usedBytes, `asked again after ${later} hops`).toBe(60);
    }
  });

  it('whose load fails are asked for again', async () => {
    const cache = new LruBytes<Value>(budget, ({ bytes }) => bytes);
    const refused = () => Promise.reject(new Error('away'));
    const both = await Promise.allSettled([cache.get('a', refused), cache.get('a', refused)]);
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(cache.usedBytes).toBe(0);
    const value = { key: 'a', bytes: 1 };
    expect(await cache.get('a', () => Promise.resolve(value))).toBe(value);
  });

  it('larger than the budget are given, and go with the next', async () => {
    const cache = new LruBytes<Value>(budget, ({ bytes }) => bytes);
    const large = { key: 'large', bytes: 1_000 };
    expect(await cache.get('large', () => Promise.resolve(large))).toBe(large);
    await cache.get('a', () => Promise.resolve({ key: 'a', bytes: 1 }));
    expect(cache.usedBytes).toBe(1);
  });
});
