// Fresh records of a keyed queue: of each key only the oldest record that is not settled may be out.
//
//   offered ──key free──▶ ready ──taken──▶ out (in flight, or waiting for its back-off) ──settled──▶ gone
//      └──key locked──▶ held, in the order of offsets ──its elder settled──▶ ready
//
// Invariants:
// - a key is locked by exactly one record: ready, out, dead, or waiting for a retry that was recovered;
// - what is held behind a key is younger than what locks it, and leaves in the order of offsets; a record with a
//   delivery time joins the line of its key at that time;
// - attempts that were recovered belong to their record: it is retried, not handed out as fresh, and in its turn;
// - records without a key lock nothing.
//
// Keys are hashes; two keys with one hash share a lock, which costs them parallelism only. Per held record one number
// in an array of its key.
import { assert } from '../core/assert.ts';
import { Fifo } from '../core/fifo.ts';
import type { Offset } from '../core/ids.ts';
import { limits } from '../core/limits.ts';
import type { BatchMarks, DueRun } from '../log/batch-marks.ts';
import type { Claims, FreshNext, FreshSource } from './fresh-source.ts';
import { ReadyOffsets } from './ready-offsets.ts';
import { ReleasedRuns } from './released-runs.ts';
import type { RetryQueue, RetryRun } from './retry-queue.ts';

/** What a record without a key has instead of a hash. */
export const keyless = 0;

const none: FreshNext = { kind: 'none' };
const delayed: FreshNext = { kind: 'held', reason: 'delayed' };
const keyBusy: FreshNext = { kind: 'held', reason: 'key_busy' };

export class KeyedSource implements FreshSource {
  private readonly claims: Claims;
  private readonly heldMax: number;
  private readonly marks: BatchMarks;
  /** Their time came when others of the partition had been offered already. */
  private readonly late = new ReleasedRuns();
  /** Attempts of records that were not offered yet since the restart. */
  private readonly recovered: RetryQueue;
  /** No offset below was not offered. */
  private scanned: Offset;
  private readonly ready = new ReadyOffsets();
  /** Hash by the record that locks it. */
  private readonly locking = new Map<Offset, number>();
  /** Records behind the one that locks, by locked hash; undefined while there are none. */
  private readonly behind = new Map<number, Fifo | undefined>();
  private held = 0;
  /** Not all lines are in the order of offsets. */
  private hadLate = false;

  constructor(
    claims: Claims,
    recovered: RetryQueue,
    marks: BatchMarks,
    heldMax: number = limits.keyedHeldMax,
  ) {
    this.claims = claims;
    this.recovered = recovered;
    this.marks = marks;
    this.heldMax = heldMax;
    this.scanned = claims.acks.floor;
  }

  get passed(): Offset {
    return this.scanned;
  }

  next(end: Offset, recordsMax: number): FreshNext {
    const first = this.ready.first();
    if (first !== undefined) {
      return { kind: 'run', first, last: this.ready.runEnd(first, recordsMax) };
    }
    const from = this.late.next(this.claims, 1)?.first ?? this.nextUnscanned(end);
    if (from >= end) {
      if (this.held > 0) return keyBusy;
      return this.marks.nextHeld(this.claims.acks.floor, end) < end ? delayed : none;
    }
    return this.held < this.heldMax ? { kind: 'keys', from } : keyBusy;
  }

  /** A batch that is held back is passed, and comes again by `released`. */
  private nextUnscanned(end: Offset): Offset {
    for (;;) {
      const from = this.claims.acks.nextUnacked(this.scanned);
      if (from >= end) return from;
      const until = Math.min(this.marks.heldUntil(from), end);
      if (until === from) return from;
      this.scanned = until;
    }
  }

  released(runs: readonly DueRun[]): void {
    for (const { first, last } of runs) {
      if (last >= this.scanned) continue;
      this.late.push(first, last);
      this.hadLate = true;
    }
  }

  /** The key hashes of the records from `first` on, the answer to `keys`; `keyless` for one without a key. */
  offer(first: Offset, hashes: Uint32Array): void {
    const isLate = first < this.scanned;
    if (isLate) this.late.shift();
    for (let i = 0; i < hashes.length; i++) {
      const offset = first + i;
      if (!this.claims.acks.has(offset)) this.place(offset, hashes[i] as number);
    }
    if (!isLate) this.scanned = first + hashes.length;
  }

  taken(first: Offset, last: Offset): void {
    for (let offset = first; offset <= last; offset++) {
      assert(this.ready.delete(offset), `record ${offset} is not ready`);
    }
  }

  settled(first: Offset, last: Offset): void {
    this.recovered.remove(first, last);
    const until = Math.min(last, this.scanned - 1);
    if (until - first < this.locking.size) {
      for (let offset = first; offset <= until; offset++) this.settle(offset);
      return;
    }
    this.ready.deleteWithin(first, until);
    for (const offset of [...this.locking.keys()]) {
      if (offset >= first && offset <= until) this.settle(offset);
    }
  }

  holdsAny(first: Offset, last: Offset): boolean {
    return this.claims.nextFree(first, last) <= last;
  }

  reset(offset: Offset): void {
    this.recovered.clear();
    this.ready.clear();
    this.late.clear();
    this.locking.clear();
    this.behind.clear();
    this.held = 0;
    this.scanned = offset;
  }

  recoveredAttempts(): Iterable<RetryRun> {
    return this.recovered;
  }

  /** Checks the invariants above; for tests and the simulation. */
  check(): void {
    let held = 0;
    const locked = new Map<number, Offset>();
    for (const [offset, hash] of this.locking) {
      assert(!locked.has(hash), `hash ${hash} is locked twice`);
      assert(!this.claims.acks.has(offset), `settled record ${offset} locks its key`);
      locked.set(hash, offset);
    }
    for (const [hash, fifo] of this.behind) {
      const head = locked.get(hash);
      assert(head !== undefined, `records are held behind hash ${hash}, which is free`);
      let elder = head;
      for (const offset of fifo ?? []) {
        assert(offset > elder || this.hadLate, `record ${offset} is held behind ${elder}`);
        elder = offset;
        held++;
      }
    }
    assert(held === this.held, `held: counted ${held}, kept ${this.held}`);
  }

  private place(offset: Offset, hash: number): void {
    if (hash === keyless) {
      this.admit(offset);
      return;
    }
    if (!this.behind.has(hash)) {
      this.behind.set(hash, undefined);
      this.lock(offset, hash);
      return;
    }
    let fifo = this.behind.get(hash);
    if (fifo === undefined) this.behind.set(hash, (fifo = new Fifo()));
    fifo.push(offset);
    this.held++;
  }

  private lock(offset: Offset, hash: number): void {
    this.locking.set(offset, hash);
    this.admit(offset);
  }

  private admit(offset: Offset): void {
    // On its way to the dead-letter topic since before a restart: it locks its key until it has arrived.
    if (this.claims.outbox.has(offset)) return;
    const known = this.recovered.at(offset);
    if (known === undefined) {
      this.ready.add(offset);
      return;
    }
    this.recovered.take(offset, offset);
    this.claims.retries.put(offset, offset, known.attempts, known.readyAtMs);
  }

  private settle(offset: Offset): void {
    this.ready.delete(offset);
    const hash = this.locking.get(offset);
    if (hash === undefined) return;
    this.locking.delete(offset);
    const fifo = this.behind.get(hash);
    for (let next = fifo?.shift(); next !== undefined; next = fifo?.shift()) {
      this.held--;
      if (this.claims.acks.has(next)) continue;
      this.lock(next, hash);
      return;
    }
    this.behind.delete(hash);
  }
}
