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
