// What is decided without touching anything: what goes to the store now, and what leaves the disk.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { partitionId, tenantId } from '../../broker/core/ids.ts';
import { isPressed, mayGo, urgentGenerations, type HeldPart } from '../../broker/shard/hot-plan.ts';
import { planOffload, type OffloadCandidate } from '../../broker/tier/offload-plan.ts';

const ample = { bytesMin: 800, bytesMax: 3_200, ageMs: 1_000 };
/** As on a nearly full volume. */
const scarce = { ...ample, bytesMax: 300 };
const nowMs = 10_000;

const candidates: fc.Arbitrary<OffloadCandidate[]> = fc
  .array(
    fc.record({
      tenant: fc.integer({ min: 1, max: 3 }).map(tenantId),
      bytes: fc.oneof(fc.nat(100), fc.nat(20_000)),
      oldestTimeMs: fc.integer({ min: 8_000, max: nowMs }),
      isUrgent: fc.boolean(),
      isAlone: fc.boolean(),
    }),
    { maxLength: 30 },
  )
  .map((all) => all.map((one, i) => ({ ...one, partition: partitionId(i + 1) })));

describe('an offload plan', () => {
  it('takes all that is due and nothing else, keeps tenants apart and objects bounded', () => {
    fc.assert(
      fc.property(candidates, fc.constantFrom(ample, scarce), (all, limits) => {
        const tasks = planOffload(all, nowMs, limits);
        const planned = new Map<number, number>();
        for (const { tenant, parts } of tasks) {
          expect(parts.length).toBeGreaterThan(0);
          for (const { partition, bytesMax } of parts) {
            expect(all.find((one) => one.partition === partition)?.tenant).toBe(tenant);
            planned.set(partition, (planned.get(partition) ?? 0) + bytesMax);
          }
          if (parts.length > 1) {
            const alone = all.filter((one) => one.isAlone).map(({ partition }) => partition);
            expect(parts.filter(({ partition }) => alone.includes(partition))).toEqual([]);
          }
          const bytes = parts.reduce((sum, part) => sum + part.bytesMax, 0);
          expect(bytes).toBeLessThanOrEqual(limits.bytesMax * 1.25);
        }
        for (const { partition, bytes, oldestTimeMs, isUrgent } of all) {
          const isOld = nowMs - oldestTimeMs >= limits.ageMs;
          const isDue = bytes > 0 && (isUrgent || bytes >= limits.bytesMin || isOld);
          expect(planned.has(partition)).toBe(isDue);
          if (isDue) expect(planned.get(partition)).toBeGreaterThanOrEqual(bytes);
        }
      }),
    );
  });
});

describe('what leaves the disk', () => {
  const part: HeldPart = {
    isExpired: false,
    isOffloaded: true,
    window: undefined,
    newestTimeMs: nowMs - 500,
    bytesBehind: 100,
  };
  const rows: readonly (readonly [string, Partial<HeldPart>, boolean, boolean])[] = [
    ['nothing of it is left', { isExpired: true, isOffloaded: false }, false, true],
    ['not offloaded, under pressure', { isOffloaded: false }, true, false],
    ['offloaded, no pressure, no window', {}, false, false],
    ['offloaded, under pressure', {}, true, true],
    ['older than its window', { window: { ageMs: 400, bytes: 0 } }, false, true],
    ['inside its window', { window: { ageMs: 600, bytes: 0 } }, false, false],
    ['beyond its bytes', { window: { ageMs: 0, bytes: 100 } }, false, true],
    ['within its bytes', { window: { ageMs: 600, bytes: 101 } }, false, false],
  ];

  it.each(rows)('%s', (_name, change, pressed, expected) => {
    expect(mayGo([{ ...part, ...change }], pressed, nowMs)).toBe(expected);
    expect(
      mayGo(
        [
          { ...part, isOffloaded: false },
          { ...part, ...change },
        ],
        true,
        nowMs,
      ),
    ).toBe(false);
  });

  it('is offloaded before the room is used up, oldest first', () => {
    const facts = { budgetBytes: 100, isDiskTight: false };
    expect(urgentGenerations([30, 30, 30], { ...facts, hotBytes: 80 })).toBe(0);
    expect(urgentGenerations([30, 30, 30], { ...facts, hotBytes: 95 })).toBe(1);
    expect(urgentGenerations([30, 30, 30], { ...facts, hotBytes: 130 })).toBe(2);
    expect(urgentGenerations([30], { ...facts, hotBytes: 30, isDiskTight: true })).toBe(1);
    expect(isPressed({ ...facts, hotBytes: 100 })).toBe(false);
    expect(isPressed({ ...facts, hotBytes: 101 })).toBe(true);
    expect(isPressed({ ...facts, hotBytes: 1, isDiskTight: true })).toBe(true);
  });
});
