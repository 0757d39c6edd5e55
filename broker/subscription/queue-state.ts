// The state of a queue subscription in one partition: what is acked, in flight, waiting for a retry, or fresh.
//
//   fresh --lease--> in flight --ack--> acked
//                    in flight --nack, deadline, lost consumer, return--> waiting --time--> ready --lease--> in flight
//                    in flight --reject, or failed for the last time--> dead --arrived--> acked
//   fresh, waiting, ready --redrive--> on its way elsewhere, as dead --arrived--> acked, or --returned--> ready
//   any --seek--> acked (below) or fresh;  any --skipTo--> acked (below)
//
// Invariants:
// - every offset of the partition is exactly one of acked, in flight, waiting or ready for a retry, dead, and fresh;
//   fresh is what nothing else claims, so it costs nothing to keep;
// - in flight, retries and dead together stay within `unackedMax`: at it fresh records stop, retries go on;
// - every count equals what a recount gives;
// - lease numbers only rise, and a record is held by one lease at a time;
// - ready retries and fresh records take turns by records: neither can starve the other.
//
// Not durable by itself: what an operation returns as attempt runs, and every ack, the shell journals (entries.ts);
// leases are never journaled. queue-recovery.ts makes a state again from that.
import { assert } from '../core/assert.ts';
import type { Offset } from '../core/ids.ts';
import { limits } from '../core/limits.ts';
import type { BatchMarks, DueRun } from '../log/batch-marks.ts';
import type { AckSet } from './ack-set.ts';
import { backoffMs, type Draw } from './backoff.ts';
import { LastAttempts } from './last-attempts.ts';
import { LeaseIndex, type Lease } from './lease-index.ts';
import { Claims, type FreshSource } from './fresh-source.ts';
import { claimLetter, returnLetter, whyKept, type LetterKept } from './letter-claims.ts';
import { isOffset, isRange, type OffsetRange } from './offset-range.ts';
import { OutboxState, type DeadReason, type RedriveTarget } from './outbox-state.ts';
import { attemptRuns, encodeQueueCheckpoint } from './queue-checkpoint.ts';
import type {
  AttemptRun,
  EndedLease,
  Invalid,
  LeaseLost,
  OutboxFull,
  QueueCounts,
  QueueNext,
  QueuePolicy,
  QueueStart,
} from './queue-types.ts';
import type { RetryQueue, RetryRun } from './retry-queue.ts';

/** Retried minus fresh records is kept within it, so a long time of one kind only is not paid back for long. */
const turnRecordsMax = 1_000;

/** Holds what is handed to nobody. */
const nobody = 0;

const othersOnly: QueueNext = { kind: 'others' };
const idle: QueueNext = { kind: 'idle' };
const waiting: QueueNext = { kind: 'blocked', reason: 'delayed' };
const unackedLimit: QueueNext = { kind: 'blocked', reason: 'unacked_limit' };

export class QueueState {
  private readonly acks: AckSet;
  private readonly retries: RetryQueue;
  private readonly leases: LeaseIndex;
  private readonly lastAttempts: LastAttempts;
  /** What is on its way to another topic; to be journaled, see `takeNew`. */
  readonly outbox: OutboxState;
  /** What is not fresh; only to be looked at. */
  readonly claims: Claims;
  private readonly source: FreshSource;
  private readonly marks: BatchMarks;
  private readonly unackedMax: number;
  private policy: QueuePolicy;
  private deliveredBefore: Offset;
  private fence: number;
  /** Records retried minus fresh records handed out, within the bounds above. Whoever is behind goes next. */
  private turn = 0;
  /** Number of the attempt runs that are not given to the journal yet. */
  private openEntry = 1;

  constructor(start: QueueStart) {
    assert(start.fence <= start.firstLease, `lease ${start.firstLease}, fence ${start.fence}`);
    this.acks = start.acks;
    this.retries = start.retries;
    this.leases = new LeaseIndex(start.firstLease);
    this.lastAttempts = new LastAttempts(this.leases);
    this.unackedMax = start.unackedMax ?? limits.unackedRecordsMax;
    this.policy = start.policy;
    this.deliveredBefore = start.deliveredBefore;
    this.fence = start.fence;
    this.outbox = start.outbox ?? new OutboxState();
    this.claims = new Claims(this.acks, this.leases, this.retries, this.outbox);
    this.marks = start.marks;
    this.source = start.source(this.claims);
    for (const run of this.marks.cancelledRuns()) this.finish(run.first, run.last);
  }

