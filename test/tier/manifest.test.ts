// The manifest against a plain list of rows, and the names of objects.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { partitionId, tenantId } from '../../broker/core/ids.ts';
import { Manifest, pagePointer } from '../../broker/tier/manifest.ts';
import { decodeManifestPage, encodeManifestPage } from '../../broker/tier/manifest-page.ts';
import {
  parseTierObjectKey,
  tierObjectKey,
  type TierObject,
} from '../../broker/tier/object-names.ts';
import { SegmentRows, type SegmentRow } from '../../broker/tier/segment-rows.ts';

type Step =
  | { readonly do: 'add'; readonly records: number; readonly ms: number; readonly bytes: number }
  | { readonly do: 'page'; readonly rows: number }
  | { readonly do: 'trim'; readonly share: number }
  | { readonly do: 'restart' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('add' as const),
      records: fc.integer({ min: 1, max: 50 }),
      ms: fc.nat(5),
      bytes: fc.integer({ min: 1, max: 1_000 }),
    }),
  },
  fc.record({ do: fc.constant('page' as const), rows: fc.integer({ min: 1, max: 4 }) }),
  fc.record({
    do: fc.constant('trim' as const),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
  }),
  fc.record({ do: fc.constant('restart' as const) }),
);

/** All rows that a manifest has, pages opened. */
function rowsOf(manifest: Manifest, pages: ReadonlyMap<number, SegmentRows>): SegmentRow[] {
  return [
    ...manifest.pages.flatMap(({ object }) => [...(pages.get(object.number) ?? [])]),
    ...manifest.rows,
  ];
}

it('a manifest finds by offset and time what a plain list finds, over pages, trims and restarts', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let manifest = new Manifest();
      const pages = new Map<number, SegmentRows>();
      let model: SegmentRow[] = [];
      let next = 0;
      let timeMs = 100;
      let number = 0;
      let start = 0;
      for (const action of steps) {
        if (action.do === 'add') {
          const row: SegmentRow = {
            firstOffset: next,
            lastOffset: next + action.records - 1,
            firstTimeMs: timeMs,
            lastTimeMs: (timeMs += action.ms),
            object: { epoch: 1, number: ++number },
            bytes: action.bytes,
            indexAt: 1,
            indexBytes: 56,
            indexCrc: 5,
          };
          next += action.records;
          manifest.add(row);
          model.push(row);
        } else if (action.do === 'page' && manifest.rows.count >= action.rows) {
          const rows = new SegmentRows(Buffer.from(manifest.rows.encodedFirst(action.rows)));
          const object = { epoch: 1, number: ++number };
          pages.set(object.number, rows);
          manifest.page(pagePointer(object, rows));
        } else if (action.do === 'trim') {
          start = Math.max(start, Math.floor(next * action.share));
          manifest.trim(start);
        } else if (action.do === 'restart') {
          const again = new Manifest();
          const encoded = Buffer.from(manifest.rows.encoded());
          again.restore(manifest.pages, new SegmentRows(encoded), manifest.endOffset);
          manifest = again;
        }
        // A page stays until all of it is expired: then what it has below the start is allowed, never missing.
        const kept = rowsOf(manifest, pages);
        model = model.filter(({ lastOffset }) => lastOffset >= start);
        expect(kept.filter(({ lastOffset }) => lastOffset >= start)).toEqual(model);
        expect(manifest.endOffset).toBe(next);
        for (const offset of [start, next - 1, next, Math.floor((start + next) / 2)]) {
          if (offset < start) continue;
          const expected = model.find(
            (row) => row.firstOffset <= offset && offset <= row.lastOffset,
          );
          const place = manifest.find(offset);
          const found =
            place?.in === 'page'
              ? [...(pages.get(place.page.object.number) ?? [])].find(
                  (row) => row.lastOffset >= offset,
                )
              : place?.row;
          expect(found).toEqual(expected);
        }
      }
      expect(manifest.bytes).toBe(rowsOf(manifest, pages).reduce((sum, row) => sum + row.bytes, 0));
    }),
    { numRuns: 300 },
  );
});

describe('a manifest page', () => {
  const rows = new SegmentRows();
  rows.add({
    firstOffset: 0,
    lastOffset: 2 ** 52,
    firstTimeMs: 1,
    lastTimeMs: 2,
    object: { epoch: 2 ** 32 - 1, number: 7 },
    bytes: 2 ** 31,
    indexAt: 3,
    indexBytes: 4,
    indexCrc: 5,
  });
  const page = { tenant: tenantId(2), partition: partitionId(9), rows };

  it('reads back, for its own partition only', () => {
    const bytes = encodeManifestPage(page);
    expect([...(decodeManifestPage(bytes, tenantId(2), partitionId(9)) ?? [])]).toEqual([...rows]);
    expect(decodeManifestPage(bytes, tenantId(3), partitionId(9))).toBeUndefined();
    expect(decodeManifestPage(bytes, tenantId(2), partitionId(8))).toBeUndefined();
  });

  it('with any flipped bit, or cut, is refused', () => {
    const bytes = encodeManifestPage(page);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(decodeManifestPage(flipped, tenantId(2), partitionId(9))).toBeUndefined();
    }
    for (let length = 0; length < bytes.length; length++) {
      const cut = bytes.subarray(0, length);
      expect(decodeManifestPage(cut, tenantId(2), partitionId(9))).toBeUndefined();
    }
  });
});

describe('the name of an object', () => {
  const named: fc.Arbitrary<TierObject> = fc.record({
    kind: fc.constantFrom('segment' as const, 'manifest' as const),
    tenant: fc.integer({ min: 1, max: 2 ** 32 - 1 }).map(tenantId),
    shard: fc.constantFrom('0', '15', 'a-1', 'a', 'system'),
    epoch: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
    number: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
  });

  it('reads back, and two objects never share one', () => {
    fc.assert(
      fc.property(named, named, (a, b) => {
        expect(parseTierObjectKey(tierObjectKey(a))).toEqual(a);
        const isSame = JSON.stringify(a) === JSON.stringify(b);
        expect(tierObjectKey(a) === tierObjectKey(b)).toBe(isSame);
        expect(tierObjectKey(a).startsWith(`tenants/${a.tenant}/`)).toBe(true);
      }),
    );
  });

  it.each([
    'tenants/1/segments/00/0-1-1.seg',
    'tenants/0/segments/00/0-1-1.seg',
    'tenants/1/segments/0-1-1.seg',
    'shards/0/root.json',
    'tenants/1/manifests/00/0-1-1.seg.bak',
  ])('%s is not one of ours', (key) => {
    expect(parseTierObjectKey(key)).toBeUndefined();
  });
});
