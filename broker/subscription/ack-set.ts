// What a subscription has acked in one partition.
//
// Every offset below `floor` is acked, `floor` itself is not; above it acked offsets are kept in chunks of 65,536.
// A queue with one slow record and a million acked behind it holds that as a few ranges; a million holes take
// 250 KiB. Nothing is ever dropped to save room: an ack that is forgotten is work done twice.
//
// Invariants:
// - `floor` is not acked and only rises, except by resetTo;
// - chunks are ascending, none is empty, and all members are above `floor`;
// - `ackedAbove` is the number of members of all chunks.
import { assert } from '../core/assert.ts';
import type { Offset } from '../core/ids.ts';
import { isOffset } from './offset-range.ts';
import { WireWriter } from '../../proto/wire/writer.ts';
import { AckChunk } from './ack-chunk.ts';
import { chunkOffsets } from './chunk-form.ts';
import { readDurable, readOffset } from './durable-bytes.ts';

const formatVersion = 1;
/** Memory of a chunk besides its members: two objects, a typed array's header, a slot. */
const chunkOverheadBytes = 256;

export class AckSet {
  private floorOffset: Offset;
  private chunks: AckChunk[] = [];
  private above = 0;

  constructor(floor: Offset = 0) {
    assert(isOffset(floor), `ack floor ${floor}`);
    this.floorOffset = floor;
  }

  /** Every offset below is acked; this one is not. */
  get floor(): Offset {
    return this.floorOffset;
  }

  /** Acked offsets above the floor. */
  get ackedAbove(): number {
    return this.above;
  }

  /** The offset after the last acked one. Looks through one chunk. */
  get end(): Offset {
    const last = this.chunks[this.chunks.length - 1];
    if (last === undefined) return this.floorOffset;
    let end = 0;
    for (let at = last.nextSet(0); at < chunkOffsets; at = last.nextSet(end)) {
      end = last.nextUnset(at);
    }
    return last.index * chunkOffsets + end;
  }

  /** About how much memory it takes. */
  get bytes(): number {
    return this.chunks.reduce((sum, chunk) => sum + chunk.bytes + chunkOverheadBytes, 0);
  }

  /** Acks [first, last]; answers how many of them were not acked before. */
  add(first: Offset, last: Offset): number {
    assert(isOffset(first) && isOffset(last) && first <= last, `ack range ${first}-${last}`);
    if (last < this.floorOffset) return 0;
    if (first <= this.floorOffset) return this.raiseFloor(last + 1);
    let added = 0;
    let at = this.position(chunkIndex(first));
    for (let offset = first; offset <= last; at++) {
      const index = chunkIndex(offset);
      const chunk = this.chunkAt(at, index);
      const base = index * chunkOffsets;
      const end = Math.min(last, base + chunkOffsets - 1);
      added += chunk.add(offset - base, end - base);
      offset = end + 1;
    }
    this.above += added;
    return added;
  }

  has(offset: Offset): boolean {
    if (offset < this.floorOffset) return true;
    const index = chunkIndex(offset);
    const chunk = this.chunks[this.position(index)];
    return chunk?.index === index && chunk.has(offset - index * chunkOffsets);
  }

  /** The first offset from `from` on that is not acked. */
  nextUnacked(from: Offset): Offset {
    return from <= this.floorOffset ? this.floorOffset : this.skipMembers(from);
  }

  /** The first acked offset in [from, limit), else `limit`. */
  nextAcked(from: Offset, limit: Offset): Offset {
    if (from >= limit) return limit;
    if (from < this.floorOffset) return from;
    for (let at = this.position(chunkIndex(from)); at < this.chunks.length; at++) {
      const chunk = this.chunks[at] as AckChunk;
      const base = chunk.index * chunkOffsets;
      if (base >= limit) return limit;
      const next = chunk.nextSet(Math.max(from - base, 0));
      if (next < chunkOffsets) return Math.min(base + next, limit);
    }
    return limit;
  }

  /** Acked offsets in [first, last]. */
  countAcked(first: Offset, last: Offset): number {
    if (first > last) return 0;
    let count = Math.max(Math.min(this.floorOffset, last + 1) - first, 0);
    const from = Math.max(first, this.floorOffset);
    for (let at = this.position(chunkIndex(from)); at < this.chunks.length; at++) {
      const chunk = this.chunks[at] as AckChunk;
      const base = chunk.index * chunkOffsets;
      if (base > last) break;
      const end = Math.min(last - base, chunkOffsets - 1);
      count += chunk.countIn(Math.max(from - base, 0), end);
    }
    return count;
  }

  /** Calls `visit` for each maximal run of unacked offsets in [first, last], ascending. */
  visitUnacked(first: Offset, last: Offset, visit: (first: Offset, last: Offset) => void): void {
    for (let from = this.nextUnacked(first); from <= last;) {
      const end = this.nextAcked(from, last + 1);
      visit(from, end - 1);
      if (end > last) return;
      from = this.nextUnacked(end);
    }
  }

