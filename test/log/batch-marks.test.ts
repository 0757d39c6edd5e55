import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BatchMarks } from '../../broker/log/batch-marks.ts';
import { noMarks } from '../support/marks.ts';

/** How many batches in a row are held back, with how many plain records behind them. */
const rows = fc.array(
  fc.record({ batches: fc.integer({ min: 1, max: 1_500 }), gap: fc.integer({ min: 0, max: 2 }) }),
  { minLength: 1, maxLength: 6 },
);

describe('records that are held back', () => {
  it('are counted inside the range that is asked for only', () => {
    const marks = noMarks();
    marks.add({ first: 2, count: 3, deliverAtMs: 50, priority: 0 });
    marks.add({ first: 8, count: 4, deliverAtMs: 60, priority: 0 });
    marks.cancel(9, 9);
    expect(marks.heldRecordsIn(0, 12)).toBe(6);
    expect(marks.heldRecordsIn(0, 8)).toBe(3);
    expect(marks.heldRecordsIn(3, 11)).toBe(4);
    expect(marks.heldRecordsIn(5, 8)).toBe(0);
    expect(marks.due(55, 10)).toHaveLength(1);
    expect(marks.heldRecordsIn(0, 12)).toBe(3);
  });

  it('are known to their end in a row, over any number of chunks', () => {
    fc.assert(
      fc.property(rows, fc.array(fc.nat(5_000), { maxLength: 5 }), (held, released) => {
        const marks = new BatchMarks({ left: 1_000_000 });
        /** By offset. */
        const isHeld: boolean[] = [];
        let batch = 0;
        for (const { batches, gap } of held) {
          for (let i = 0; i < batches; i++, batch++) {
            const isDue = released.includes(batch);
            const deliverAtMs = isDue ? 1 : 2;
            marks.add({ first: isHeld.length, count: 2, deliverAtMs, priority: 0 });
            isHeld.push(!isDue, !isDue);
          }
          for (let i = 0; i < gap; i++) isHeld.push(false);
        }
        marks.due(1, Infinity);
        isHeld.push(false);
        for (let offset = 0; offset < isHeld.length; offset += 97) {
          expect(marks.heldUntil(offset)).toBe(isHeld.indexOf(false, offset));
        }
      }),
      { numRuns: 50 },
    );
  });
});
