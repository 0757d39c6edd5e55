// What a queue's state is started with, is asked for, and answers.
import type { Offset } from '../core/ids.ts';
import type { BatchMarks } from '../log/batch-marks.ts';
import type { AckSet } from './ack-set.ts';
import type { BackoffPolicy } from './backoff.ts';
import type { BlockedReason } from './consumer.ts';
import type { Claims, FreshSource } from './fresh-source.ts';
import type { OutboxState } from './outbox-state.ts';
import type { RetryQueue } from './retry-queue.ts';

export interface QueuePolicy extends BackoffPolicy {
  readonly ackDeadlineMs: number;
  /** Deliveries until a record is dead. 0: no limit. Default 0. */
  readonly attemptsMax?: number;
  /** Where dead records go; empty: nowhere, so that none is. Default empty. */
  readonly deadLetterTopic?: string;
  /** What has outlived its time to live is dead, not dropped. Default false. */
  readonly deadLetterExpired?: boolean;
  /** Handed to consumers per second. 0: no limit. Default 0. */
  readonly recordsPerSecondMax?: number;
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
  /** Default: nothing is on its way. */
  readonly outbox?: OutboxState;
  /** What the partition holds back or prefers. */
  readonly marks: BatchMarks;
  /** Which fresh record goes next. */
  readonly source: (claims: Claims) => FreshSource;
}

export type QueueNext =
  /** Records ready to go, all at the same attempt (from 1). */
  | {
      readonly kind: 'run';
      readonly first: Offset;
      readonly last: Offset;
      readonly attempt: number;
    }
  /** Something is ready, on its last attempt, and the consumer has such a record already: others may take it. */
  | { readonly kind: 'others' }
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
/** Too many records are on their way to the dead-letter topic. */
export type OutboxFull = 'outbox_full';
/** The arguments make no sense: not a range, out of bounds, or records that nobody was ever given. */
export type Invalid = 'invalid';

export interface QueueCounts {
  /** Could be handed out now. */
  readonly ready: number;
  readonly inFlight: number;
  /** Back-off not over yet. */
  readonly waiting: number;
  /** Held back until its delivery time. */
  readonly delayed: number;
  /** On its way to the dead-letter topic. */
  readonly dead: number;
  readonly ackedAbove: number;
  readonly floor: Offset;
}
