// A block of a segment in memory: what is damaged is lost, what is not is read, and nothing is taken for something
// else.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { storedHeaderBytes } from '../../broker/batch/stored-header.ts';
import { partitionId } from '../../broker/core/ids.ts';
import { ColdBlock } from '../../broker/tier/cold-block.ts';
import { decodeBlockRow, type SegmentBlock } from '../../broker/tier/segment-format.ts';
import { buildSegment, storedBatches, type Stored } from '../support/stored-batches.ts';

const partition = 3;
const firstOffset = 20;

/** One block with these batches. */
function blockOf(
  stored: readonly Stored[],
  owner = partition,
): { row: SegmentBlock; bytes: Buffer } {
  const { bytes, rows } = buildSegment(new Map([[owner, stored]]));
  const at = rows.get(partitionId(owner));
  const row = decodeBlockRow(bytes.subarray(at?.indexAt), 0);
  return { row, bytes: Buffer.from(bytes.subarray(0, row.length)) };
}

/** Where each batch begins in its block. */
function positionsOf(stored: readonly Stored[]): number[] {
  let at = 0;
  return stored.map(({ bytes }) => {
    const position = at;
    at += bytes.length;
    return position;
  });
}

function expectBatch(block: ColdBlock, { header, bytes }: Stored, isReadable: boolean): void {
  for (let i = 0; i < header.recordCount; i++) {
    const found = block.batch(header.baseOffset + i);
    if (!isReadable) {
      expect(found).toBeUndefined();
      continue;
    }
    expect(found?.header).toEqual(header);
    const bodyAt = found?.bodyAt ?? 0;
    const whole = found?.bytes.subarray(bodyAt - storedHeaderBytes, bodyAt + header.bodyBytes);
    expect(whole?.equals(bytes)).toBe(true);
  }
}

const bodies = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 12 });

describe('a block', () => {
  it('gives each of its batches, and nothing outside of them', () => {
    fc.assert(
      fc.property(bodies, (sizes) => {
        const stored = storedBatches(partition, firstOffset, sizes);
        const { row, bytes } = blockOf(stored);
        const block = new ColdBlock(row, bytes);
        expect(block.isIntact).toBe(true);
        for (const one of stored) expectBatch(block, one, true);
        expect(block.batch(firstOffset - 1)).toBeUndefined();
        expect(block.batch(row.lastOffset + 1)).toBeUndefined();
      }),
    );
  });

  it('with damaged bodies loses exactly those batches, and says where it goes on', () => {
    fc.assert(
      fc.property(bodies, fc.infiniteStream(fc.boolean()), (sizes, draws) => {
        const stored = storedBatches(partition, firstOffset, sizes);
        const { row, bytes } = blockOf(stored);
        const isDamaged = stored.map(() => draws.next().value);
        for (const [i, at] of positionsOf(stored).entries()) {
          const middle = at + storedHeaderBytes + ((sizes[i] ?? 0) >> 1);
          if (isDamaged[i] === true) bytes[middle] = (bytes[middle] ?? 0) ^ 0x20;
        }
        const block = new ColdBlock(row, bytes);
        expect(block.isIntact).toBe(!isDamaged.includes(true));
        for (const [i, one] of stored.entries()) {
          expectBatch(block, one, isDamaged[i] !== true);
          const next = stored.find((_, k) => k > i && isDamaged[k] !== true);
          expect(block.goodAfter(one.header.baseOffset)).toBe(
            next?.header.baseOffset ?? row.lastOffset + 1,
          );
        }
      }),
    );
  });

  it('with a damaged header, or cut, still gives what stands before', () => {
    fc.assert(
      fc.property(bodies, fc.nat(), fc.nat(), fc.boolean(), (sizes, which, place, isCut) => {
        const stored = storedBatches(partition, firstOffset, sizes);
        const { row, bytes } = blockOf(stored);
        const broken = which % stored.length;
        const at = (positionsOf(stored)[broken] ?? 0) + (place % storedHeaderBytes);
        if (!isCut) bytes[at] = (bytes[at] ?? 0) ^ 1;
        const block = new ColdBlock(row, isCut ? bytes.subarray(0, at) : bytes);
        expect(block.isIntact).toBe(false);
        for (const [i, one] of stored.entries()) expectBatch(block, one, i < broken);
        const first = stored[broken]?.header.baseOffset ?? 0;
        expect(block.goodAfter(first)).toBe(row.lastOffset + 1);
      }),
    );
  });

  it('finds the first batch at or after a time', () => {
    fc.assert(
      fc.property(bodies, fc.integer({ min: 995, max: 1_015 }), (sizes, timeMs) => {
        const stored = storedBatches(partition, firstOffset, sizes);
        const { row, bytes } = blockOf(stored);
        const expected = stored.find(({ header }) => header.appendTimeMs >= timeMs);
        expect(new ColdBlock(row, bytes).offsetAtTime(timeMs)).toBe(expected?.header.baseOffset);
      }),
    );
  });

  it('hands out no batch of another partition, though its sums are right', () => {
    const foreign = storedBatches(partition + 1, firstOffset, [10, 10]);
    const { row, bytes } = blockOf(foreign, partition + 1);
    const block = new ColdBlock({ ...row, partition: partitionId(partition) }, bytes);
    expect(block.isIntact).toBe(true);
    for (const one of foreign) expectBatch(block, one, false);
  });
});
