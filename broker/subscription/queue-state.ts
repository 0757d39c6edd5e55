// The state of a queue subscription in one partition: what is acked, in flight, waiting for a retry, or fresh.
//
//   fresh --lease--> in flight --ack--> acked
//                    in flight --nack, deadline, lost consumer, return--> waiting --time--> ready --lease--> in flight
//   any --seek--> acked (below) or fresh;  any --skipTo--> acked (below)
//
// Invariants:
// - every offset of the partition is exactly one of acked, in flight, waiting or ready for a retry, and fresh;
//   fresh is what nothing else claims, so it costs nothing to keep;
// - in flight and retries together stay within `unackedMax`: at it fresh records stop, retries go on;
// - every count equals what a recount gives;
// - lease numbers only rise, and a record is held by one lease at a time;
// - ready retries and fresh records take turns by records: neither can starve the other.
//
// Not durable by itself: what an operation returns as attempt runs, and every ack, the shell journals (entries.ts);
// leases are never journaled. queue-recovery.ts makes a state again from that.
import { assert } from '../core/assert.ts';
import type { Offset } from '../core/ids.ts';
import { limits } from '../core/limits.ts';
import type { AckSet } from './ack-set.ts';
import { backoffMs, type BackoffPolicy, type Draw } from './backoff.ts';
import type { BlockedReason } from './consumer.ts';
import { LeaseIndex, type Lease } from './lease-index.ts';
import { Claims, type FreshSource } from './fresh-source.ts';
import { isOffset, isRange } from './offset-range.ts';
import { PlainSource } from './plain-source.ts';
import { encodeQueueCheckpoint } from './queue-checkpoint.ts';
import type { RetryQueue, RetryRun } from './retry-queue.ts';

export interface QueuePolicy extends BackoffPolicy {
  readonly ackDeadlineMs: number;
}

export interface QueueStart {
  readonly acks: AckSet;
  readonly retries: RetryQueue;
  readonly policy: QueuePolicy;
  /** Offsets below may have been handed out before a restart, so an ack of them is honoured. */
  readonly deliveredBefore: Offset;
  /** Leases with lower numbers were lost to a seek; their acks mean nothing. */
  readonly fence: number;
  /** Number of the first lease; above every one given before, by any process. */
  readonly firstLease: number;
  /** Records in flight or coming back. Default limits.unackedRecordsMax. */
  readonly unackedMax?: number;
  /** Which fresh record goes next. Default: by offset. */
  readonly source?: (claims: Claims) => FreshSource;
}

export type QueueNext =
  /** Records ready to go, all at the same attempt (from 1). */
  | {
      readonly kind: 'run';
      readonly first: Offset;
      readonly last: Offset;
      readonly attempt: number;
    }
  /** Nothing is left to hand out: everything is acked or in flight. */
  | { readonly kind: 'idle' }
  /** There are records, but too many in flight, none whose back-off is over, or all held back by the source. */
  | { readonly kind: 'blocked'; readonly reason: BlockedReason }
  /** As in FreshNext. */
  | { readonly kind: 'keys'; readonly from: Offset };

/** Records whose attempts have changed; to be journaled. */
export interface AttemptRun {
  readonly first: Offset;
  readonly last: Offset;
  /** Attempts that have ended. */
  readonly attempts: number;
  /** Monotonic; not delivered before. */
  readonly readyAtMs: number;
}

/** A lease that ended otherwise than by its holder's acks. */
export interface EndedLease {
  readonly lease: number;
  readonly consumer: number;
  /** What it still held and now waits for a retry; empty after a seek or a skip. */
  readonly runs: readonly AttemptRun[];
}

/** The lease is not, or no more, held for any of these records. */
export type LeaseLost = 'lease_lost';
/** The arguments make no sense: not a range, out of bounds, or records that nobody was ever given. */
export type Invalid = 'invalid';

export interface QueueCounts {
  /** Could be handed out now. */
  readonly ready: number;
  readonly inFlight: number;
  /** Back-off not over yet. */
  readonly waiting: number;
  readonly ackedAbove: number;
  readonly floor: Offset;
}

/** Retried minus fresh records is kept within it, so a long time of one kind only is not paid back for long. */
const turnRecordsMax = 1_000;

const idle: QueueNext = { kind: 'idle' };
const waiting: QueueNext = { kind: 'blocked', reason: 'delayed' };
const unackedLimit: QueueNext = { kind: 'blocked', reason: 'unacked_limit' };

export class QueueState {
  private readonly acks: AckSet;
  private readonly retries: RetryQueue;
  private readonly leases: LeaseIndex;
  private readonly claims: Claims;
  private readonly source: FreshSource;
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
    this.unackedMax = start.unackedMax ?? limits.unackedRecordsMax;
    this.policy = start.policy;
    this.deliveredBefore = start.deliveredBefore;
    this.fence = start.fence;
    this.claims = new Claims(this.acks, this.leases, this.retries);
    this.source = start.source?.(this.claims) ?? new PlainSource(this.claims);
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
   * the partition's last visible record.
   */
  next(nowMs: number, end: Offset, recordsMax = Infinity): QueueNext {
    assert(recordsMax >= 1, `next run of at most ${recordsMax} records`);
    if (this.turn <= 0) {
      const retry = this.retries.ready(nowMs, recordsMax);
      if (retry !== undefined) return runOf(retry);
    }
    const fresh = this.nextFresh(end, recordsMax);
    if (fresh?.kind === 'run' || fresh?.kind === 'keys') return fresh;
    const retry = this.retries.ready(nowMs, recordsMax);
    if (retry !== undefined) return runOf(retry);
    return fresh ?? (this.retries.count > 0 ? waiting : idle);
  }

