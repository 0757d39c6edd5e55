// 65,536 offsets of an ack set, as ranges or as a bitmap, whichever is smaller.
//
// Invariants:
// - more than 2,048 ranges (8 KiB) are never held as ranges;
// - stored, the form is chosen again by size, so equal members give equal bytes.
import type { WireReader } from '../../proto/wire/reader.ts';
import { WireWriter } from '../../proto/wire/writer.ts';
import { bitmapBytes, ChunkBitmap } from './chunk-bitmap.ts';
import { chunkOffsets, type ChunkForm } from './chunk-form.ts';
import { ChunkRanges } from './chunk-ranges.ts';
import type { Damaged } from './durable-bytes.ts';

/** Above it ranges of 4 bytes take more than the bitmap. */
const rangesMax = bitmapBytes / 4;
/** A bitmap becomes ranges again below it; half, so that a chunk does not swing between both. */
const rangesAgain = rangesMax / 2;
/** Changes of a bitmap after which its ranges are counted again: makes the 2 us of counting nothing per ack. */
const changesPerCount = 1024;

export class AckChunk {
  /** Which chunk: its first offset divided by chunkOffsets. */
  readonly index: number;
  private form: ChunkForm;
  private changes = 0;

  constructor(index: number, form: ChunkForm = new ChunkRanges()) {
    this.index = index;
    this.form = form;
  }

  get count(): number {
    return this.form.count;
  }

  get bytes(): number {
    return this.form.bytes;
  }

  add(first: number, last: number): number {
    const added = this.form.add(first, last);
    if (added > 0) this.choose(added);
    return added;
  }

  has(index: number): boolean {
    return this.form.has(index);
  }

  nextSet(index: number): number {
    return this.form.nextSet(index);
  }

  nextUnset(index: number): number {
    return this.form.nextUnset(index);
  }

  countIn(first: number, last: number): number {
    return this.form.countIn(first, last);
  }

  removeBelow(index: number): number {
    return this.form.removeBelow(index);
  }

  /** Number of ranges and the gap and length of each, or 0 and the bitmap. */
  encode(writer: WireWriter): void {
    const ranges = new WireWriter(64);
    let at = 0;
    let count = 0;
    for (let first = this.nextSet(0); first < chunkOffsets && ranges.length < bitmapBytes;) {
      const next = this.nextUnset(first);
      ranges.varint(first - at);
      ranges.varint(next - first - 1);
      count++;
      at = next;
      first = this.nextSet(next);
    }
    if (ranges.length < bitmapBytes) {
      writer.varint(count);
      writer.raw(ranges.finish());
      return;
    }
    const stored = Buffer.alloc(bitmapBytes);
    copyOf(this.form, new ChunkBitmap()).store(stored);
    writer.varint(0);
    writer.raw(stored);
  }

  static decode(index: number, reader: WireReader, damaged: Damaged): AckChunk {
    const rangeCount = reader.varint();
    if (rangeCount === 0) return new AckChunk(index, decodeBitmap(reader, damaged));
    const chunk = new AckChunk(index);
    let at = 0;
    for (let i = 0; i < rangeCount; i++) {
      const gap = reader.varint();
      if (i > 0 && gap === 0) throw damaged('two ranges touch');
      const first = at + gap;
      const last = first + reader.varint();
      if (last >= chunkOffsets) throw damaged(`range ends at ${last} of its chunk`);
      chunk.add(first, last);
      at = last + 1;
    }
    return chunk;
  }

  private choose(changed: number): void {
    if (this.form instanceof ChunkRanges) {
      if (this.form.rangeCount > rangesMax) this.form = copyOf(this.form, new ChunkBitmap());
      return;
    }
    this.changes += changed;
    if (this.changes < changesPerCount && this.form.count < chunkOffsets) return;
    this.changes = 0;
    if (this.form.rangeCount <= rangesAgain) this.form = copyOf(this.form, new ChunkRanges());
  }
}

function decodeBitmap(reader: WireReader, damaged: Damaged): ChunkBitmap {
  const end = reader.position + bitmapBytes;
  if (end > reader.end) throw damaged('a bitmap is cut off');
  const bitmap = ChunkBitmap.load(reader.bytes.subarray(reader.position, end));
  reader.position = end;
  return bitmap;
}

function copyOf<F extends ChunkForm>(from: ChunkForm, to: F): F {
  for (let first = from.nextSet(0); first < chunkOffsets;) {
    const next = from.nextUnset(first);
    to.add(first, next - 1);
    first = from.nextSet(next);
  }
  return to;
}
