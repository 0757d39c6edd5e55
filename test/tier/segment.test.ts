// Segment objects: what is built is read back batch by batch, and no flipped bit goes unnoticed.
import fc from 'fast-check';
import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { storedHeaderBytes } from '../../broker/batch/stored-header.ts';
import { partitionId, tenantId, type PartitionId } from '../../broker/core/ids.ts';
import { ColdBlock } from '../../broker/tier/cold-block.ts';
import { SegmentBuilder } from '../../broker/tier/segment-builder.ts';
import { checkSegment } from '../../broker/tier/segment-check.ts';
import {
  blockRowOf,
  blockRowOfTime,
  decodeBlockRow,
  decodeSegmentFooter,
  encodeSegmentFooter,
  segmentBlockBytes,
  segmentFooterBytes,
  segmentIndexRowBytes,
  type SegmentFooter,
} from '../../broker/tier/segment-format.ts';
import {
  buildSegment,
  segmentIdentity,
  storedBatches,
  type Stored,
} from '../support/stored-batches.ts';

const object = { kind: 'segment' as const, ...segmentIdentity };

/** Which of so many partitions comes next, as the journal happened to be written. */
const turns = fc.infiniteStream(fc.nat()).map((stream) => {
  return (count: number): number => stream.next().value % count;
});

const sizes = fc.array(fc.oneof(fc.nat(2_000), fc.nat(400_000)), { minLength: 1, maxLength: 12 });
const parts = fc
  .uniqueArray(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 4 })
  .chain((ids) =>
    fc
      .tuple(...ids.map(() => fc.tuple(fc.nat(1_000_000), sizes)))
      .map(
        (all) =>
          new Map(ids.map((id, i) => [id, storedBatches(id, all[i]?.[0] ?? 0, all[i]?.[1] ?? [])])),
      ),
  );

