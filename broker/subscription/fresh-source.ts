// Where a queue's fresh records come from: which of those that nobody has claimed goes next.
//
// QueueState asks for fresh records, hands them out, and tells what became of them. How they are ordered is the
// source's: by offset (plain-source.ts), by key, or by priority and delivery time. docs/decisions/0008 says why.
//
// Invariants of every source:
// - it gives out only what is not claimed, each offset once until `reset`;
// - what it holds back it gives out later, or learns that it is settled: nothing is forgotten.
import { assert } from '../core/assert.ts';
import type { Offset } from '../core/ids.ts';
import type { DueRun } from '../log/batch-marks.ts';
import type { AckSet } from './ack-set.ts';
import type { BlockedReason } from './consumer.ts';
import type { LeaseIndex } from './lease-index.ts';
import type { OutboxState } from './outbox-state.ts';
import type { RetryQueue, RetryRun } from './retry-queue.ts';

export type FreshNext =
  | { readonly kind: 'run'; readonly first: Offset; readonly last: Offset }
  /** There is nothing fresh. */
  | { readonly kind: 'none' }
  /** There are fresh records, but none may go now. */
  | { readonly kind: 'held'; readonly reason: BlockedReason }
  /** The source does not know the keys of the records from here on yet; the shell reads and offers them. */
  | { readonly kind: 'keys'; readonly from: Offset };

export interface FreshSource {
  /** Every offset below is claimed, held back, or was settled: none of it was never looked at. */
  readonly passed: Offset;
  /** What to hand out next: at most `recordsMax` records from one place, below `end`. Changes nothing that shows. */
  next(end: Offset, recordsMax: number): FreshNext;
  /** A prefix of the run that `next` gave is being handed out. */
  taken(first: Offset, last: Offset): void;
  /** These will not come back: acked, expired, or gone to the dead-letter topic. They may be any offsets. */
  settled(first: Offset, last: Offset): void;
  /** These were held back by the partition, which passed them, and now their time has come. */
  released(runs: readonly DueRun[]): void;
  /** Key hashes of the records from `first` on, which is where the last `keys` said. */
  offer(first: Offset, hashes: Uint32Array): void;
  /** Whether it holds back any record of the range, which then was not handed out. */
  holdsAny(first: Offset, last: Offset): boolean;
  /** Everything from the offset on is fresh, everything below is settled. */
  reset(offset: Offset): void;
  /** Attempts that were recovered of records which were not looked at since. */
  recoveredAttempts(): Iterable<RetryRun>;
  /** Checks its invariants by counting anew; for tests and the simulation. */
  check(): void;
}

/** What of a partition is not fresh. The owner changes it; a source only looks. */
export class Claims {
  readonly acks: AckSet;
  readonly leases: LeaseIndex;
  readonly retries: RetryQueue;
  readonly outbox: OutboxState;

  constructor(acks: AckSet, leases: LeaseIndex, retries: RetryQueue, outbox: OutboxState) {
    this.acks = acks;
    this.leases = leases;
    this.retries = retries;
    this.outbox = outbox;
  }

  /** The first offset from `from` on that nothing claims; may lie past every record, or anywhere past `last`. */
  nextFree(from: Offset, last: Offset = Infinity): Offset {
    for (let offset = from; ;) {
      offset = this.acks.nextUnacked(offset);
      if (offset > last) return offset;
      const claimEnd = this.claimEnd(offset);
      if (claimEnd === undefined) return offset;
      offset = claimEnd + 1;
    }
  }

  /** The first offset in [from, limit) that is claimed, else `limit`. `from` itself is not. */
  freeUntil(from: Offset, limit: Offset): Offset {
    let until = this.acks.nextAcked(from, limit);
    until = Math.min(until, this.leases.ceiling(from)?.first ?? until);
    until = Math.min(until, this.outbox.ceiling(from)?.first ?? until);
    return Math.min(until, this.retries.ceiling(from)?.first ?? until);
  }

  /** Checks that no record is claimed twice; for tests and the simulation. */
  check(): void {
    this.acks.check();
    this.leases.check(this.acks);
    let retries = 0;
    for (const { first, last } of this.retries) {
      retries += last - first + 1;
      const acked = this.acks.countAcked(first, last);
      assert(acked === 0, `acked records in ${first}-${last} wait for a retry`);
      const lease = this.leases.ceiling(first);
      const isFree = lease === undefined || lease.first > last;
      assert(isFree, `records of ${first}-${last} are in flight and wait for a retry`);
    }
    assert(retries === this.retries.count, `retries: counted ${retries}`);
    let dead = 0;
    for (const { offset, isDetached } of this.outbox) {
      if (isDetached) continue;
      dead++;
      assert(!this.acks.has(offset), `acked record ${offset} is dead`);
      assert(this.retries.at(offset) === undefined, `dead record ${offset} waits for a retry`);
      assert(this.leases.holderOf(offset) === undefined, `dead record ${offset} is in flight`);
    }
    assert(dead === this.outbox.count, `dead: counted ${dead}, kept ${this.outbox.count}`);
  }

  /** The last offset of the lease's piece, the retry or the letter that an unacked offset is in. */
  private claimEnd(offset: Offset): Offset | undefined {
    const lease = this.leases.ceiling(offset);
    if (lease !== undefined && lease.first <= offset) return lease.last;
    if (this.outbox.has(offset)) return offset;
    return this.retries.at(offset)?.last;
  }
}
