// Cold blocks in memory, least recently used first to go. Blocks that were fetched together share their bytes, so they
// come and go together.
//
// Invariants:
// - At most the budget, plus what was added last.
// - Bytes of a block are good until the next turn of the event loop: who reads copies what it sends.
import { freeBuffer } from '../core/free-buffer.ts';
import type { Offset, PartitionId } from '../core/ids.ts';
import type { ColdBlock } from './cold-block.ts';

/** Blocks of one GET. */
export class Extent {
  readonly blocks: readonly ColdBlock[];
  readonly bytes: number;
  /** Given up at this time: it holds damage, which may be mended meanwhile. */
  readonly expiresMs: number;
  /** Fetched for a reader that goes forward, and not touched yet. */
  isAhead: boolean;

  /** What was fetched; the blocks are views of it. */
  private readonly fetched: Buffer;

  constructor(blocks: readonly ColdBlock[], fetched: Buffer, expiresMs: number, isAhead: boolean) {
    this.blocks = blocks;
    this.fetched = fetched;
    this.bytes = fetched.length;
    this.expiresMs = expiresMs;
    this.isAhead = isAhead;
  }

  /** Out of the cache: like a page of the journal it was good for one turn of the event loop. */
  free(): void {
    freeBuffer(this.fetched);
  }
}

interface Resident {
  readonly block: ColdBlock;
  readonly extent: Extent;
}

export class BlockCache {
  private readonly budgetBytes: number;
  /** Oldest use first. */
  private readonly extents = new Set<Extent>();
  /** By partition, in the order of offsets. */
  private readonly residents = new Map<PartitionId, Resident[]>();
  private bytes = 0;

  constructor(budgetBytes: number) {
    this.budgetBytes = budgetBytes;
  }

  get usedBytes(): number {
    return this.bytes;
  }

  /** The block that holds the offset, now the most recently used. */
  find(partition: PartitionId, offset: Offset, nowMs: number): Resident | undefined {
    const residents = this.residents.get(partition);
    const found = residents?.[indexOf(residents, offset)];
    if (found === undefined || found.block.firstOffset > offset) return undefined;
    const { extent } = found;
    if (extent.expiresMs <= nowMs) {
      // Left to be collected: who reads on may hold batches that it found there in this very turn.
      this.remove(extent);
      return undefined;
    }
    this.extents.delete(extent);
    this.extents.add(extent);
    return found;
  }

  has(partition: PartitionId, offset: Offset): boolean {
    const residents = this.residents.get(partition);
    const found = residents?.[indexOf(residents, offset)];
    return found !== undefined && found.block.firstOffset <= offset;
  }

  add(extent: Extent): void {
    for (const block of extent.blocks) {
      const residents = this.residents.get(block.partition) ?? [];
      const index = indexOf(residents, block.firstOffset);
      const other = residents[index];
      // Fetched twice at once: the later one is dropped.
      if (other !== undefined && other.block.firstOffset <= block.lastOffset) continue;
      residents.splice(index, 0, { block, extent });
      this.residents.set(block.partition, residents);
    }
    this.extents.add(extent);
    this.bytes += extent.bytes;
    for (const oldest of this.extents) {
      if (this.bytes <= this.budgetBytes || oldest === extent) break;
      this.remove(oldest);
      oldest.free();
    }
  }

  private remove(extent: Extent): void {
    if (!this.extents.delete(extent)) return;
    this.bytes -= extent.bytes;
    for (const { partition } of extent.blocks) {
      const left = (this.residents.get(partition) ?? []).filter((one) => one.extent !== extent);
      if (left.length === 0) this.residents.delete(partition);
      else this.residents.set(partition, left);
    }
  }
}

/** Index of the first resident that ends at or after the offset. */
function indexOf(residents: readonly Resident[], offset: Offset): number {
  let low = 0;
  let high = residents.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((residents[middle] as Resident).block.lastOffset < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}
