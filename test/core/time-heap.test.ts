import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TimeHeap } from '../../broker/core/time-heap.ts';

describe('a heap of times', () => {
  it('gives the earliest first, and what has the same time in the order of its numbers', () => {
    const pushes = fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 200 });
    fc.assert(
      fc.property(pushes, (times) => {
        const heap = new TimeHeap();
        times.forEach((timeMs, item) => heap.push(timeMs, item));
        const left = times.map((timeMs, item) => ({ timeMs, item }));
        left.sort((a, b) => a.timeMs - b.timeMs || a.item - b.item);
        for (const { timeMs, item } of left) {
          expect(heap.nextMs).toBe(timeMs);
          expect(heap.pop()).toBe(item);
        }
        expect(heap.nextMs).toBe(Infinity);
        expect(heap.pop()).toBeUndefined();
      }),
    );
  });
});
