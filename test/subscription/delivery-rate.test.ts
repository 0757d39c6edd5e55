import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DeliveryRate } from '../../broker/subscription/delivery-rate.ts';

describe('DeliveryRate', () => {
  test('without a limit lets everything pass', () => {
    const rate = new DeliveryRate();
    rate.take(1_000_000);
    expect(rate.available(0)).toBe(Infinity);
  });

  test('lets pass what the rate allows and a tenth of a second more, whenever it is asked', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5_000 }),
        fc.array(fc.integer({ min: 0, max: 300 }), { minLength: 1, maxLength: 100 }),
        (perSecond, waits) => {
          const rate = new DeliveryRate();
          rate.change(perSecond, 0);
          let nowMs = 0;
          let passed = 0;
          for (const waitMs of waits) {
            nowMs += waitMs;
            const allowed = rate.available(nowMs);
            rate.take(allowed);
            passed += allowed;
            expect(passed).toBeLessThanOrEqual(
              (nowMs * perSecond) / 1000 + Math.max(1, perSecond / 10) + 1e-6,
            );
            if (allowed > 0) continue;
            nowMs = rate.nextAtMs(nowMs);
            expect(rate.available(nowMs)).toBeGreaterThanOrEqual(1);
          }
        },
      ),
    );
  });

  test('that changes takes effect at once', () => {
    const rate = new DeliveryRate();
    rate.change(1, 0);
    rate.take(rate.available(0));
    expect(rate.available(500)).toBe(0);
    rate.change(1_000, 500);
    expect(rate.available(500)).toBe(100);
    rate.change(0, 500);
    expect(rate.available(500)).toBe(Infinity);
  });
});
