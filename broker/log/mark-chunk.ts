// Some marks of a partition in columns: 21 bytes each. See batch-marks.ts.
import type { Offset } from '../core/ids.ts';
import { WireReader } from '../../proto/wire/reader.ts';
import { WireWriter } from '../../proto/wire/writer.ts';

export interface BatchMark {
  readonly first: Offset;
  readonly count: number;
  /** Wall clock, ms; 0: it is not held back. */
  readonly deliverAtMs: number;
  /** 0 to 9. */
  readonly priority: number;
}

/** So many marks share a chunk; its checkpoint entry has at most about 12 KiB. */
export const chunkMarks = 1024;

const capacityMin = 16;

export class MarkChunk {
  private firsts = new Float64Array(capacityMin);
  private counts = new Uint32Array(capacityMin);
  private times = new Float64Array(capacityMin);
  private priorities = new Uint8Array(capacityMin);
  /** Marks that were ever put in. */
  used = 0;
  /** Marks held back, and their records that are not cancelled. */
  pending = 0;
  pendingRecords = 0;
  /** Marks with a priority. */
  prioritized = 0;
  private hasGaps = false;

  get isFull(): boolean {
    return this.used === chunkMarks;
  }

  get first(): Offset {
    return this.firsts[0] as number;
  }

  /** The offset after its last record. */
  get end(): Offset {
    return this.endAt(this.used - 1);
  }

  /** All of it is held back, and no other batch lies between. */
  get isSolid(): boolean {
    return this.pending === this.used && !this.hasGaps;
  }

  add({ first, count, deliverAtMs, priority }: BatchMark): number {
    if (this.used === this.firsts.length) this.grow();
    if (this.used > 0 && first !== this.end) this.hasGaps = true;
    const index = this.used++;
    this.firsts[index] = first;
    this.counts[index] = count;
    this.times[index] = deliverAtMs;
    this.priorities[index] = priority;
    if (priority > 0) this.prioritized++;
    if (deliverAtMs > 0) {
      this.pending++;
      this.pendingRecords += count;
    }
    return index;
  }

  firstAt(index: number): Offset {
    return this.firsts[index] as number;
  }

  endAt(index: number): Offset {
    return (this.firsts[index] as number) + (this.counts[index] as number);
  }

  isPending(index: number): boolean {
    return (this.times[index] as number) > 0;
  }

  at(index: number): BatchMark {
    return {
      first: this.firstAt(index),
      count: this.counts[index] as number,
      deliverAtMs: this.times[index] as number,
      priority: this.priorities[index] as number,
    };
  }

  /** It is held back no more; `cancelled` of its records had been taken back. */
  release(index: number, cancelled: number): void {
    this.times[index] = 0;
    this.pending--;
    this.pendingRecords -= (this.counts[index] as number) - cancelled;
  }

  /** Its priority matters no more. */
  unprioritize(index: number): void {
    this.priorities[index] = 0;
    this.prioritized--;
  }

  /** The first mark that ends after the offset; `used` when there is none. */
  indexOf(offset: Offset): number {
    let low = 0;
    let high = this.used;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.endAt(middle) <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Those that still mean something, for a checkpoint. */
  encode(): Uint8Array {
    const marks = Array.from({ length: this.used }, (_, i) => this.at(i));
    return encodedMarks(marks.filter((mark) => mark.deliverAtMs > 0 || mark.priority > 0));
  }

  private grow(): void {
    const capacity = this.firsts.length * 2;
    this.firsts = enlarged(this.firsts, new Float64Array(capacity));
    this.counts = enlarged(this.counts, new Uint32Array(capacity));
    this.times = enlarged(this.times, new Float64Array(capacity));
    this.priorities = enlarged(this.priorities, new Uint8Array(capacity));
  }
}

/** Ascending marks; offsets and times as differences to the mark before. */
export function encodedMarks(marks: readonly BatchMark[]): Uint8Array {
  const writer = new WireWriter(marks.length * 8 + 16);
  let before = 0;
  let beforeMs = 0;
  for (const { first, count, deliverAtMs, priority } of marks) {
    writer.varint(first - before);
    writer.varint(count);
    writer.varint(priority * 2 + (deliverAtMs >= beforeMs ? 0 : 1));
    writer.varint(Math.abs(deliverAtMs - beforeMs));
    before = first;
    beforeMs = deliverAtMs;
  }
  return writer.finish();
}

/** What `encodedMarks` wrote. Throws WireError. */
export function decodeMarks(bytes: Uint8Array): BatchMark[] {
  const reader = new WireReader(bytes);
  const marks: BatchMark[] = [];
  let first = 0;
  let deliverAtMs = 0;
  while (!reader.done) {
    first += reader.varint();
    const count = reader.varint();
    const bits = reader.varint();
    const step = reader.varint();
    deliverAtMs += bits % 2 === 0 ? step : -step;
    marks.push({ first, count, deliverAtMs, priority: bits >>> 1 });
  }
  return marks;
}

function enlarged<T extends Float64Array | Uint32Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