  /** What `next` asked for with `keys`. */
  offerKeys(first: Offset, hashes: Uint32Array): void {
    this.source.offer(first, hashes);
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
    return this.leases.grant(first, last, consumer, attempt, nowMs + this.policy.ackDeadlineMs);
  }

  /**
   * Done, whoever says so: the work is done even when the lease is not held any more. Answers how many records were
   * not acked before (0: a repeat, nothing to journal). `lease` may be 0; one from before a seek is refused.
   */
  ack(first: Offset, last: Offset, lease = 0): number | LeaseLost | Invalid {
    if (!isRange(first, last)) return 'invalid';
    if (lease !== 0 && lease < this.fence) return 'lease_lost';
    if (!this.wereHandedOut(first, last)) return 'invalid';
    this.leases.settle(first, last, this.acks);
    this.retries.remove(first, last);
    const newly = this.acks.add(first, last);
    this.source.settled(first, last);
    return newly;
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
  ): readonly AttemptRun[] | LeaseLost | Invalid {
    if (!isRange(first, last) || !isDuration(delayMs, limits.backoffMsMax)) return 'invalid';
    const held = this.leases.get(lease);
    if (held === undefined) return 'lease_lost';
    const waitMs = delayMs > 0 ? delayMs : backoffMs(this.policy, held.attempt, draw);
    const runs = this.putBack(held, first, last, held.attempt, nowMs + waitMs);
    return runs.length > 0 ? runs : 'lease_lost';
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
      ended.push(this.end(lease, nowMs + backoffMs(this.policy, lease.attempt, draw)));
    }
    return ended;
  }

  /** A consumer is gone: what it held is ready at once; the attempt counts, for it may have been the cause. */
  releaseConsumer(consumer: number, nowMs: number): readonly EndedLease[] {
    return this.leases.leasesOf(consumer).map((lease) => this.end(lease, nowMs));
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
    this.acks.resetTo(offset);
    this.source.reset(offset);
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
    this.leases.settle(first, last, this.acks, (lease) => ended.push(lostLease(lease)));
    this.retries.remove(first, last);
    const gone = this.acks.add(first, last);
    this.source.settled(first, last);
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
    return {
      ready: backlog - inFlight - waitingCount,
      inFlight,
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

  leaseOf(lease: number): Lease | undefined {
    return this.leases.get(lease);
  }

  /** Who holds a record. */
  holderOf(offset: Offset): Lease | undefined {
    return this.acks.has(offset) ? undefined : this.leases.holderOf(offset);
  }

  /** All leases in the order of their numbers. Do not change the state meanwhile. */
  heldLeases(): IterableIterator<Lease> {
    return this.leases.values();
  }

  /** Records that came back, by offset. Do not change the state meanwhile. */
  waitingRuns(): IterableIterator<RetryRun> {
    return this.retries[Symbol.iterator]();
  }

  isAcked(offset: Offset): boolean {
    return this.acks.has(offset);
  }

  /** The durable form. `wallOffsetMs`: wall clock minus monotonic clock now. */
  checkpoint(wallOffsetMs: number): Uint8Array {
    const runs: RetryRun[] = [];
    for (const run of this.retries) if (run.attempts > 0) runs.push({ ...run });
    for (const run of this.source.recoveredAttempts()) runs.push({ ...run });
    for (const lease of this.leases.values()) {
      if (lease.attempt === 1) continue;
      this.leases.visitHeld(lease, this.acks, (first, last) => {
        runs.push({ first, last, attempts: lease.attempt - 1, readyAtMs: -Infinity });
      });
    }
    runs.sort((a, b) => a.first - b.first);
    return encodeQueueCheckpoint(this.acks, this.fence, runs, wallOffsetMs);
  }

  /** Checks the invariants above by counting anew; for tests and the simulation. */
  check(): void {
    this.acks.check();
    this.leases.check(this.acks);
    let retries = 0;
    for (const run of this.retries) {
      retries += run.last - run.first + 1;
      assert(
        this.acks.countAcked(run.first, run.last) === 0,
        `acked records in ${run.first}-${run.last} wait for a retry`,
      );
      const claim = this.leases.ceiling(run.first);
      assert(
        claim === undefined || claim.first > run.last,
        `records of ${run.first}-${run.last} are in flight and wait for a retry`,
      );
    }
    assert(retries === this.retries.count, `retries: counted ${retries}`);
    this.source.check();
  }

  /** Undefined: there is nothing fresh. */
  private nextFresh(end: Offset, recordsMax: number): QueueNext | undefined {
    const room = this.unackedMax - this.leases.inFlight - this.retries.count;
    const fresh = this.source.next(end, Math.min(Math.max(room, 1), recordsMax));
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
    return last < known || this.claims.nextFree(Math.max(first, known)) > last;
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

  /** All that a lease holds comes back, the attempt counted. */
  private end(lease: Lease, readyAtMs: number): EndedLease {
    const { first, last, attempt } = lease;
    const runs = this.putBack(lease, first, last, attempt, readyAtMs);
    return { lease: lease.lease, consumer: lease.consumer, runs };
  }
}

function runOf(retry: RetryRun): QueueNext {
  return { kind: 'run', first: retry.first, last: retry.last, attempt: retry.attempts + 1 };
}

function lostLease(lease: Lease): EndedLease {
  return { lease: lease.lease, consumer: lease.consumer, runs: [] };
}

function isDuration(ms: number, max: number): boolean {
  return Number.isFinite(ms) && ms >= 0 && ms <= max;
}
