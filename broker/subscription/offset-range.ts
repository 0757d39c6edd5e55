// Which numbers are offsets.
import type { Offset } from '../core/ids.ts';

/** First and last offset, both part of it. */
export interface OffsetRange {
  readonly first: Offset;
  readonly last: Offset;
}

/** The offset after it is a safe number too. */
export function isOffset(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value < Number.MAX_SAFE_INTEGER;
}

/** Whether [first, last] is a range of at least one offset. */
export function isRange(first: number, last: number): boolean {
  return isOffset(first) && isOffset(last) && first <= last;
}

/** Grows while neighbours come. */
export interface GatheredRange {
  first: Offset;
  last: Offset;
}

/** Adds a range behind the last one, joined with it when they touch: clients ack neighbours one by one. */
export function addRange(ranges: GatheredRange[], first: number, last: number): void {
  const previous = ranges.at(-1);
  if (previous !== undefined && first <= previous.last + 1 && first >= previous.first) {
    previous.last = Math.max(previous.last, last);
  } else ranges.push({ first, last });
}