  /** Everything below is acked. */
  get floor(): Offset {
    return this.acks.floor;
  }

  setPolicy(policy: QueuePolicy): void {
    this.policy = policy;
  }

  /**
   * What to hand out next: at most `recordsMax` records from one place. Changes nothing. `end` is the offset after
   * the partition's last visible record; `consumer`: who is to get it.
   */
  next(nowMs: number, end: Offset, recordsMax = Infinity, consumer = nobody): QueueNext {
    assert(recordsMax >= 1, `next run of at most ${recordsMax} records`);
    const { attemptsMax = 0 } = this.policy;
    const hasLast = this.lastAttempts.isHeldBy(consumer);
    const attemptsBelow = hasLast && this.isLast(attemptsMax) ? attemptsMax - 1 : Infinity;
    if (this.turn <= 0) {
      const retry = this.retries.ready(nowMs, recordsMax, attemptsBelow);
      if (retry !== undefined) return this.runOf(retry);
    }
    const fresh = this.nextFresh(end, recordsMax);
    if (fresh?.kind === 'run' || fresh?.kind === 'keys') return fresh;
    const retry = this.retries.ready(nowMs, recordsMax, attemptsBelow);
    if (retry !== undefined) return this.runOf(retry);
    if (hasLast && this.retries.ready(nowMs, 1) !== undefined) return othersOnly;
    return fresh ?? (this.retries.count > 0 ? waiting : idle);
  }

  /** What `next` asked for with `keys`. */
  offerKeys(first: Offset, hashes: Uint32Array): void {
    this.source.offer(first, hashes);
  }

  /** Their time has come. */
  released(runs: readonly DueRun[]): void {
    this.source.released(runs);
  }

  /** They were taken back. Not journaled: the partition remembers it. */
  cancelled(runs: Iterable<OffsetRange>): void {
    for (const { first, last } of runs) this.finish(first, last);
  }

  /** Hands a prefix of the run that `next` gave to a consumer. */
  lease(first: Offset, last: Offset, consumer: number, nowMs: number): Lease {
    assert(isRange(first, last), `lease of ${first}-${last}`);
    const count = last - first + 1;
    const retry = this.retries.at(first);
    let attempt = 1;
    if (retry === undefined) {
      this.source.taken(first, last);
      this.turn = Math.max(this.turn - count, -turnRecordsMax);
    } else {
      attempt = retry.attempts + 1;
      this.claimRetries(first, last, retry.attempts, nowMs);
      this.turn = Math.min(this.turn + count, turnRecordsMax);
    }
    const deadlineMs = nowMs + this.policy.ackDeadlineMs;
    const lease = this.leases.grant(first, last, consumer, attempt, nowMs, deadlineMs);
    if (attempt > 1 && this.isLast(attempt)) this.lastAttempts.granted(consumer, lease.lease);
    return lease;
  }

  /**
   * Done, whoever says so: the work is done even when the lease is not held any more. Answers how many records were
   * not acked before (0: a repeat, nothing to journal). `lease` may be 0; one from before a seek is refused.
   */
  ack(first: Offset, last: Offset, lease = 0): number | LeaseLost | Invalid {
    if (!isRange(first, last)) return 'invalid';
    if (lease !== 0 && lease < this.fence) return 'lease_lost';
    if (!this.wereHandedOut(first, last)) return 'invalid';
    return this.finish(first, last);
  }

  /**
   * A prefix of the run that `next` gave is for nobody any more: done, or on its way to the dead-letter topic (see
   * `outbox`). Answers whether it is acked, which is to be journaled.
   */
  discard(
    first: Offset,
    last: Offset,
    becomesDead: boolean,
    nowMs: number,
  ): 'acked' | 'dead' | OutboxFull {
    if (becomesDead && this.outbox.count + last - first + 1 > limits.outboxMax) {
      return 'outbox_full';
    }
    const lease = this.lease(first, last, nobody, nowMs);
    if (!becomesDead) {
      this.finish(first, last);
      return 'acked';
    }
    const text = 'its time to live was over';
    this.kill({ ...lease, attempt: lease.attempt - 1 }, first, last, 'expired', text);
    return 'dead';
  }