  /** Seek: everything below `offset` is acked, everything from it on is not. */
  resetTo(offset: Offset): void {
    assert(isOffset(offset), `reset of acks to ${offset}`);
    this.floorOffset = offset;
    this.chunks = [];
    this.above = 0;
  }

  /** The durable form: version, floor, number of chunks; for each its distance from the last and its members. */
  encode(): Uint8Array {
    const writer = new WireWriter(64 + 64 * this.chunks.length);
    writer.varint(formatVersion);
    writer.varint(this.floorOffset);
    writer.varint(this.chunks.length);
    let next = chunkIndex(this.floorOffset);
    for (const chunk of this.chunks) {
      writer.varint(chunk.index - next);
      chunk.encode(writer);
      next = chunk.index + 1;
    }
    return writer.finish();
  }

  /** Throws DATA_LOSS when the bytes are not what `encode` made. */
  static decode(bytes: Uint8Array): AckSet {
    return readDurable('ack set', bytes, (reader, damaged) => {
      const version = reader.varint();
      if (version !== formatVersion) throw damaged(`version ${version}`);
      const set = new AckSet(readOffset(reader, damaged));
      const count = reader.varint();
      let next = chunkIndex(set.floorOffset);
      for (let i = 0; i < count; i++) {
        const index = next + reader.varint();
        if (index > chunkIndex(Number.MAX_SAFE_INTEGER)) throw damaged(`chunk ${index}`);
        const chunk = AckChunk.decode(index, reader, damaged);
        if (chunk.count === 0) throw damaged(`chunk ${index} is empty`);
        if (index * chunkOffsets + chunk.nextSet(0) <= set.floorOffset) {
          throw damaged(`chunk ${index} has members up to the floor`);
        }
        set.chunks.push(chunk);
        set.above += chunk.count;
        next = index + 1;
      }
      return set;
    });
  }

  /** Recounts what is kept as a number and checks the invariants above; for tests and the simulation. */
  check(): void {
    let above = 0;
    let previous = -1;
    for (const chunk of this.chunks) {
      assert(chunk.index > previous, `chunk ${chunk.index} after ${previous}`);
      assert(chunk.count > 0, `chunk ${chunk.index} is empty`);
      const lowest = chunk.index * chunkOffsets + chunk.nextSet(0);
      assert(lowest > this.floorOffset, `acked ${lowest}, floor ${this.floorOffset}`);
      assert(
        chunk.countIn(0, chunkOffsets - 1) === chunk.count,
        `chunk ${chunk.index} counts ${chunk.count} members`,
      );
      above += chunk.count;
      previous = chunk.index;
    }
    assert(above === this.above, `acked above: counted ${above}, kept ${this.above}`);
  }

  /** Acks everything below `to`, and whatever follows without a gap. */
  private raiseFloor(to: Offset): number {
    const added = to - this.floorOffset - this.dropBelow(to);
    this.floorOffset = to;
    const settled = this.skipMembers(to);
    if (settled > to) {
      this.dropBelow(settled);
      this.floorOffset = settled;
    }
    return added;
  }

  /** The first offset from `from` on, which is not below the floor, that is in no chunk. */
  private skipMembers(from: Offset): Offset {
    let offset = from;
    for (let at = this.position(chunkIndex(from)); ; at++) {
      const chunk = this.chunks[at];
      if (chunk?.index !== chunkIndex(offset)) return offset;
      const base = chunk.index * chunkOffsets;
      const next = chunk.nextUnset(offset - base);
      offset = base + next;
      if (next < chunkOffsets) return offset;
    }
  }

  /** Forgets the members below `offset`; answers how many. */
  private dropBelow(offset: Offset): number {
    const index = chunkIndex(offset);
    let whole = 0;
    let dropped = 0;
    while (whole < this.chunks.length && (this.chunks[whole] as AckChunk).index < index) {
      dropped += (this.chunks[whole] as AckChunk).count;
      whole++;
    }
    if (whole > 0) this.chunks.splice(0, whole);
    const first = this.chunks[0];
    if (first?.index === index) {
      dropped += first.removeBelow(offset - index * chunkOffsets);
      if (first.count === 0) this.chunks.shift();
    }
    this.above -= dropped;
    return dropped;
  }

  /** Where the chunk with this index is, or would be. */
  private position(index: number): number {
    const { chunks } = this;
    let low = 0;
    let high = chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((chunks[middle] as AckChunk).index < index) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The chunk `index`, which is or belongs at position `at`. */
  private chunkAt(at: number, index: number): AckChunk {
    const known = this.chunks[at];
    if (known?.index === index) return known;
    const chunk = new AckChunk(index);
    this.chunks.splice(at, 0, chunk);
    return chunk;
  }
}

function chunkIndex(offset: Offset): number {
  return Math.floor(offset / chunkOffsets);
}
