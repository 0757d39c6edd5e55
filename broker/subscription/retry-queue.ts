// Records that were handed out and came back: waiting for their back-off, or ready again.
//
// Invariants:
// - runs do not overlap; each is in the index (by offset) and in the heap (by time), or in neither;
// - `count` is the number of their offsets;
// - what has been ready for longest goes first, so no record can keep another one from being retried;
// - nothing goes before its attempts are durable: a count that was told to somebody is not forgotten by a restart.
import { assert } from '../core/assert.ts';
import { Heap, type HeapItem } from '../core/heap.ts';
import type { Offset } from '../core/ids.ts';
import { RunIndex, type OffsetRun } from '../core/run-index.ts';

/** A run of records that came back together. */
export interface RetryRun {
  readonly first: Offset;
  readonly last: Offset;
  /** Attempts that have ended. 0: returned before the application saw the records. */
  readonly attempts: number;
  /** Not before. */
  readonly readyAtMs: number;
}

interface Entry extends OffsetRun, HeapItem {
  readonly attempts: number;
  readonly readyAtMs: number;
  /** Number of the entry that has the attempts. 0: nothing is written of them. */
  readonly entry: number;
}

export class RetryQueue {
  private readonly index = new RunIndex<Entry>();
  private readonly byTime = new Heap<Entry>(
    (a, b) => a.readyAtMs < b.readyAtMs || (a.readyAtMs === b.readyAtMs && a.first < b.first),
  );
  private offsets = 0;
  private durableEntry = 0;

  /** Records in it, ready or waiting. */
  get count(): number {
    return this.offsets;
  }

  /** When the next run is ready; may lie in the past. Infinity when there is none. */
  get nextReadyMs(): number {
    return this.byTime.peek()?.readyAtMs ?? Infinity;
  }

  /** The run that holds `offset`, else the next one. */
  ceiling(offset: Offset): RetryRun | undefined {
    return this.index.ceiling(offset);
  }

  at(offset: Offset): RetryRun | undefined {
    return this.index.at(offset);
  }

  /** `entry`: held until `becameDurable` says so of it, or of a later one. */
  put(first: Offset, last: Offset, attempts: number, readyAtMs: number, entry = 0): void {
    const run: Entry = { first, last, attempts, readyAtMs, entry, heapSlot: -1 };
    this.index.insert(run);
    this.byTime.push(run);
    this.offsets += last - first + 1;
  }

  /** Entries up to this one are durable. */
  becameDurable(entry: number): void {
    this.durableEntry = Math.max(this.durableEntry, entry);
  }

  /**
   * The run that has been ready for longest, joined with neighbours behind it that are ready with the same
   * attempts; at most `recordsMax` records. When that one has had `attemptsBelow` attempts: another one that has not.
   */
  ready(nowMs: number, recordsMax: number, attemptsBelow = Infinity): RetryRun | undefined {
    const top = this.firstReady(nowMs, attemptsBelow);
    if (top === undefined) return undefined;
    const { first, attempts, readyAtMs } = top;
    let last = top.last;
    while (last - first + 1 < recordsMax) {
      const next = this.index.at(last + 1);
      if (next?.attempts !== attempts || !this.mayGo(next, nowMs)) break;
      last = next.last;
    }
    return { first, last: Math.min(last, first + recordsMax - 1), attempts, readyAtMs };
  }

  /** Takes [first, last] out, of which every offset must be in it. */
  take(first: Offset, last: Offset): void {
    const taken = this.remove(first, last);
    assert(taken === last - first + 1, `${taken} records of ${first}-${last} wait for a retry`);
  }

  /** Takes out what it has of [first, last]; answers how many records that were. */
  remove(first: Offset, last: Offset): number {
    if (this.offsets === 0) return 0;
    let removed = 0;
    let entry = this.index.ceiling(first);
    while (entry !== undefined && entry.first <= last) {
      const end = entry.last;
      removed += this.cut(entry, Math.max(first, entry.first), Math.min(last, end));
      entry = end < last ? this.index.ceiling(end + 1) : undefined;
    }
    this.offsets -= removed;
    return removed;
  }

  /** Records that are not ready yet. Looks at every run. */
  waitingAt(nowMs: number): number {
    let waiting = 0;
    for (const entry of this.byTime.values()) {
      if (entry.readyAtMs > nowMs) waiting += entry.last - entry.first + 1;
    }
    return waiting;
  }

  clear(): void {
    this.index.clear();
    this.byTime.clear();
    this.offsets = 0;
  }

  /** All runs by offset. Do not change the queue meanwhile. */
  [Symbol.iterator](): IterableIterator<RetryRun> {
    return this.index[Symbol.iterator]();
  }

  private firstReady(nowMs: number, attemptsBelow: number): Entry | undefined {
    const top = this.byTime.peek();
    if (top === undefined || !this.mayGo(top, nowMs)) return undefined;
    if (top.attempts < attemptsBelow) return top;
    // Rare: only for a consumer that is at work on a last attempt, while others wait.
    for (const entry of this.byTime.values()) {
      if (entry.attempts < attemptsBelow && this.mayGo(entry, nowMs)) return entry;
    }
    return undefined;
  }

  private mayGo(run: Entry, nowMs: number): boolean {
    return run.readyAtMs <= nowMs && run.entry <= this.durableEntry;
  }

  /** Takes [first, last] out of the run that holds all of it. */
  private cut(entry: Entry, first: Offset, last: Offset): number {
    if (entry.first === first && entry.last === last) {
      this.index.remove(entry);
      this.byTime.remove(entry);
    } else if (entry.first === first) {
      // Its place in the heap stays: no other run lies between its old and its new first offset.
      entry.first = last + 1;
    } else {
      const behind = entry.last;
      entry.last = first - 1;
      if (behind > last) {
        this.put(last + 1, behind, entry.attempts, entry.readyAtMs, entry.entry);
        this.offsets -= behind - last;
      }
    }
    return last - first + 1;
  }
}