  /**
   * Failed: what the lease holds of the range comes back after `delayMs` (0: the back-off). The runs are to be
   * journaled.
   */
  nack(
    lease: number,
    first: Offset,
    last: Offset,
    delayMs: number,
    nowMs: number,
    draw: Draw,
    text = '',
  ): readonly AttemptRun[] | LeaseLost | Invalid {
    if (!isRange(first, last) || !isDuration(delayMs, limits.backoffMsMax)) return 'invalid';
    const held = this.leases.get(lease);
    if (held === undefined) return 'lease_lost';
    if (this.isLast(held.attempt)) {
      const died = this.kill(held, first, last, 'attempts_exhausted', text);
      if (died >= 0) return died > 0 ? [] : 'lease_lost';
    }
    const waitMs = delayMs > 0 ? delayMs : backoffMs(this.policy, held.attempt, draw);
    const runs = this.putBack(held, first, last, held.attempt, nowMs + waitMs);
    return runs.length > 0 ? runs : 'lease_lost';
  }

  /**
   * Will never succeed: what the lease holds of the range goes to the dead-letter topic (see `outbox`). Without one
   * it is acked: answers the ranges, to be journaled.
   */
  reject(
    lease: number,
    first: Offset,
    last: Offset,
    text: string,
  ): readonly OffsetRange[] | LeaseLost | Invalid | OutboxFull {
    if (!isRange(first, last)) return 'invalid';
    const held = this.leases.get(lease);
    if (held === undefined) return 'lease_lost';
    if (this.hasDeadLetterTopic) {
      const died = this.kill(held, first, last, 'rejected', text);
      if (died < 0) return 'outbox_full';
      return died > 0 ? [] : 'lease_lost';
    }
    const dropped: OffsetRange[] = [];
    this.leases.visitHeld(held, this.acks, (from, to) => {
      const range = { first: Math.max(from, first), last: Math.min(to, last) };
      if (range.first <= range.last) dropped.push(range);
    });
    for (const range of dropped) this.finish(range.first, range.last);
    return dropped.length > 0 ? dropped : 'lease_lost';
  }

  /** Letters up to the number have arrived: their records are done. */
  deadArrived(number: number): void {
    for (const { offset, isDetached } of this.outbox.done(number)) {
      if (!isDetached) this.finish(offset, offset);
    }
  }

  /** A record that nobody has goes to another topic (see `outbox`), out of its turn. Undefined: it does. */
  redrive(offset: Offset, target: RedriveTarget): LetterKept | undefined {
    return claimLetter(this.claims, this.marks, this.unackedMax, offset, target);
  }

  /** It cannot go: it is ready again. To be journaled. */
  letterReturned(number: number, nowMs: number): void {
    returnLetter(this.claims, number, nowMs);
  }

  /** A record that nobody has is done, out of its turn; false: it stays. To be journaled. */
  purge(job: number, offset: Offset): boolean {
    if (whyKept(this.claims, this.marks, offset) !== undefined) return false;
    this.outbox.jobs.addDone(job, this.finish(offset, offset));
    return true;
  }

  /** Still working: the whole lease gets a new deadline `durationMs` from now (0: the subscription's). */
  extend(lease: number, durationMs: number, nowMs: number): 'ok' | LeaseLost | Invalid {
    if (!isDuration(durationMs, limits.ackDeadlineMsMax)) return 'invalid';
    if (this.leases.get(lease) === undefined) return 'lease_lost';
    this.leases.extend(lease, nowMs + (durationMs > 0 ? durationMs : this.policy.ackDeadlineMs));
    return 'ok';
  }

  /** Never reached the application: ready again at once, and the attempt does not count. Nothing to journal. */
  giveBack(lease: number, first: Offset, last: Offset, nowMs: number): 'ok' | LeaseLost | Invalid {
    if (!isRange(first, last)) return 'invalid';
    const held = this.leases.get(lease);
    if (held === undefined) return 'lease_lost';
    const runs = this.putBack(held, first, last, held.attempt - 1, nowMs, 0);
    return runs.length > 0 ? 'ok' : 'lease_lost';
  }

