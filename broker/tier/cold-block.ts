// A block of a segment in memory, with where its batches are.
//
// Invariants:
// - A block whose CRC matched is trusted as a whole. In one whose did not, each batch is trusted by its own CRCs only,
//   and nothing behind a damaged header can be found: what is damaged is lost, its neighbours are not.
import { crc32 } from 'node:zlib';
import {
  bodyIsIntact,
  decodeStoredHeader,
  storedHeaderBytes,
  type StoredHeader,
} from '../batch/stored-header.ts';
import type { Offset, PartitionId } from '../core/ids.ts';
import type { SegmentBlock } from './segment-format.ts';

/** A batch found in a block; `bytes` from `bodyAt` on is its body. */
export interface ColdBatch {
  readonly header: StoredHeader;
  readonly bytes: Buffer;
  readonly bodyAt: number;
}

export class ColdBlock {
  readonly partition: PartitionId;
  readonly firstOffset: Offset;
  readonly lastOffset: Offset;
  readonly isIntact: boolean;
  private readonly bytes: Buffer;
  private readonly firstOffsets: Float64Array;
  private readonly positions: Uint32Array;

  /** `bytes`: exactly the block, or fewer when the object ended early. */
  constructor(block: SegmentBlock, bytes: Buffer) {
    this.partition = block.partition;
    this.firstOffset = block.firstOffset;
    this.lastOffset = block.lastOffset;
    this.bytes = bytes;
    this.isIntact = bytes.length === block.length && crc32(bytes) === block.crc;
    const firstOffsets = new Float64Array(block.batches);
    const positions = new Uint32Array(block.batches);
    let count = 0;
    for (let at = 0; at < bytes.length && count < block.batches;) {
      const header = decodeStoredHeader(bytes, at);
      if (header === undefined) break;
      firstOffsets[count] = header.baseOffset;
      positions[count++] = at;
      at += storedHeaderBytes + header.bodyBytes;
    }
    this.firstOffsets = firstOffsets.subarray(0, count);
    this.positions = positions.subarray(0, count);
  }

  get length(): number {
    return this.bytes.length;
  }

  /** The batch that holds the offset; undefined when it is damaged. */
  batch(offset: Offset): ColdBatch | undefined {
    const { bytes, firstOffsets, positions } = this;
    let low = 0;
    let high = firstOffsets.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((firstOffsets[middle] as number) <= offset) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return undefined;
    const at = positions[low - 1] as number;
    const header = decodeStoredHeader(bytes, at);
    if (header === undefined || header.partitionId !== this.partition) return undefined;
    if (offset >= header.baseOffset + header.recordCount) return undefined;
    const bodyAt = at + storedHeaderBytes;
    if (!this.isIntact && !bodyIsIntact(header, bytes, bodyAt)) return undefined;
    return { header, bytes, bodyAt };
  }

  /** The first offset behind the given damaged one that can be read again; the block's end when none can. */
  goodAfter(offset: Offset): Offset {
    for (const first of this.firstOffsets) {
      if (first > offset && this.batch(first) !== undefined) return first;
    }
    return this.lastOffset + 1;
  }

  /** First offset of the first batch with an append time at or after the given one, as far as headers are readable. */
  offsetAtTime(timeMs: number): Offset | undefined {
    for (const at of this.positions) {
      const header = decodeStoredHeader(this.bytes, at);
      if (header !== undefined && header.appendTimeMs >= timeMs) return header.baseOffset;
    }
    return undefined;
  }
}
