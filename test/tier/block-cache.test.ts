// The cache of cold blocks: it never finds a wrong block, keeps its budget, and frees only what nobody can still hold.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { partitionId } from '../../broker/core/ids.ts';
import { BlockCache, Extent } from '../../broker/tier/block-cache.ts';
import { ColdBlock } from '../../broker/tier/cold-block.ts';
import type { SegmentBlock } from '../../broker/tier/segment-format.ts';
import { buildSegment, storedBatches } from '../support/stored-batches.ts';

const budgetBytes = 1_000;
const blockRecords = 10;

interface Step {
  readonly partition: number;
  /** In blocks. */
  readonly from: number;
  readonly count: number;
  readonly blockBytes: number;
  readonly probe: number;
  readonly keptMs: number;
}

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    partition: fc.integer({ min: 1, max: 3 }),
    from: fc.nat(6),
    count: fc.integer({ min: 1, max: 4 }),
    blockBytes: fc.integer({ min: 1, max: 150 }),
    probe: fc.nat(120),
    keptMs: fc.oneof(fc.constant(Infinity), fc.nat(20)),
  }),
  { maxLength: 60 },
);

/** Blocks of ten records each; what stands in them is of no matter here. */
function extentOf({ partition, from, count, blockBytes, keptMs }: Step, nowMs: number): Extent {
  const fetched = Buffer.alloc(count * blockBytes);
  const blocks = Array.from({ length: count }, (_, i) => {
    const block: SegmentBlock = {
      partition: partitionId(partition),
      batches: 0,
      firstOffset: (from + i) * blockRecords,
      lastOffset: (from + i + 1) * blockRecords - 1,
      firstTimeMs: 0,
      lastTimeMs: 0,
      position: i * blockBytes,
      length: blockBytes,
      crc: 0,
    };
    return new ColdBlock(block, fetched.subarray(i * blockBytes, (i + 1) * blockBytes));
  });
  return new Extent(blocks, fetched, nowMs + keptMs, false);
}

describe('cached blocks', () => {
  it('are found by what they hold only, while they are fresh, and within the budget', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const cache = new BlockCache(budgetBytes);
        const added: Extent[] = [];
        for (const [nowMs, step] of all.entries()) {
          const extent = extentOf(step, nowMs);
          const partition = partitionId(step.partition);
          const firstOffset = step.from * blockRecords;
          const wasThere = cache.find(partition, firstOffset, nowMs) !== undefined;
          cache.add(extent);
          added.push(extent);
          expect(cache.usedBytes).toBeLessThanOrEqual(Math.max(budgetBytes, extent.bytes));
          for (const offset of [step.probe, firstOffset]) {
            for (const other of [1, 2, 3].map(partitionId)) {
              const isThere = cache.has(other, offset);
              const found = cache.find(other, offset, nowMs);
              if (found === undefined) continue;
              expect(isThere).toBe(true);
              expect(found.block.partition).toBe(other);
              expect(found.block.firstOffset).toBeLessThanOrEqual(offset);
              expect(found.block.lastOffset).toBeGreaterThanOrEqual(offset);
              expect(found.extent.expiresMs).toBeGreaterThan(nowMs);
              expect(added).toContain(found.extent);
              expect(found.extent.blocks).toContain(found.block);
            }
          }
          // What is loaded because it was not found is found then: nobody looks and loads for ever.
          if (wasThere || step.keptMs === 0) continue;
          expect(cache.find(partition, firstOffset, nowMs)).toBeDefined();
        }
      }),
      { numRuns: 500 },
    );
  });

  it('go in the order of their last use', () => {
    const cache = new BlockCache(budgetBytes);
    const step = { partition: 1, count: 1, blockBytes: 400, probe: 0, keptMs: Infinity };
    cache.add(extentOf({ ...step, from: 0 }, 0));
    cache.add(extentOf({ ...step, from: 1 }, 0));
    expect(cache.find(partitionId(1), 5, 0)).toBeDefined();
    cache.add(extentOf({ ...step, from: 2 }, 0));
    expect([5, 15, 25].map((offset) => cache.has(partitionId(1), offset))).toEqual([
      true,
      false,
      true,
    ]);
  });

  it('stay readable for who found them, though the next look finds that they are too old', () => {
    // Large enough that their memory is given back at once when they are freed.
    const stored = storedBatches(3, 0, [200_000, 200_000]);
    const { bytes, checks } = buildSegment(new Map([[3, stored]]));
    const row = { ...(checks[0] as SegmentBlock) };
    const fetched = Buffer.from(bytes.subarray(0, row.length));
    const cache = new BlockCache(1_000_000);
    cache.add(new Extent([new ColdBlock(row, fetched)], fetched, 10, false));
    const found = cache.find(partitionId(3), 0, 9)?.block.batch(0);
    // As a read does that goes on to the next batch when the time has just passed.
    expect(cache.find(partitionId(3), 1, 10)).toBeUndefined();
    expect(found?.bytes.length).toBe(row.length);
    expect(cache.usedBytes).toBe(0);
  });
});