  /** Ends the leases whose deadline has passed. Until this is called their holder may still extend them. */
  expire(nowMs: number, draw: Draw): readonly EndedLease[] {
    const ended: EndedLease[] = [];
    for (
      let lease = this.leases.expired(nowMs);
      lease !== undefined;
      lease = this.leases.expired(nowMs)
    ) {
      const readyAtMs = nowMs + backoffMs(this.policy, lease.attempt, draw);
      ended.push(this.end(lease, readyAtMs, 'the ack deadline has passed'));
    }
    return ended;
  }

  /** A consumer is gone: what it held is ready at once; the attempt counts, for it may have been the cause. */
  releaseConsumer(consumer: number, nowMs: number): readonly EndedLease[] {
    this.lastAttempts.forget(consumer);
    return this.leases
      .leasesOf(consumer)
      .map((lease) => this.end(lease, nowMs, 'the consumer has gone'));
  }

  /**
   * Everything below `offset` counts as acked, everything from it on as fresh: attempts start again, all leases are
   * lost. `fence` is to be journaled with the offset.
   */
  seek(offset: Offset): { readonly fence: number; readonly lost: readonly EndedLease[] } {
    assert(isOffset(offset), `seek to ${offset}`);
    const lost = [...this.leases.values()].map(lostLease);
    this.leases.clear();
    this.retries.clear();
    this.outbox.detach();
    this.acks.resetTo(offset);
    this.source.reset(offset);
    this.cancelled(this.marks.cancelledRuns());
    this.deliveredBefore = 0;
    this.fence = this.leases.nextLease;
    return { fence: this.fence, lost };
  }

  /**
   * Offsets below are gone for ever (retention, lost data): they count as acked. Answers how many that newly are, and
   * the leases that ended with it. Not journaled: it follows from where the partition starts.
   */
  skipTo(offset: Offset): { readonly gone: number; readonly ended: readonly EndedLease[] } {
    assert(isOffset(offset), `skip to ${offset}`);
    const ended: EndedLease[] = [];
    if (offset <= this.acks.floor) return { gone: 0, ended };
    const first = this.acks.floor;
    const last = offset - 1;
    const gone = this.finish(first, last, (lease) => ended.push(lostLease(lease)));
    return { gone, ended };
  }

  /** When something changes by itself: a deadline, or a back-off that is not over yet. Infinity: never. */
  nextWakeMs(nowMs: number): number {
    const readyMs = this.retries.nextReadyMs;
    return Math.min(this.leases.nextDeadlineMs, readyMs > nowMs ? readyMs : Infinity);
  }

  /** Looks at every run that waits: for status, not for each delivery. */
  counts(nowMs: number, end: Offset): QueueCounts {
    const inFlight = this.leases.inFlight;
    const waitingCount = this.retries.waitingAt(nowMs);
    const backlog = Math.max(end - this.acks.floor, 0) - this.acks.ackedAbove;
    const delayed = Math.min(this.marks.heldRecordsIn(this.acks.floor, end), backlog);
    const claimed = inFlight + waitingCount + this.outbox.count + delayed;
    return {
      ready: Math.max(0, backlog - claimed),
      delayed,
      inFlight,
      dead: this.outbox.count,
      waiting: waitingCount,
      ackedAbove: this.acks.ackedAbove,
      floor: this.acks.floor,
    };
  }

  /** The attempt runs answered so far are being journaled; they wait for `attemptsDurable` of the number. */
  attemptsJournaled(): number {
    return this.openEntry++;
  }

  attemptsDurable(entry: number): void {
    this.retries.becameDurable(entry);
  }

  inFlightOf(consumer: number): number {
    return this.leases.inFlightOf(consumer);
  }

  /** The durable form. `wallOffsetMs`: wall clock minus monotonic clock now. */
  checkpoint(wallOffsetMs: number): Uint8Array {
    const runs = attemptRuns(this.claims, this.source.recoveredAttempts());
    return encodeQueueCheckpoint(this.acks, this.fence, runs, wallOffsetMs, this.outbox);
  }

  /** Checks the invariants above by counting anew; for tests and the simulation. */
  check(): void {
    this.claims.check();
    this.source.check();
  }

  /** On its last attempt a record travels alone: what kills its consumer takes no neighbour along. */
  private runOf({ first, last, attempts }: RetryRun): QueueNext {
    const attempt = attempts + 1;
    return { kind: 'run', first, last: this.isLast(attempt) ? first : last, attempt };
  }

