import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Heap } from '../../broker/core/heap.ts';

interface Item {
  heapSlot: number;
  key: number;
}

const command = fc.oneof(
  fc.record({ do: fc.constant('push' as const), key: fc.nat(20) }),
  fc.record({ do: fc.constant('pop' as const) }),
  fc.record({ do: fc.constant('remove' as const), which: fc.nat(50) }),
  fc.record({ do: fc.constant('change' as const), which: fc.nat(50), key: fc.nat(20) }),
);

describe('Heap', () => {
  test('gives the least item first, after any pushes, removals and changes', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 60, size: 'max' }), (commands) => {
        const heap = new Heap<Item>((a, b) => a.key < b.key);
        const items: Item[] = [];
        for (const step of commands) {
          const chosen = 'which' in step ? items[step.which % (items.length || 1)] : undefined;
          if (step.do === 'push') {
            const item = { heapSlot: -1, key: step.key };
            heap.push(item);
            items.push(item);
          } else if (step.do === 'pop') {
            const popped = heap.pop();
            expect(popped?.key).toBe(items.length === 0 ? undefined : least(items));
            if (popped !== undefined) items.splice(items.indexOf(popped), 1);
          } else if (chosen !== undefined && step.do === 'remove') {
            heap.remove(chosen);
            items.splice(items.indexOf(chosen), 1);
            expect(chosen.heapSlot).toBe(-1);
          } else if (chosen !== undefined && step.do === 'change') {
            chosen.key = step.key;
            heap.update(chosen);
          }
          expect(heap.size).toBe(items.length);
          expect(heap.peek()?.key).toBe(items.length === 0 ? undefined : least(items));
          expect(new Set(heap.values())).toEqual(new Set(items));
        }
      }),
    );
  });

  test('asserts on an item pushed twice, and on one that is in another heap', () => {
    const heap = new Heap<Item>((a, b) => a.key < b.key);
    const other = new Heap<Item>((a, b) => a.key < b.key);
    const item = { heapSlot: -1, key: 1 };
    heap.push(item);
    expect(() => heap.push(item)).toThrow(/already/);
    expect(() => other.remove(item)).toThrow(/not in slot/);
    heap.clear();
    other.push(item);
    expect(other.peek()).toBe(item);
  });
});

function least(items: readonly Item[]): number {
  return Math.min(...items.map((item) => item.key));
}
