import { describe, expect, it } from 'vitest';
import { noMarks } from '../support/marks.ts';

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
});