  private isLast(attempt: number): boolean {
    const { attemptsMax = 0 } = this.policy;
    return attemptsMax > 0 && attempt >= attemptsMax && this.hasDeadLetterTopic;
  }

  private get hasDeadLetterTopic(): boolean {
    return (this.policy.deadLetterTopic ?? '') !== '';
  }

  /** Undefined: there is nothing fresh. */
  private nextFresh(end: Offset, recordsMax: number): QueueNext | undefined {
    const room = this.unackedMax - this.leases.inFlight - this.retries.count - this.outbox.count;
    const most = this.isLast(1) ? 1 : Math.min(Math.max(room, 1), recordsMax);
    const fresh = this.source.next(end, most);
    switch (fresh.kind) {
      case 'none':
        return undefined;
      case 'held':
        return { kind: 'blocked', reason: fresh.reason };
      case 'keys':
        return room > 0 ? fresh : unackedLimit;
      case 'run':
        return room > 0 ? { ...fresh, attempt: 1 } : unackedLimit;
    }
  }

  private claimRetries(first: Offset, last: Offset, attempts: number, nowMs: number): void {
    for (let offset = first; offset <= last;) {
      const run = this.retries.at(offset);
      assert(
        run !== undefined && run.attempts === attempts && run.readyAtMs <= nowMs,
        `record ${offset} is not ready for attempt ${attempts + 1}`,
      );
      offset = run.last + 1;
    }
    this.retries.take(first, last);
  }

  /** Whether each record of the range is acked, or in flight or coming back, or may have been before a restart. */
  private wereHandedOut(first: Offset, last: Offset): boolean {
    const known = Math.max(this.source.passed, this.deliveredBefore);
    const since = Math.max(first, this.deliveredBefore);
    if (since < known && this.source.holdsAny(since, Math.min(last, known - 1))) return false;
    return last < known || this.claims.nextFree(Math.max(first, known), last) > last;
  }

  private putBack(
    lease: Lease,
    first: Offset,
    last: Offset,
    attempts: number,
    readyAtMs: number,
    entry = this.openEntry,
  ): AttemptRun[] {
    const runs: AttemptRun[] = [];
    this.leases.take(lease.lease, first, last, this.acks, (runFirst, runLast) => {
      this.retries.put(runFirst, runLast, attempts, readyAtMs, entry);
      runs.push({ first: runFirst, last: runLast, attempts, readyAtMs });
    });
    return runs;
  }

  /** None of these comes back; answers how many were not acked before. `ended` hears of leases without any more. */
  private finish(first: Offset, last: Offset, ended?: (lease: Lease) => void): number {
    this.leases.settle(first, last, this.acks, ended);
    this.retries.remove(first, last);
    this.outbox.detachWithin(first, last);
    const newly = this.acks.add(first, last);
    this.source.settled(first, last);
    return newly;
  }

  /** All that a lease holds comes back, the attempt counted, or is dead. */
  private end(lease: Lease, readyAtMs: number, why: string): EndedLease {
    const { first, last, attempt } = lease;
    const ended = { lease: lease.lease, consumer: lease.consumer };
    if (this.isLast(attempt) && this.kill(lease, first, last, 'attempts_exhausted', why) >= 0) {
      return { ...ended, runs: [] };
    }
    return { ...ended, runs: this.putBack(lease, first, last, attempt, readyAtMs) };
  }

  /** What the lease holds of the range is dead; answers how many records that are, -1 when there is no room. */
  private kill(
    lease: Lease,
    first: Offset,
    last: Offset,
    reason: DeadReason,
    text: string,
  ): number {
    if (this.outbox.count + lease.held > limits.outboxMax) return -1;
    return this.leases.take(lease.lease, first, last, this.acks, (runFirst, runLast) => {
      for (let offset = runFirst; offset <= runLast; offset++) {
        this.outbox.put(offset, lease.attempt, reason, text);
      }
    });
  }
}

function lostLease(lease: Lease): EndedLease {
  return { lease: lease.lease, consumer: lease.consumer, runs: [] };
}

function isDuration(ms: number, max: number): boolean {
  return Number.isFinite(ms) && ms >= 0 && ms <= max;
}
