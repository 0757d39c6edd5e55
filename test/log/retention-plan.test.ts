// Retention never removes what is owed, and removes what is not.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planTrim, type RetentionFacts } from '../../broker/log/retention-plan.ts';

const offset = fc.integer({ min: 0, max: 1_000 });
const facts: fc.Arbitrary<RetentionFacts> = fc
  .tuple(offset, offset, offset, offset, offset, offset, fc.boolean(), fc.boolean(), fc.boolean())
  .map(([a, b, age, bytes, acked, unacked, hasAge, hasBytes, forever]) => ({
    startOffset: Math.min(a, b),
    endOffset: Math.max(a, b),
    keptByAge: hasAge && !forever ? age : undefined,
    keptByBytes: hasBytes && !forever ? bytes : undefined,
    forever,
    ackedBelow: acked,
    keptUnacked: unacked < 500 ? undefined : unacked,
  }));

describe('the plan of retention', () => {
  it('removes a record if and only if a rule says so', () => {
    fc.assert(
      fc.property(facts, offset, (given, record) => {
        const { startOffset, endOffset, keptByAge, keptByBytes, forever } = given;
        fc.pre(record >= startOffset && record < endOffset);
        const hasWindow = forever || keptByAge !== undefined || keptByBytes !== undefined;
        const isInWindow =
          hasWindow && (forever || record >= Math.max(keptByAge ?? 0, keptByBytes ?? 0));
        const isAcked = record < given.ackedBelow;
        const isTooOld = given.keptUnacked !== undefined && record < given.keptUnacked;
        expect(record < planTrim(given)).toBe((!isInWindow && isAcked) || isTooOld);
      }),
      { numRuns: 2_000 },
    );
  });

  it('never moves the start back nor past the end', () => {
    fc.assert(
      fc.property(facts, (given) => {
        const start = planTrim(given);
        expect(start).toBeGreaterThanOrEqual(given.startOffset);
        expect(start).toBeLessThanOrEqual(given.endOffset);
      }),
    );
  });
});
