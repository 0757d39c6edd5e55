import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { partitionId } from '../../broker/core/ids.ts';
import { planAssignment, type Candidate } from '../../broker/subscription/assignment-plan.ts';

const partitions = Array.from({ length: 64 }, (_, i) => partitionId(i + 100));
const names = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 12 }), {
  minLength: 1,
  maxLength: 12,
});

function candidatesOf(list: readonly string[]): Candidate[] {
  return list.map((name, i) => ({ consumer: i + 1, name }));
}

describe('planAssignment', () => {
  test('gives every partition one of the consumers, whatever their order', () => {
    fc.assert(
      fc.property(names, (list) => {
        const candidates = candidatesOf(list);
        const plan = planAssignment(candidates, partitions);
        expect(plan.size).toBe(partitions.length);
        for (const consumer of plan.values()) expect(consumer).toBeLessThanOrEqual(list.length);
        expect(planAssignment(candidates.toReversed(), partitions)).toEqual(plan);
      }),
    );
  });

  test('moves only the partitions of the consumer that joins or leaves', () => {
    fc.assert(
      fc.property(names, fc.nat(), (list, which) => {
        const all = candidatesOf(list);
        const one = all[which % all.length];
        const withOne = planAssignment(all, partitions);
        const without = planAssignment(
          all.filter((candidate) => candidate !== one),
          partitions,
        );
        for (const partition of partitions) {
          const before = withOne.get(partition);
          if (before !== one?.consumer) expect(without.get(partition)).toBe(before);
        }
      }),
    );
  });

  test('keeps the partitions of a consumer that comes back under its name with another number', () => {
    const before = planAssignment(candidatesOf(['a', 'b', 'c']), partitions);
    const after = planAssignment(
      [
        { consumer: 1, name: 'a' },
        { consumer: 9, name: 'b' },
        { consumer: 3, name: 'c' },
      ],
      partitions,
    );
    for (const partition of partitions) {
      const consumer = before.get(partition);
      expect(after.get(partition)).toBe(consumer === 2 ? 9 : consumer);
    }
  });

  test('keeps the older of two consumers with one name', () => {
    const twins = [
      { consumer: 5, name: 'a' },
      { consumer: 4, name: 'a' },
    ];
    expect(new Set(planAssignment(twins, partitions).values())).toEqual(new Set([4]));
  });

  test('spreads 1,000 partitions over 8 consumers within 25 % of even', () => {
    const many = Array.from({ length: 1_000 }, (_, i) => partitionId(i + 1));
    const plan = planAssignment(
      candidatesOf(['a', 'b', 'c', 'd', 'worker-1', 'worker-2', 'worker-3', 'worker-4']),
      many,
    );
    const shares = new Map<number, number>();
    for (const consumer of plan.values()) shares.set(consumer, (shares.get(consumer) ?? 0) + 1);
    expect(Math.max(...shares.values())).toBeLessThan(157);
    expect(Math.min(...shares.values())).toBeGreaterThan(93);
  });

  test('gives nobody anything when nobody is there', () => {
    expect(planAssignment([], partitions).size).toBe(0);
  });
});
