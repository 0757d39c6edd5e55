// Members of a chunk as one bit each: 8 KiB whatever they are.
//
// Invariant: `count` is the number of set bits.
import { chunkOffsets, type ChunkForm } from './chunk-form.ts';

/** Bytes of the bitmap, in memory and stored. */
export const bitmapBytes = chunkOffsets / 8;
const wordsMax = chunkOffsets / 32;
const allOnes = 0xffffffff;

export class ChunkBitmap implements ChunkForm {
  private readonly words = new Uint32Array(wordsMax);
  private members = 0;

  get count(): number {
    return this.members;
  }

  get bytes(): number {
    return this.words.byteLength;
  }

  /** Counted anew (about 2 us): a bit that follows an unset one begins a range. */
  get rangeCount(): number {
    let ranges = 0;
    let carry = 0;
    for (const word of this.words) {
      ranges += ones(word & ~((word << 1) | carry));
      carry = word >>> 31;
    }
    return ranges;
  }

  add(first: number, last: number): number {
    let added = 0;
    for (let at = first >>> 5; at <= last >>> 5; at++) {
      const before = this.words[at] as number;
      const fresh = maskOf(at, first, last) & ~before;
      added += ones(fresh);
      this.words[at] = before | fresh;
    }
    this.members += added;
    return added;
  }

  has(index: number): boolean {
    return (((this.words[index >>> 5] as number) >>> (index & 31)) & 1) === 1;
  }

  nextSet(index: number): number {
    return this.find(index, 0);
  }

  nextUnset(index: number): number {
    return this.find(index, allOnes);
  }

  countIn(first: number, last: number): number {
    let count = 0;
    for (let at = first >>> 5; at <= last >>> 5; at++) {
      count += ones((this.words[at] as number) & maskOf(at, first, last));
    }
    return count;
  }

  removeBelow(index: number): number {
    if (index === 0) return 0;
    // The members below were taken out step by step; look only at words from the first member on.
    const first = this.nextSet(0);
    let removed = 0;
    for (let at = first >>> 5; at <= (index - 1) >>> 5; at++) {
      const gone = (this.words[at] as number) & maskOf(at, first, index - 1);
      removed += ones(gone);
      this.words[at] = (this.words[at] as number) & ~gone;
    }
    this.members -= removed;
    return removed;
  }

  /** The stored form: bit i of byte i >> 3, least significant first, on every machine. */
  store(target: Buffer): void {
    for (let at = 0; at < wordsMax; at++) target.writeUInt32LE(this.words[at] as number, 4 * at);
  }

  static load(stored: Uint8Array): ChunkBitmap {
    const bitmap = new ChunkBitmap();
    const view = new DataView(stored.buffer, stored.byteOffset, bitmapBytes);
    for (let at = 0; at < wordsMax; at++) {
      const word = view.getUint32(4 * at, true);
      bitmap.words[at] = word;
      bitmap.members += ones(word);
    }
    return bitmap;
  }

  /** The first bit from `index` on that differs from the bits of `skip`. */
  private find(index: number, skip: number): number {
    if (index >= chunkOffsets) return chunkOffsets;
    let at = index >>> 5;
    let word = (((this.words[at] as number) ^ skip) & (allOnes << (index & 31))) >>> 0;
    while (word === 0) {
      at++;
      if (at === wordsMax) return chunkOffsets;
      word = ((this.words[at] as number) ^ skip) >>> 0;
    }
    return at * 32 + (31 - Math.clz32(word & -word));
  }
}

/** The bits of word `at` that lie in [first, last]. */
function maskOf(at: number, first: number, last: number): number {
  let mask = allOnes;
  if (at === first >>> 5) mask &= allOnes << (first & 31);
  if (at === last >>> 5) mask &= allOnes >>> (31 - (last & 31));
  return mask;
}

/** Number of set bits. */
function ones(word: number): number {
  let x = word - ((word >>> 1) & 0x55555555);
  x = (x & 0x33333333) + ((x >>> 2) & 0x33333333);
  return Math.imul((x + (x >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