describe('a segment object', () => {
  it('gives back every batch, by partition and offset, whatever order they came in', () => {
    fc.assert(
      fc.property(parts, turns, (all, next) => {
        const { bytes, rows } = buildSegment(all, next);
        for (const [partition, stored] of all) {
          const row = rows.get(partition as PartitionId);
          if (row === undefined) throw new Error('a row per partition');
          const section = bytes.subarray(row.indexAt, row.indexAt + row.indexBytes);
          expect(crc32(section)).toBe(row.indexCrc);
          expect(row.firstOffset).toBe(stored[0]?.header.baseOffset);
          for (const { header, bytes: batch } of stored) {
            const block = decodeBlockRow(section, blockRowOf(section, header.baseOffset));
            const end = block.position + block.length;
            const cold = new ColdBlock(block, bytes.subarray(block.position, end));
            expect(cold.isIntact).toBe(true);
            const found = cold.batch(header.baseOffset + header.recordCount - 1);
            expect(found?.header).toEqual(header);
            const at = (found?.bodyAt ?? 0) - storedHeaderBytes;
            expect(found?.bytes.subarray(at, at + batch.length).equals(batch)).toBe(true);
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it('has blocks of at most the limit, or of one larger batch', () => {
    fc.assert(
      fc.property(parts, (all) => {
        const { bytes } = buildSegment(all);
        const footer = decodeSegmentFooter(bytes.subarray(-segmentFooterBytes));
        const index = bytes.subarray(footer?.indexAt ?? 0, -segmentFooterBytes);
        for (let i = 0; i * segmentIndexRowBytes < index.length; i++) {
          const { length, batches: count } = decodeBlockRow(index, i);
          expect(length <= segmentBlockBytes || count === 1).toBe(true);
        }
      }),
      { numRuns: 40 },
    );
  });

  it('is covered by its checks, byte for byte', () => {
    const { bytes, checks } = buildSegment(
      new Map([[3, storedBatches(3, 0, [10, 20_000, 1_500_000, 7])]]),
    );
    let next = 0;
    for (const { position, length, crc } of checks) {
      expect(position).toBe(next);
      expect(crc32(bytes.subarray(position, position + length))).toBe(crc);
      next += length;
    }
    expect(next).toBe(bytes.length);
  });

  it('with any flipped bit is found out', async () => {
    const { bytes } = buildSegment(
      new Map([
        [3, storedBatches(3, 5, [10, 900, 33])],
        [4, storedBatches(4, 0, [70])],
      ]),
    );
    const check = (candidate: Buffer) =>
      checkSegment(
        object,
        candidate.length,
        (at, length) => Promise.resolve(candidate.subarray(at, at + length)),
        false,
      );
    expect((await check(bytes)).faults).toEqual([]);
    for (let bit = 0; bit < bytes.length * 8; bit += 3) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const { faults } = await check(flipped);
      if (faults.length === 0) throw new Error(`bit ${bit} of ${bytes.length * 8} goes unnoticed`);
    }
  });

  it('under another name is found out', async () => {
    const { bytes } = buildSegment(new Map([[3, storedBatches(3, 0, [10])]]));
    const read = (at: number, length: number) => Promise.resolve(bytes.subarray(at, at + length));
    for (const other of [{ tenant: tenantId(8) }, { shard: '1' }, { epoch: 4 }, { number: 10 }]) {
      const { faults } = await checkSegment({ ...object, ...other }, bytes.length, read, false);
      expect(faults).toHaveLength(1);
    }
  });

  it('refuses more, fewer or other batches than were announced', () => {
    const [first, second] = storedBatches(3, 0, [10, 10]) as [Stored, Stored];
    const announced = [{ partition: partitionId(3), bytes: first.bytes.length }];
    const full = new SegmentBuilder(segmentIdentity, announced);
    full.add(first.header, first.bytes);
    expect(() => full.add(second.header, second.bytes)).toThrow(/announced/);
    expect(() => new SegmentBuilder(segmentIdentity, announced).finish()).toThrow(/announced/);
    const [foreign] = storedBatches(4, 0, [10]) as [Stored];
    const other = new SegmentBuilder(segmentIdentity, announced);
    expect(() => other.add(foreign.header, foreign.bytes)).toThrow(/announced/);
  });
});

describe('who reads a segment', () => {
  it('notices bytes that are wrong anywhere, and is handed out none of them', () => {
    const small = new Map([
      [3, storedBatches(3, 5, [0, 900, 33, 400])],
      [4, storedBatches(4, 0, [70, 1])],
    ]);
    const { bytes, rows } = buildSegment(small);
    const anywhere = fc.record({
      at: fc.nat(bytes.length - 1),
      xor: fc.integer({ min: 1, max: 255 }),
    });
    fc.assert(
      fc.property(fc.array(anywhere, { minLength: 1, maxLength: 3 }), (changes) => {
        const wrong = Buffer.from(bytes);
        for (const { at, xor } of changes) wrong[at] = (wrong[at] ?? 0) ^ xor;
        fc.pre(!wrong.equals(bytes));
        let isNoticed = decodeSegmentFooter(wrong.subarray(-segmentFooterBytes)) === undefined;
        for (const [partition, row] of rows) {
          const section = wrong.subarray(row.indexAt, row.indexAt + row.indexBytes);
          if (crc32(section) !== row.indexCrc) {
            isNoticed = true;
            continue;
          }
          const block = decodeBlockRow(section, 0);
          const cold = new ColdBlock(
            block,
            wrong.subarray(block.position, block.position + block.length),
          );
          isNoticed ||= !cold.isIntact;
          for (const { header, bytes: whole } of small.get(partition) ?? []) {
            const found = cold.batch(header.baseOffset);
            if (found === undefined) continue;
            expect(found.header).toEqual(header);
            const end = found.bodyAt + header.bodyBytes;
            const body = whole.subarray(storedHeaderBytes);
            expect(found.bytes.subarray(found.bodyAt, end).equals(body)).toBe(true);
          }
        }
        expect(isNoticed).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  it('finds the block of an offset and of a time as a search through all of them would', () => {
    fc.assert(
      fc.property(sizes, fc.nat(40), (bodies, probe) => {
        const { bytes, rows } = buildSegment(new Map([[3, storedBatches(3, 7, bodies)]]));
        const row = rows.get(partitionId(3));
        const section = bytes.subarray(row?.indexAt ?? 0, -segmentFooterBytes);
        const blocks = Array.from({ length: section.length / segmentIndexRowBytes }, (_, i) =>
          decodeBlockRow(section, i),
        );
        const found = (index: number) => (index < 0 ? blocks.length : index);
        expect(blockRowOf(section, probe)).toBe(
          found(blocks.findIndex(({ lastOffset }) => lastOffset >= probe)),
        );
        expect(blockRowOfTime(section, 995 + probe)).toBe(
          found(blocks.findIndex(({ lastTimeMs }) => lastTimeMs >= 995 + probe)),
        );
      }),
      { numRuns: 60 },
    );
  });
});

describe('a footer', () => {
  const footers: fc.Arbitrary<SegmentFooter> = fc.record({
    shard: fc.stringMatching(/^[a-z0-9-]{1,32}$/),
    tenant: fc.nat(2 ** 32 - 1).map(tenantId),
    epoch: fc.nat(2 ** 32 - 1),
    number: fc.nat(2 ** 32 - 1),
    partitions: fc.nat(2 ** 32 - 1),
    blocks: fc.nat(2 ** 32 - 1),
    indexAt: fc.nat(2 ** 32 - 1),
    indexBytes: fc.nat(2 ** 32 - 1),
    indexCrc: fc.nat(2 ** 32 - 1),
    batches: fc.nat(2 ** 32 - 1),
    createdAtMs: fc.nat(Number.MAX_SAFE_INTEGER),
  });

  it('reads back, and with any flipped bit or another length is none', () => {
    fc.assert(
      fc.property(footers, fc.nat(segmentFooterBytes * 8 - 1), (footer, bit) => {
        const bytes = encodeSegmentFooter(footer);
        expect(decodeSegmentFooter(bytes)).toEqual(footer);
        expect(decodeSegmentFooter(bytes.subarray(1))).toBeUndefined();
        expect(decodeSegmentFooter(Buffer.concat([bytes, Buffer.alloc(1)]))).toBeUndefined();
        bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(decodeSegmentFooter(bytes)).toBeUndefined();
      }),
      { numRuns: 500 },
    );
  });
});
