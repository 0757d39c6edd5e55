// Fresh records in the order of their offsets, but for what the partition holds back or prefers. What is fresh is what
// nothing claims, so it costs nothing to keep.
//
// Which goes next: of the highest priority first; of one priority what was held back and is due, then by offset. Of
// ten hand-overs one goes to what is oldest whatever its priority, so that nothing starves.
import { assert } from '../core/assert.ts';
import type { Offset } from '../core/ids.ts';
import { limits } from '../core/limits.ts';
import type { BatchMarks, DueRun } from '../log/batch-marks.ts';
import type { Claims, FreshNext, FreshSource } from './fresh-source.ts';
import { ReleasedRuns } from './released-runs.ts';

const none: FreshNext = { kind: 'none' };
const delayed: FreshNext = { kind: 'held', reason: 'delayed' };

/** After so many hand-overs out of turn one goes to what is oldest. */
const preferredInRowMax = 9;

export class PlainSource implements FreshSource {
  private readonly claims: Claims;
  private readonly marks: BatchMarks;
  /** By offset: every record below is claimed, held back, or was released late. */
  private from: Offset;
  /** By priority: where the next batch of it is looked for. */
  private readonly levelFrom: Offset[] = Array.from({ length: limits.priorityMax + 1 }, () => 0);
  /** By priority. */
  private readonly late = this.levelFrom.map(() => new ReleasedRuns());
  private preferredInRow = 0;

  constructor(claims: Claims, marks: BatchMarks) {
    this.claims = claims;
    this.marks = marks;
    this.from = claims.acks.floor;
  }

  get passed(): Offset {
    return this.from;
  }

  next(end: Offset, recordsMax: number): FreshNext {
    if (!this.hasExceptions) return this.byOffset(end, recordsMax);
    if (this.preferredInRow >= preferredInRowMax) {
      return this.oldest(end, recordsMax);
    }
    return this.preferred(end, recordsMax) ?? this.byOffset(end, recordsMax);
  }

  taken(first: Offset, last: Offset): void {
    const expected = this.claims.nextFree(this.hasExceptions ? first : this.from);
    const isNext = expected === first && this.claims.freeUntil(first, last + 1) > last;
    assert(isNext, `records ${first}-${last} are not the next fresh ones`);
    const wasOldest = first === this.from || this.preferredInRow >= preferredInRowMax;
    if (first === this.from) this.from = last + 1;
    this.preferredInRow = wasOldest ? 0 : this.preferredInRow + 1;
  }

  offer(): void {
    assert(false, 'a plain queue does not ask for keys');
  }

  settled(): void {
    // What is acked is claimed by that.
  }

  released(runs: readonly DueRun[]): void {
    for (const { first, last, priority } of runs) {
      const seenBelow = Math.max(this.from, this.levelFrom[priority] as number);
      if (first < seenBelow) this.late[priority]?.push(first, last);
    }
  }

  holdsAny(first: Offset, last: Offset): boolean {
    return this.hasExceptions && this.claims.nextFree(first, last) <= last;
  }

  reset(offset: Offset): void {
    this.from = offset;
    this.levelFrom.fill(0);
    for (const runs of this.late) runs.clear();
  }

  recoveredAttempts(): Iterable<never> {
    return [];
  }

  check(): void {
    // It keeps places to look from, which nothing can contradict.
  }

  private get hasExceptions(): boolean {
    return !this.marks.isEmpty || this.late.some((runs) => !runs.isEmpty);
  }

  private byOffset(end: Offset, recordsMax: number): FreshNext {
    let first = this.claims.nextFree(this.from);
    while (first < end) {
      const until = this.marks.heldUntil(first);
      if (until === first) break;
      first = this.claims.nextFree(until);
    }
    // Moving on is no change: nothing that is passed here may go.
    this.from = Math.max(this.from, Math.min(first, end));
    if (first >= end) {
      return this.marks.nextHeld(this.claims.acks.floor, end) < end ? delayed : none;
    }
    const limit = this.marks.nextHeld(first, Math.min(end, first + recordsMax));
    return { kind: 'run', first, last: this.claims.freeUntil(first, limit) - 1 };
  }

  /** By offset, or of what was held back what is older than that. */
  private oldest(end: Offset, recordsMax: number): FreshNext {
    let oldest = this.byOffset(end, recordsMax);
    for (const runs of this.late) {
      const run = runs.next(this.claims, recordsMax);
      if (run === undefined) continue;
      if (oldest.kind !== 'run' || run.first < oldest.first) oldest = { kind: 'run', ...run };
    }
    return oldest;
  }

  /** What goes before the others; undefined: nothing does. */
  private preferred(end: Offset, recordsMax: number): FreshNext | undefined {
    for (let priority = limits.priorityMax; priority >= 0; priority--) {
      const run =
        this.late[priority]?.next(this.claims, recordsMax) ??
        this.ofPriority(priority, end, recordsMax);
      if (run !== undefined) return { kind: 'run', ...run };
    }
    return undefined;
  }

  private ofPriority(priority: number, end: Offset, recordsMax: number) {
    if (priority === 0) return undefined;
    for (;;) {
      const from = this.levelFrom[priority] as number;
      const batch = this.marks.nextOfPriority(priority, from);
      if (batch === undefined || batch.first >= end) return undefined;
      const first = this.claims.nextFree(Math.max(from, batch.first), batch.last);
      if (first <= batch.last) {
        this.levelFrom[priority] = first;
        const limit = Math.min(batch.last + 1, end, first + recordsMax);
        return { first, last: this.claims.freeUntil(first, limit) - 1 };
      }
      this.levelFrom[priority] = batch.last + 1;
    }
  }
}
