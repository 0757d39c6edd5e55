// So many bytes a second: not more, and nobody waits longer than it must.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RateLimit } from '../../broker/tier/rate-limit.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

describe('a rate', () => {
  const bytesPerSecond = 1_000;

  it('lets no more bytes pass than time allows for, in turn, and nobody wait longer than it must', async () => {
    const takes = fc.array(fc.record({ bytes: fc.nat(500), idleMs: fc.nat(400) }), {
      maxLength: 20,
    });
    await fc.assert(
      fc.asyncProperty(takes, async (all) => {
        const clock = new VirtualClock();
        const beganMs = clock.monotonicMs();
        const rate = new RateLimit(clock);
        const passed: { readonly i: number; readonly atMs: number }[] = [];
        /** When the bytes of all before are paid for. */
        let freeAtMs = beganMs;
        const dueMs: number[] = [];
        for (const [i, { bytes, idleMs }] of all.entries()) {
          dueMs.push(Math.max(clock.monotonicMs(), freeAtMs));
          freeAtMs = (dueMs[i] ?? 0) + (bytes * 1_000) / bytesPerSecond;
          void rate.take(bytes, bytesPerSecond).then(() => {
            passed.push({ i, atMs: clock.monotonicMs() });
          });
          for (let ms = 0; ms < idleMs; ms++) {
            clock.advance(1);
            await afterAlarms();
          }
        }
        while (passed.length < all.length) {
          clock.advance(1);
          await afterAlarms();
        }
        expect(passed.map(({ i }) => i)).toEqual(all.map((_, i) => i));
        for (const { i, atMs } of passed) {
          expect(atMs).toBeGreaterThanOrEqual((dueMs[i] ?? 0) - 0.001);
          expect(atMs).toBeLessThanOrEqual((dueMs[i] ?? 0) + 1);
        }
      }),
      { numRuns: 40 },
    );
  });

  it('of 0 is none, and one that is stopped holds nobody', async () => {
    const clock = new VirtualClock();
    const rate = new RateLimit(clock);
    for (let i = 0; i < 3; i++) await rate.take(1_000_000, 0);
    await rate.take(1_000_000, 1);
    const waiting = rate.take(1, 1);
    rate.stop();
    await waiting;
    await rate.take(1_000_000, 1);
  });
});

/** Microtasks of what a rung alarm let pass. */
async function afterAlarms(): Promise<void> {
  for (let hop = 0; hop < 4; hop++) await Promise.resolve();
}
