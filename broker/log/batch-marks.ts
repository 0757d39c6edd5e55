// Batches of a partition that do not simply go to queues in the order of offsets: held back until a time, or of a
// priority.
//
//   held back ──its time──▶ due; of no priority: forgotten
//
// Invariants:
// - marks ascend by offset and do not overlap;
// - whether a record is held back is said here alone, so that all queues agree whatever the clock does;
// - a chunk without anything that means something is given up.
//
// docs/decisions/0008 says why this is in memory and what it costs.
import { assert } from '../core/assert.ts';
import type { Offset } from '../core/ids.ts';
import { RunIndex, type OffsetRun } from '../core/run-index.ts';
import { TimeHeap } from '../core/time-heap.ts';
import { chunkMarks, MarkChunk, type BatchMark } from './mark-chunk.ts';

/** What marks of all partitions may have together. */
export interface MarkBudget {
  left: number;
}

export interface DueRun {
  readonly first: Offset;
  readonly last: Offset;
  readonly priority: number;
}

/** Undefined: given up, or moved to the front. */
type Chunk = MarkChunk | undefined;

export class BatchMarks {
  private readonly budget: MarkBudget;
  private chunks: Chunk[] = [];
  /** Number of `chunks[0]`; a mark's slot is its chunk's number times `chunkMarks`, plus its index. */
  private firstChunk = 0;
  private readonly byTime = new TimeHeap();
  /** Slots by priority, ascending; from 1. */
  private readonly levels: number[][] = [];
  private readonly cancelled = new RunIndex<OffsetRun>();
  /** Marks held back. */
  private held = 0;

  constructor(budget: MarkBudget) {
    this.budget = budget;
  }

  /** Nothing is held back or has a priority. */
  get isEmpty(): boolean {
    return this.chunks.length === 0;
  }

  get hasPriorities(): boolean {
    return this.levels.length > 0;
  }

  /** When the next one is due; Infinity: none is held back. */
  get nextDueMs(): number {
    return this.held === 0 ? Infinity : this.byTime.nextMs;
  }

  add(mark: BatchMark): void {
    let chunk = this.chunks.at(-1);
    assert(chunk === undefined || chunk.end <= mark.first, `mark at ${mark.first} is not the last`);
    if (chunk === undefined || chunk.isFull) this.chunks.push((chunk = new MarkChunk()));
    const index = chunk.add(mark);
    const slot = (this.firstChunk + this.chunks.length - 1) * chunkMarks + index;
    this.budget.left--;
    if (mark.priority > 0) this.level(mark.priority).push(slot);
    if (mark.deliverAtMs === 0) return;
    this.held++;
    this.byTime.push(mark.deliverAtMs, slot);
    const taken = this.cancelledWithin(mark.first, mark.first + mark.count - 1);
    chunk.pendingRecords -= taken;
  }

  /** Releases at most `max` batches whose time has come, in the order of their times. */
  due(nowMs: number, max: number): DueRun[] {
    const runs: DueRun[] = [];
    while (runs.length < max && this.byTime.nextMs <= nowMs) {
      const slot = this.byTime.pop() as number;
      const chunk = this.chunkOf(slot);
      const index = slot % chunkMarks;
      if (chunk === undefined || !chunk.isPending(index)) continue;
      const { first, count, priority } = chunk.at(index);
      const last = first + count - 1;
      this.held--;
      chunk.release(index, this.cancelledWithin(first, last));
      if (priority === 0) this.budget.left++;
      this.giveUpIfDone(Math.floor(slot / chunkMarks), chunk);
      runs.push({ first, last, priority });
    }
    return runs;
  }

  /** The offset after the neighbouring held back records that begin with this one; itself if it is not held back. */
  heldUntil(offset: Offset): Offset {
    let end = offset;
    if (this.held === 0) return end;
    for (let c = this.chunkAt(offset); c < this.chunks.length; c++) {
      const chunk = this.chunks[c];
      if (chunk === undefined) continue;
      // Millions in a row are passed chunk by chunk: one by one they would take a tenth of a second.
      if (chunk.isSolid && chunk.first <= end) {
        end = chunk.end;
        continue;
      }
      for (let i = chunk.indexOf(end); i < chunk.used; i++) {
        if (chunk.firstAt(i) > end || !chunk.isPending(i)) return end;
        end = chunk.endAt(i);
      }
    }
    return end;
  }

