// Rows of a manifest as columns of bytes, against a plain array of rows.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { SegmentRows, segmentRowBytes, type SegmentRow } from '../../broker/tier/segment-rows.ts';
import { reasonOf } from '../support/reason-of.ts';

type Step =
  | { readonly do: 'add'; readonly records: number; readonly ms: number; readonly skip: number }
  | { readonly do: 'drop'; readonly share: number }
  | { readonly do: 'read back' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('add' as const),
      records: fc.integer({ min: 1, max: 20 }),
      ms: fc.nat(4),
      skip: fc.nat(2),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('drop' as const),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  fc.record({ do: fc.constant('read back' as const) }),
);

function firstWhere(model: readonly SegmentRow[], holds: (row: SegmentRow) => boolean): number {
  const index = model.findIndex(holds);
  return index < 0 ? model.length : index;
}

it('rows are what a plain array has, added, dropped from the front and read back', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), fc.nat(100), (steps, probe) => {
      let rows = new SegmentRows();
      let model: SegmentRow[] = [];
      let next = 2 ** 40;
      let timeMs = 1_700_000_000_000;
      for (const action of steps) {
        if (action.do === 'add') {
          const row: SegmentRow = {
            firstOffset: (next += action.skip),
            lastOffset: next + action.records - 1,
            firstTimeMs: timeMs,
            lastTimeMs: (timeMs += action.ms),
            object: { epoch: 2 ** 32 - 1, number: model.length + 1 },
            bytes: 2 ** 31 + action.records,
            indexAt: 2 ** 32 - 2,
            indexBytes: 56 * action.records,
            indexCrc: 2 ** 32 - 1 - action.ms,
          };
          next += action.records;
          rows.add(row);
          model.push(row);
        } else if (action.do === 'drop') {
          const count = Math.floor(action.share * (model.length + 0.99));
          rows.dropFirst(count);
          model = model.slice(count);
        } else {
          const before = rows;
          rows = new SegmentRows(Buffer.from(before.encoded()));
          // Bytes that are read back are not shared: adding to one changes nothing in the other.
          const copy = [...rows];
          if (model.length > 0) before.add(before.at(0));
          expect([...rows]).toEqual(copy);
        }
        expect([...rows]).toEqual(model);
        expect(rows.count).toBe(model.length);
      }
      const offset = (model[0]?.firstOffset ?? 0) + probe;
      expect(rows.indexOf(offset)).toBe(firstWhere(model, (row) => row.lastOffset >= offset));
      const time = (model[0]?.firstTimeMs ?? 0) + (probe >> 2);
      expect(rows.indexOfTime(time)).toBe(firstWhere(model, (row) => row.lastTimeMs >= time));
      const some = Math.min(probe, model.length);
      expect([...new SegmentRows(Buffer.from(rows.encodedFirst(some)))]).toEqual(
        model.slice(0, some),
      );
    }),
    { numRuns: 300 },
  );
});

it('bytes that are no whole rows are damage', () => {
  fc.assert(
    fc.property(fc.nat(5 * segmentRowBytes), (length) => {
      const isWhole = length % segmentRowBytes === 0;
      const reason = reasonOf(() => new SegmentRows(Buffer.alloc(length)));
      expect(reason).toBe(isWhole ? 'nothing' : 'DATA_LOSS');
    }),
  );
});

it('a row outside of them is not there to be read', () => {
  const rows = new SegmentRows(Buffer.alloc(2 * segmentRowBytes));
  expect(() => rows.at(2)).toThrow(/row 2 of 2/);
  expect(() => rows.dropFirst(3)).toThrow(/drop 3 of 2/);
});
