import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../broker/core/random.ts';
import { RetryQueue } from '../../broker/subscription/retry-queue.ts';
import { RunIndex, type OffsetRun } from '../../broker/core/run-index.ts';

describe('RunIndex', () => {
  test('finds among thousands of runs, inserted and removed in any order, what a scan finds', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 3_000 }), (seed, count) => {
        const random = seededRandom(seed);
        const runs: OffsetRun[] = Array.from({ length: count }, (_, i) => ({
          first: 10 * i,
          last: 10 * i + Math.floor(random.next() * 10),
        }));
        const shuffled = runs.toSorted(() => random.next() - 0.5);
        const index = new RunIndex<OffsetRun>();
        for (const run of shuffled) index.insert(run);
        const removed = new Set(shuffled.slice(0, count >> 1));
        for (const run of removed) index.remove(run);
        const kept = runs.filter((run) => !removed.has(run));
        expect([...index]).toEqual(kept);
        expect(index.size).toBe(kept.length);
        for (let i = 0; i < 50; i++) {
          const offset = Math.floor(random.next() * 10 * count);
          const found = kept.find((run) => run.last >= offset);
          expect(index.ceiling(offset)).toBe(found);
          expect(index.at(offset)).toBe(found && found.first <= offset ? found : undefined);
        }
      }),
      { numRuns: 20 },
    );
  });

  test.each([
    [5, 5],
    [0, 5],
    [9, 30],
    [0, 30],
  ])('asserts when %d-%d overlaps a run', (first, last) => {
    const index = new RunIndex<OffsetRun>();
    index.insert({ first: 5, last: 9 });
    index.insert({ first: 20, last: 29 });
    expect(() => index.insert({ first, last })).toThrow(/overlaps/);
  });

  test('asserts when a run is removed that is not in it, or is empty', () => {
    const index = new RunIndex<OffsetRun>();
    index.insert({ first: 5, last: 9 });
    expect(() => index.remove({ first: 5, last: 9 })).toThrow(/not in the index/);
    expect(() => index.remove({ first: 50, last: 90 })).toThrow(/not in the index/);
    expect(() => index.insert({ first: 12, last: 11 })).toThrow(/empty/);
  });
});

describe('RetryQueue', () => {
  test('holds nothing of what was taken out early: removed records leave the heap too', () => {
    const queue = new RetryQueue();
    for (let round = 0; round < 100; round++) {
      queue.put(0, 99, 1, 1_000_000);
      for (let offset = 1; offset < 100; offset += 2) queue.remove(offset, offset);
      expect(queue.count).toBe(50);
      expect(queue.waitingAt(0)).toBe(50);
      expect(queue.remove(0, 200)).toBe(50);
    }
    expect(queue.nextReadyMs).toBe(Infinity);
    expect([...queue]).toEqual([]);
  });

  test('joins ready neighbours of equal attempts, and no others', () => {
    const queue = new RetryQueue();
    queue.put(0, 1, 1, 10);
    queue.put(2, 3, 1, 20);
    queue.put(4, 5, 2, 5);
    queue.put(6, 7, 2, 30);
    expect(queue.ready(4, 100)).toBeUndefined();
    expect(queue.ready(20, 100)).toMatchObject({ first: 4, last: 5, attempts: 2 });
    expect(queue.ready(30, 100)).toMatchObject({ first: 4, last: 7, attempts: 2 });
    queue.take(4, 7);
    expect(queue.ready(20, 100)).toMatchObject({ first: 0, last: 3, attempts: 1 });
    expect(queue.ready(20, 3)).toMatchObject({ first: 0, last: 2, attempts: 1 });
    queue.take(0, 2);
    expect(queue.ready(20, 100)).toMatchObject({ first: 3, last: 3, attempts: 1 });
    expect(() => queue.take(3, 4)).toThrow(/wait for a retry/);
  });
});
