// Members of a chunk as sorted ranges: small while there are few of them.
//
// Invariants:
// - ranges are ascending and neither overlap nor touch;
// - `count` is the sum of their lengths.
import { chunkOffsets, type ChunkForm } from './chunk-form.ts';

/** Ranges that a new chunk has room for. */
const capacityMin = 4;

export class ChunkRanges implements ChunkForm {
  /** First and last member of each range, in turn. */
  private pairs = new Uint16Array(2 * capacityMin);
  private used = 0;
  private members = 0;

  get count(): number {
    return this.members;
  }

  get rangeCount(): number {
    return this.used;
  }

  get bytes(): number {
    return this.pairs.byteLength;
  }

  add(first: number, last: number): number {
    // Ranges [from, to) overlap or touch the new one and become one with it.
    const from = first === 0 ? 0 : this.firstEndingAt(first - 1);
    let to = from;
    let mergedFirst = first;
    let mergedLast = last;
    let known = 0;
    while (to < this.used && this.start(to) <= last + 1) {
      if (this.start(to) < mergedFirst) mergedFirst = this.start(to);
      if (this.end(to) > mergedLast) mergedLast = this.end(to);
      known += this.end(to) - this.start(to) + 1;
      to++;
    }
    const added = mergedLast - mergedFirst + 1 - known;
    if (added === 0) return 0;
    this.resize(from, to);
    this.pairs[2 * from] = mergedFirst;
    this.pairs[2 * from + 1] = mergedLast;
    this.members += added;
    return added;
  }

  has(index: number): boolean {
    const at = this.firstEndingAt(index);
    return at < this.used && this.start(at) <= index;
  }

  nextSet(index: number): number {
    const at = this.firstEndingAt(index);
    return at < this.used ? Math.max(this.start(at), index) : chunkOffsets;
  }

  nextUnset(index: number): number {
    const at = this.firstEndingAt(index);
    return at < this.used && this.start(at) <= index ? this.end(at) + 1 : index;
  }

  countIn(first: number, last: number): number {
    let count = 0;
    for (let at = this.firstEndingAt(first); at < this.used && this.start(at) <= last; at++) {
      count += Math.min(this.end(at), last) - Math.max(this.start(at), first) + 1;
    }
    return count;
  }

  removeBelow(index: number): number {
    const keep = this.firstEndingAt(index);
    let removed = 0;
    for (let at = 0; at < keep; at++) removed += this.end(at) - this.start(at) + 1;
    this.pairs.copyWithin(0, 2 * keep, 2 * this.used);
    this.used -= keep;
    if (this.used > 0 && this.start(0) < index) {
      removed += index - this.start(0);
      this.pairs[0] = index;
    }
    this.members -= removed;
    return removed;
  }

  private start(at: number): number {
    return this.pairs[2 * at] as number;
  }

  private end(at: number): number {
    return this.pairs[2 * at + 1] as number;
  }

  /** The first range that ends at `index` or later. */
  private firstEndingAt(index: number): number {
    let low = 0;
    let high = this.used;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.end(middle) < index) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Makes one slot of the ranges [from, to): moves what lies behind them. */
  private resize(from: number, to: number): void {
    const used = this.used + 1 - (to - from);
    if (2 * used > this.pairs.length) {
      const grown = new Uint16Array(2 * this.pairs.length);
      grown.set(this.pairs);
      this.pairs = grown;
    }
    this.pairs.copyWithin(2 * (from + 1), 2 * to, 2 * this.used);
    this.used = used;
  }
}
