// A batch on its way to the broker, and whoever waits for it.
import type { MillraceError } from '../errors.ts';
import type { BatchTerms } from './batch-terms.ts';
import type { BatchBody } from '../wire/append-frame.ts';

/** Where one record, or the first of several, is stored. */
export interface Published {
  readonly partition: number;
  readonly offset: number;
}

/** Is told what became of one record, or of several that follow each other in one batch. */
export interface Waiter {
  resolve(published: Published): void;
  reject(error: MillraceError): void;
}

/** Waits until everything that was handed over before it is settled. */
export interface Barrier {
  remaining: number;
  readonly pass: () => void;
}

export interface OutgoingBatch {
  readonly partition: number;
  readonly recordCount: number;
  /** Undefined while it is being compressed. */
  body: BatchBody | undefined;
  /** The body's buffer may be used again when the broker has answered: it was sent once at most. */
  isReusable: boolean;
  /** What it counts for in the buffers of publisher and client until it is settled. */
  readonly heldBytes: number;
  readonly expectedOffset: number | undefined;
  readonly terms: BatchTerms | undefined;
  readonly waiters: readonly Waiter[];
  /** Index in the batch of the record that each waiter waits for. */
  readonly waiterIndexes: readonly number[];
  /** Records that nobody waits for: failures are told to `flush` and `onError`. */
  readonly sentCount: number;
  readonly createdAtMs: number;
  readonly barriers: Barrier[];
  /** Those who wait were told that it took too long; it may be stored nevertheless. */
  isTimedOut: boolean;
}

/** Tells everybody who waits for a record of the batch. */
export function tellStored(batch: OutgoingBatch, baseOffset: number): void {
  const { partition, waiters, waiterIndexes } = batch;
  for (let i = 0; i < waiters.length; i++) {
    const index = waiterIndexes[i] as number;
    waiters[i]?.resolve({ partition, offset: baseOffset + index });
  }
}

export function tellFailed(batch: OutgoingBatch, error: MillraceError): void {
  for (const waiter of batch.waiters) waiter.reject(error);
}
