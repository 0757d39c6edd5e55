import fc from 'fast-check';
import { expect, it } from 'vitest';
import { NameIndex } from '../../broker/catalog/name-index.ts';
import { seededRandom } from '../../broker/core/random.ts';

it('holds what a sorted set holds, after any adds and removes', () => {
  const name = fc.string({ minLength: 1, maxLength: 3, unit: fc.constantFrom('a', 'b', 'c', '-') });
  const step = fc.record({ add: fc.boolean(), name });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), name, (steps, from) => {
      const index = new NameIndex();
      const model = new Set<string>();
      for (const { add, name: item } of steps) {
        if (add) {
          expect(index.add(item)).toBe(!model.has(item));
          model.add(item);
        } else {
          expect(index.remove(item)).toBe(model.delete(item));
        }
      }
      const sorted = [...model].sort();
      expect([...index.from('')]).toEqual(sorted);
      expect([...index.from(from)]).toEqual(sorted.filter((item) => item >= from));
    }),
  );
});

it('stays sorted while blocks split and vanish', () => {
  const index = new NameIndex();
  const random = seededRandom(7);
  const names = Array.from({ length: 5_000 }, () => random.hex(4));
  for (const name of names) index.add(name);
  const sorted = [...new Set(names)].sort();
  expect([...index.from('')]).toEqual(sorted);
  const kept = sorted.filter((_, i) => i % 1_000 === 0);
  for (const name of names) if (!kept.includes(name)) index.remove(name);
  expect([...index.from('')]).toEqual(kept);
  expect([...index.from(`${kept[2]}x`)]).toEqual(kept.slice(3));
});