  /** The first held back offset from `from` on, below `limit`; else `limit`. */
  nextHeld(from: Offset, limit: Offset): Offset {
    if (this.held === 0) return limit;
    for (let c = this.chunkAt(from); c < this.chunks.length; c++) {
      const chunk = this.chunks[c];
      if (chunk === undefined || chunk.pending === 0) continue;
      if (chunk.first >= limit) return limit;
      for (let i = chunk.indexOf(from); i < chunk.used; i++) {
        if (chunk.isPending(i)) return Math.min(limit, Math.max(from, chunk.firstAt(i)));
      }
    }
    return limit;
  }

  /** The first batch of the priority that is not held back and ends after `from`. */
  nextOfPriority(priority: number, from: Offset): DueRun | undefined {
    const slots = this.levels[priority - 1];
    if (slots === undefined) return undefined;
    let low = 0;
    let high = slots.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.endOf(slots[middle] as number) <= from) low = middle + 1;
      else high = middle;
    }
    for (let i = low; i < slots.length; i++) {
      const slot = slots[i] as number;
      const chunk = this.chunkOf(slot);
      const index = slot % chunkMarks;
      if (chunk === undefined || chunk.isPending(index)) continue;
      return { first: chunk.firstAt(index), last: chunk.endAt(index) - 1, priority };
    }
    return undefined;
  }

  /** Records of [offset, end) that are held back and not cancelled. */
  heldRecordsIn(offset: Offset, end: Offset): number {
    let records = 0;
    if (this.held === 0) return records;
    for (let c = this.chunkAt(offset); c < this.chunks.length; c++) {
      const chunk = this.chunks[c];
      if (chunk === undefined) continue;
      if (chunk.first >= end) break;
      if (chunk.first >= offset && chunk.end <= end) {
        records += chunk.pendingRecords;
        continue;
      }
      for (let i = chunk.indexOf(offset); i < chunk.used && chunk.firstAt(i) < end; i++) {
        if (!chunk.isPending(i)) continue;
        const first = Math.max(offset, chunk.firstAt(i));
        const last = Math.min(end, chunk.endAt(i)) - 1;
        records += last - first + 1 - this.cancelledWithin(first, last);
      }
    }
    return records;
  }

  /** Batches that are held back, from the one that ends after `from` on. */
  *heldFrom(from: Offset): Generator<BatchMark> {
    for (let c = this.chunkAt(from); c < this.chunks.length; c++) {
      const chunk = this.chunks[c];
      if (chunk === undefined) continue;
      for (let i = chunk.indexOf(from); i < chunk.used; i++) {
        if (chunk.isPending(i)) yield chunk.at(i);
      }
    }
  }

  /** Takes back what of the range is held back; answers the runs that newly are. */
  cancel(first: Offset, last: Offset): OffsetRun[] {
    const runs: OffsetRun[] = [];
    for (let from = this.nextHeld(first, last + 1); from <= last;) {
      const until = Math.min(this.heldUntil(from) - 1, last);
      runs.push(...this.uncancelled(from, until));
      from = this.nextHeld(until + 1, last + 1);
    }
    for (const run of runs) {
      this.countCancelled(run);
      this.restoreCancelled(run);
    }
    return runs;
  }

  /** Runs of records that were taken back; of a partition's whole retained part. */
  cancelledRuns(): Iterable<Readonly<OffsetRun>> {
    return this.cancelled;
  }

  get cancelledCount(): number {
    return this.cancelled.size;
  }

  /** As of a checkpoint or an entry: before the marks are there. */
  restoreCancelled({ first, last }: OffsetRun): void {
    for (const run of this.uncancelled(first, last)) this.cancelled.insert(run);
  }

  isCancelled(offset: Offset): boolean {
    return this.cancelled.at(offset) !== undefined;
  }

  /** Forgets what is below `start`, and priorities below `acked`, which no queue needs any more. */
  trim(start: Offset, acked: Offset): void {
    for (let run = this.cancelled.ceiling(0); run !== undefined && run.last < start;) {
      this.cancelled.remove(run);
      run = this.cancelled.ceiling(0);
    }
    const below = Math.max(start, acked);
    const done: [number, MarkChunk][] = [];
    for (const slots of this.levels) {
      const kept = slots.findIndex((slot) => this.endOf(slot) > below);
      for (const slot of slots.splice(0, kept === -1 ? slots.length : kept)) {
        const chunk = this.chunkOf(slot) as MarkChunk;
        chunk.unprioritize(slot % chunkMarks);
        if (!chunk.isPending(slot % chunkMarks)) this.budget.left++;
      }
    }
    for (const [c, chunk] of [...this.chunks.entries()]) {
      if (chunk === undefined) continue;
      if (chunk.first >= below) break;
      for (let i = 0; i < chunk.used && chunk.endAt(i) <= start; i++) {
        if (!chunk.isPending(i)) continue;
        this.held--;
        this.budget.left++;
        chunk.release(i, this.cancelledWithin(chunk.firstAt(i), chunk.endAt(i) - 1));
      }
      done.push([this.firstChunk + c, chunk]);
    }
    for (const [number, chunk] of done) this.giveUpIfDone(number, chunk);
    while (this.levels.length > 0 && this.levels.at(-1)?.length === 0) this.levels.pop();
  }

  /** For a checkpoint: each is whole without the others. */
  *encodedChunks(): Generator<() => Uint8Array> {
    for (const chunk of this.chunks) if (chunk !== undefined) yield () => chunk.encode();
  }

  /** Its partition is gone. */
  clear(): void {
    for (const chunk of this.chunks) {
      for (let i = 0; i < (chunk?.used ?? 0); i++) {
        if (chunk?.isPending(i) === true) this.budget.left++;
      }
    }
    this.budget.left += this.levels.reduce((sum, { length }) => sum + length, 0);
    this.chunks = [];
    this.levels.length = 0;
    this.held = 0;
  }

  private level(priority: number): number[] {
    while (this.levels.length < priority) this.levels.push([]);
    return this.levels[priority - 1] as number[];
  }

  private chunkOf(slot: number): Chunk {
    return this.chunks[Math.floor(slot / chunkMarks) - this.firstChunk];
  }

  private endOf(slot: number): Offset {
    return this.chunkOf(slot)?.endAt(slot % chunkMarks) ?? 0;
  }

  /** Index of the first chunk that ends after the offset, or of one before it that was given up. */
  private chunkAt(offset: Offset): number {
    let low = 0;
    let high = this.chunks.length;
    while (low < high) {
      let middle = (low + high) >>> 1;
      while (middle > low && this.chunks[middle] === undefined) middle--;
      const chunk = this.chunks[middle];
      if (chunk === undefined || chunk.end <= offset) low = Math.max(middle, low) + 1;
      else high = middle;
    }
    return low;
  }

  private giveUpIfDone(number: number, chunk: MarkChunk): void {
    if (chunk.pending > 0 || chunk.prioritized > 0) return;
    this.chunks[number - this.firstChunk] = undefined;
    while (this.chunks.length > 0 && this.chunks[0] === undefined) {
      this.chunks.shift();
      this.firstChunk++;
    }
  }

  private countCancelled(run: OffsetRun): void {
    for (let c = this.chunkAt(run.first); c < this.chunks.length; c++) {
      const chunk = this.chunks[c];
      if (chunk === undefined) continue;
      for (let i = chunk.indexOf(run.first); i < chunk.used; i++) {
        const first = Math.max(run.first, chunk.firstAt(i));
        const last = Math.min(run.last, chunk.endAt(i) - 1);
        if (first > run.last) return;
        if (chunk.isPending(i)) chunk.pendingRecords -= last - first + 1;
      }
    }
  }

  private cancelledWithin(first: Offset, last: Offset): number {
    if (this.cancelled.size === 0) return 0;
    const others = this.uncancelled(first, last);
    return others.reduce((count, run) => count - (run.last - run.first + 1), last - first + 1);
  }

  /** Runs of the range that were not taken back. */
  uncancelled(first: Offset, last: Offset): OffsetRun[] {
    const runs: OffsetRun[] = [];
    let from = first;
    while (from <= last) {
      const taken = this.cancelled.ceiling(from);
      if (taken === undefined || taken.first > last) break;
      if (taken.first > from) runs.push({ first: from, last: taken.first - 1 });
      from = taken.last + 1;
    }
    if (from <= last) runs.push({ first: from, last });
    return runs;
  }
}
