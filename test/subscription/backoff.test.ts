import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backoffMs } from '../../broker/subscription/backoff.ts';

const policy = { backoffMinMs: 100, backoffMaxMs: 60_000 };

describe('backoffMs', () => {
  test.each([
    [1, 100],
    [2, 200],
    [3, 400],
    [10, 51_200],
    [11, 60_000],
    [1_000_000, 60_000],
  ])('after attempt %d waits 50 to 100 %% of %d ms', (attempt, full) => {
    expect(backoffMs(policy, attempt, () => 0)).toBe(full / 2);
    expect(backoffMs(policy, attempt, () => 0.5)).toBe(full * 0.75);
    expect(backoffMs(policy, attempt, () => 1)).toBe(full);
  });

  test('stays within 0 and the cap for any policy, attempt and chance', () => {
    fc.assert(
      fc.property(
        fc.nat(50_000_000),
        fc.nat(50_000_000),
        fc.nat(),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (backoffMinMs, backoffMaxMs, attempt, chance) => {
          const wait = backoffMs({ backoffMinMs, backoffMaxMs }, attempt, () => chance);
          expect(wait).toBeGreaterThanOrEqual(Math.min(backoffMinMs, backoffMaxMs) / 2);
          expect(wait).toBeLessThanOrEqual(backoffMaxMs);
        },
      ),
    );
  });

  test('does not wait when the minimum is 0', () => {
    expect(backoffMs({ backoffMinMs: 0, backoffMaxMs: 1_000 }, 5_000, () => 0.9)).toBe(0);
  });
});
