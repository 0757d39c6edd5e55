// Makes a queue's state again after a restart: a checkpoint, then what was journaled after it, in its order.
//
// Invariants:
// - what was acked stays acked, what was not is handed out again: leases are not durable;
// - attempts are the last journaled ones; a back-off that was running goes on by the wall clock;
// - applying an entry that the checkpoint has seen already changes nothing.
import { assert } from '../core/assert.ts';
import type { Offset } from '../core/ids.ts';
import { limits } from '../core/limits.ts';
import type { BatchMarks } from '../log/batch-marks.ts';
import { AckSet } from './ack-set.ts';
import type { DurableAttemptRun } from './entries.ts';
import { isRange, type OffsetRange } from './offset-range.ts';
import { decodeQueueCheckpoint, type QueueCheckpoint } from './queue-checkpoint.ts';
import { KeyedSource } from './keyed-source.ts';
import { OutboxState, type DeadLetter } from './outbox-state.ts';
import { PlainSource } from './plain-source.ts';
import { QueueState } from './queue-state.ts';
import type { QueuePolicy } from './queue-types.ts';
import { RetryQueue } from './retry-queue.ts';

export interface QueueRecoveryStart {
  readonly policy: QueuePolicy;
  readonly nowMs: number;
  readonly wallMs: number;
  /** The offset after the partition's last record: nothing from there on can have been handed out. */
  readonly end: Offset;
  /** Above every lease number ever given in this partition; make it from the epoch. */
  readonly firstLease: number;
  /** Default limits.unackedRecordsMax. */
  readonly unackedMax?: number;
  /** A keyed queue. Default: a plain one. */
  readonly isKeyed?: boolean;
  /** What the partition holds back or prefers. */
  readonly marks: BatchMarks;
}

export class QueueRecovery {
  private readonly acks: AckSet;
  /** Times are wall-clock milliseconds. */
  private readonly retries: RetryQueue;
  private readonly outbox: OutboxState;
  private fence: number;

  private constructor(from: QueueCheckpoint) {
    this.acks = from.acks;
    this.retries = from.retries;
    this.outbox = from.outbox;
    this.fence = from.fence;
  }

  /** A subscription without a checkpoint: everything below `start` counts as acked. */
  static at(start: Offset): QueueRecovery {
    return new QueueRecovery({
      acks: new AckSet(start),
      retries: new RetryQueue(),
      outbox: new OutboxState(),
      fence: 0,
    });
  }

  /** Throws DATA_LOSS when the bytes are damaged. */
  static fromCheckpoint(bytes: Uint8Array): QueueRecovery {
    return new QueueRecovery(decodeQueueCheckpoint(bytes));
  }

  applyAcked(range: OffsetRange): void {
    this.retries.remove(range.first, range.last);
    this.outbox.detachWithin(range.first, range.last);
    this.acks.add(range.first, range.last);
  }

  applyAttempts(run: DurableAttemptRun): void {
    assert(isRange(run.first, run.last), `attempts of ${run.first}-${run.last}`);
    this.retries.remove(run.first, run.last);
    this.acks.visitUnacked(run.first, run.last, (first, last) => {
      this.retries.put(first, last, run.attempts, run.readyAtWallMs);
    });
  }

  /** What was acked in the turn in which it died has its ack before it in the journal: the letter still arrives. */
  applyDead(letters: readonly DeadLetter[]): void {
    for (const letter of letters) {
      if (letter.number < this.outbox.next) continue;
      this.retries.remove(letter.offset, letter.offset);
      const isDetached = this.acks.has(letter.offset);
      this.outbox.restore({ ...letter, isDetached });
    }
  }

  applyDeadDone(number: number): void {
    for (const { offset, isDetached } of this.outbox.done(number)) {
      if (!isDetached) this.applyAcked({ first: offset, last: offset });
    }
  }

  /** Its attempts are those that it had before it was to be redriven. */
  applyDeadReturned(number: number): void {
    const letter = this.outbox.returned(number);
    if (letter === undefined || letter.isDetached || letter.attempts === 0) return;
    this.retries.put(letter.offset, letter.offset, letter.attempts, 0);
  }

  applyPurged(job: number, { first, last }: OffsetRange): void {
    this.retries.remove(first, last);
    this.outbox.detachWithin(first, last);
    this.outbox.jobs.addDone(job, this.acks.add(first, last));
  }

  applySeek(offset: Offset, fence: number): void {
    this.retries.clear();
    this.outbox.detach();
    this.acks.resetTo(offset);
    this.fence = Math.max(this.fence, fence);
  }

  /** Offsets below are gone for ever: they count as acked. */
  skipTo(offset: Offset): void {
    if (offset > this.acks.floor) this.applyAcked({ first: this.acks.floor, last: offset - 1 });
  }

  /**
   * The state to go on with; this object must not be used afterwards. What had attempts keeps them and waits for the
   * rest of its back-off, but never longer than the longest one: a wall clock that stepped back holds no record.
   */
  start(start: QueueRecoveryStart): QueueState {
    const unackedMax = start.unackedMax ?? limits.unackedRecordsMax;
    const retries = new RetryQueue();
    for (const { first, last, attempts, readyAtMs } of this.retries) {
      const waitMs = Math.min(Math.max(readyAtMs - start.wallMs, 0), limits.backoffMsMax);
      retries.put(first, last, attempts, start.nowMs + waitMs);
    }
    const isKeyed = start.isKeyed === true;
    return new QueueState({
      acks: this.acks,
      outbox: this.outbox,
      // Only the order of offsets tells which record locks its key, so a keyed queue meets these on its way.
      retries: isKeyed ? new RetryQueue() : retries,
      marks: start.marks,
      source: (claims) =>
        isKeyed
          ? new KeyedSource(claims, retries, start.marks)
          : new PlainSource(claims, start.marks),
      policy: start.policy,
      // Above the last ack at most `unackedMax` records were in flight; a client cannot have had more.
      deliveredBefore: Math.min(start.end, this.acks.end + unackedMax),
      fence: this.fence,
      firstLease: start.firstLease,
      unackedMax,
    });
  }
}
