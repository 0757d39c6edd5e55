// Takes records of a queue out of its line, one by one and in any order: what redrive and purge do to dead letters.
//
// Invariants:
// - a record that somebody works on, or that is on its way already, is left alone;
// - what is returned goes on with the attempts that it had.
import type { Offset } from '../core/ids.ts';
import { limits } from '../core/limits.ts';
import type { BatchMarks } from '../log/batch-marks.ts';
import type { Claims } from './fresh-source.ts';
import type { RedriveTarget } from './outbox-state.ts';

/** What keeps a record where it is. */
export type LetterKept =
  /** Acked, or on its way. */
  | 'gone'
  /** A consumer has it, or it is held back until its delivery time. */
  | 'held'
  /** As much is on its way as may be: later. */
  | 'full';

/** Undefined: nothing. */
export function whyKept(
  { acks, leases, outbox }: Claims,
  marks: BatchMarks,
  offset: Offset,
): Exclude<LetterKept, 'full'> | undefined {
  if (acks.has(offset) || outbox.has(offset)) return 'gone';
  if (leases.holderOf(offset) !== undefined) return 'held';
  return marks.nextHeld(offset, offset + 1) === offset ? 'held' : undefined;
}

/** Puts a record into the outbox, to be journaled before it is sent. Undefined: done. */
export function claimLetter(
  claims: Claims,
  marks: BatchMarks,
  unackedMax: number,
  offset: Offset,
  target: RedriveTarget,
): LetterKept | undefined {
  const kept = whyKept(claims, marks, offset);
  if (kept !== undefined) return kept;
  const { leases, retries, outbox } = claims;
  const retry = retries.at(offset);
  const unacked = leases.inFlight + retries.count + outbox.count;
  if (outbox.count >= limits.outboxMax) return 'full';
  if (retry === undefined && unacked >= unackedMax) return 'full';
  const attempts = retry?.attempts ?? 0;
  retries.remove(offset, offset);
  outbox.redrive(offset, attempts, target);
  return undefined;
}

/** A letter that cannot go is to be delivered here again. */
export function returnLetter({ outbox, retries }: Claims, number: number, nowMs: number): void {
  const letter = outbox.returned(number);
  if (letter === undefined || letter.isDetached) return;
  retries.put(letter.offset, letter.offset, letter.attempts, nowMs);
}
