// Rows of a manifest: which run of a partition's records stands in which object. The same bytes stand in memory, in
// a manifest page, in the journal and in an uploaded checkpoint. Little-endian, 56 bytes a row:
//
//    0 firstOffset f64    8 lastOffset f64   16 firstTimeMs f64   24 lastTimeMs f64
//   32 epoch u32         36 number u32       40 bytes u32         44 indexAt u32
//   48 indexBytes u32    52 indexCrc u32
//
// Invariants:
// - Rows are in the order of their offsets and do not overlap; times never fall.
// - `indexAt`, `indexBytes` and `indexCrc` name the part of the object's index that lists this partition's blocks.
import { assert } from '../core/assert.ts';
import { BrokerError } from '../core/errors.ts';
import type { Offset } from '../core/ids.ts';
import type { ObjectId } from './object-names.ts';

/** A run of one partition's records in one object. */
export interface SegmentRow {
  readonly firstOffset: Offset;
  readonly lastOffset: Offset;
  readonly firstTimeMs: number;
  readonly lastTimeMs: number;
  readonly object: ObjectId;
  /** Stored batches of the run, with their headers. */
  readonly bytes: number;
  readonly indexAt: number;
  readonly indexBytes: number;
  readonly indexCrc: number;
}

export const segmentRowBytes = 56;

const column = { firstOffset: 0, lastOffset: 8, lastTimeMs: 24 } as const;
type Column = (typeof column)[keyof typeof column];

export class SegmentRows {
  private buffer: Buffer;
  private from = 0;
  private to = 0;

  /** Rows as stored; the bytes are kept, and added to only after they were copied. */
  constructor(bytes: Buffer = Buffer.alloc(0)) {
    if (bytes.length % segmentRowBytes !== 0) {
      throw new BrokerError('DATA_LOSS', 'rows of a manifest have an impossible length');
    }
    this.buffer = bytes;
    this.to = bytes.length / segmentRowBytes;
  }

  get count(): number {
    return this.to - this.from;
  }

  /** The row of an index below `count`. */
  at(index: number): SegmentRow {
    assert(index >= 0 && index < this.count, `row ${index} of ${this.count}`);
    return decodeRow(this.buffer, (this.from + index) * segmentRowBytes);
  }

  add(row: SegmentRow): void {
    const needed = (this.to + 1) * segmentRowBytes;
    if (needed > this.buffer.length) {
      const grown = Buffer.alloc(Math.max(4 * segmentRowBytes, this.count * 2 * segmentRowBytes));
      this.encoded().copy(grown);
      this.to -= this.from;
      this.from = 0;
      this.buffer = grown;
    }
    encodeRow(row, this.buffer, this.to * segmentRowBytes);
    this.to++;
  }

  /** Drops so many of the oldest rows. */
  dropFirst(count: number): void {
    assert(count <= this.count, `drop ${count} of ${this.count} rows`);
    this.from += count;
    if (this.from === this.to) {
      this.buffer = Buffer.alloc(0);
      this.from = this.to = 0;
    }
  }

  /** Index of the row that holds the offset, or of the next one; `count` when all end before. */
  indexOf(offset: Offset): number {
    return this.firstWhere(column.lastOffset, offset);
  }

  /** Index of the first row with an append time at or after the given one; `count` when there is none. */
  indexOfTime(timeMs: number): number {
    return this.firstWhere(column.lastTimeMs, timeMs);
  }

  /** A view. */
  encoded(): Buffer {
    return this.buffer.subarray(this.from * segmentRowBytes, this.to * segmentRowBytes);
  }

  /** A view of so many of the oldest rows. */
  encodedFirst(count: number): Buffer {
    return this.encoded().subarray(0, count * segmentRowBytes);
  }

  *[Symbol.iterator](): Generator<SegmentRow> {
    for (let i = 0; i < this.count; i++) yield this.at(i);
  }

  /** First row whose column is at least the value. */
  private firstWhere(wanted: Column, value: number): number {
    let low = this.from;
    let high = this.to;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.buffer.readDoubleLE(middle * segmentRowBytes + wanted) < value) low = middle + 1;
      else high = middle;
    }
    return low - this.from;
  }
}

function encodeRow(row: SegmentRow, target: Buffer, at: number): void {
  target.writeDoubleLE(row.firstOffset, at);
  target.writeDoubleLE(row.lastOffset, at + 8);
  target.writeDoubleLE(row.firstTimeMs, at + 16);
  target.writeDoubleLE(row.lastTimeMs, at + 24);
  target.writeUInt32LE(row.object.epoch, at + 32);
  target.writeUInt32LE(row.object.number, at + 36);
  target.writeUInt32LE(row.bytes, at + 40);
  target.writeUInt32LE(row.indexAt, at + 44);
  target.writeUInt32LE(row.indexBytes, at + 48);
  target.writeUInt32LE(row.indexCrc, at + 52);
}

function decodeRow(bytes: Buffer, at: number): SegmentRow {
  return {
    firstOffset: bytes.readDoubleLE(at),
    lastOffset: bytes.readDoubleLE(at + 8),
    firstTimeMs: bytes.readDoubleLE(at + 16),
    lastTimeMs: bytes.readDoubleLE(at + 24),
    object: { epoch: bytes.readUInt32LE(at + 32), number: bytes.readUInt32LE(at + 36) },
    bytes: bytes.readUInt32LE(at + 40),
    indexAt: bytes.readUInt32LE(at + 44),
    indexBytes: bytes.readUInt32LE(at + 48),
    indexCrc: bytes.readUInt32LE(at + 52),
  };
}
