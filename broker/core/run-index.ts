// Runs of offsets that do not overlap, in order, with every operation in O(log n) and a bounded move.
//
// One sorted array would do for the usual few dozen runs; 100,000 leases of one record each must not cost a
// 100,000-slot move per ack. So the array is cut into blocks.
//
// Invariants:
// - runs are ascending and do not overlap (they may touch);
// - no block is empty, none has more than `blockRunsMax` runs.
// The owner may shrink a run that is in the index, never grow or move it.
import { assert } from './assert.ts';
import type { Offset } from './ids.ts';

export interface OffsetRun {
  first: Offset;
  last: Offset;
}

/** 256 slots of 4 to 8 bytes: moved in well under a microsecond. */
const blockRunsMax = 256;

export class RunIndex<R extends OffsetRun> {
  private blocks: R[][] = [];
  private runs = 0;

  get size(): number {
    return this.runs;
  }

  /** The first run that ends at `offset` or later: the one that holds it, else the next one. */
  ceiling(offset: Offset): R | undefined {
    const block = this.blocks[this.blockOf(offset)];
    return block?.[slotOf(block, offset)];
  }

  /** The run that holds `offset`. */
  at(offset: Offset): R | undefined {
    const run = this.ceiling(offset);
    return run !== undefined && run.first <= offset ? run : undefined;
  }

  insert(run: R): void {
    assert(run.first <= run.last, `empty run ${run.first}-${run.last}`);
    this.runs++;
    const found = this.blockOf(run.first);
    const b = found === this.blocks.length ? found - 1 : found;
    const block = this.blocks[b];
    if (block === undefined) {
      this.blocks.push([run]);
      return;
    }
    const slot = slotOf(block, run.first);
    const next = block[slot];
    if (next === undefined) {
      block.push(run);
    } else {
      assert(next.first > run.last, `run ${run.first}-${run.last} overlaps ${next.first}`);
      block.splice(slot, 0, run);
    }
    if (block.length > blockRunsMax) this.blocks.splice(b + 1, 0, block.splice(block.length >>> 1));
  }

  remove(run: R): void {
    const b = this.blockOf(run.first);
    const block = this.blocks[b];
    const slot = block === undefined ? 0 : slotOf(block, run.first);
    assert(block?.[slot] === run, `run ${run.first}-${run.last} is not in the index`);
    this.runs--;
    block.splice(slot, 1);
    if (block.length === 0) this.blocks.splice(b, 1);
  }

  clear(): void {
    this.blocks = [];
    this.runs = 0;
  }

  /** All runs, ascending. Do not change the index meanwhile. */
  *[Symbol.iterator](): IterableIterator<R> {
    for (const block of this.blocks) yield* block;
  }

  /** The first block that ends at `offset` or later. New runs usually come at the end, hence the last first. */
  private blockOf(offset: Offset): number {
    const { blocks } = this;
    const lastBlock = blocks[blocks.length - 1];
    if (lastBlock === undefined || endOf(lastBlock) < offset) return blocks.length;
    let low = 0;
    let high = blocks.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (endOf(blocks[middle] as R[]) < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function endOf(block: readonly OffsetRun[]): Offset {
  return (block[block.length - 1] as OffsetRun).last;
}

/** The first slot whose run ends at `offset` or later. */
function slotOf(block: readonly OffsetRun[], offset: Offset): number {
  let low = 0;
  let high = block.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((block[middle] as OffsetRun).last < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}
