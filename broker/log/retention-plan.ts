// Which offsets of a partition retention removes. Pure.
//
// Invariants:
// - A record goes only when it is outside the window and every subscription has acked it, or when it is older than
//   the unacked age. Without a policy nothing goes: the caller has no plan to ask for.
// - The start never goes back and never passes the end.
import type { Offset } from '../core/ids.ts';

/** The first offset to keep by each rule; the caller found them at `nowMs`. */
export interface RetentionFacts {
  readonly startOffset: Offset;
  readonly endOffset: Offset;
  /** First offset young enough for the window; undefined when the window has no age. */
  readonly keptByAge: Offset | undefined;
  /** First offset such that what follows fits the window's bytes; undefined when the window has no size. */
  readonly keptByBytes: Offset | undefined;
  /** Everything is inside the window. */
  readonly forever: boolean;
  /** First offset that some subscription has not acked; the end when there is none. */
  readonly ackedBelow: Offset;
  /** First offset young enough to be kept although unacked; undefined when unacked records never expire. */
  readonly keptUnacked: Offset | undefined;
}

/** The new start offset of the partition. */
export function planTrim(facts: RetentionFacts): Offset {
  const { startOffset, endOffset } = facts;
  let windowStart: Offset;
  if (facts.forever) windowStart = startOffset;
  else if (facts.keptByAge === undefined && facts.keptByBytes === undefined)
    windowStart = endOffset;
  else windowStart = Math.max(facts.keptByAge ?? 0, facts.keptByBytes ?? 0);
  const owed = Math.min(windowStart, facts.ackedBelow);
  const start = Math.max(startOffset, owed, facts.keptUnacked ?? 0);
  return Math.min(start, endOffset);
}
