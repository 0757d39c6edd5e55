// Fresh records in the order of their offsets. What is fresh is what nothing claims, so it costs nothing to keep.
import { assert } from '../core/assert.ts';
import type { Offset } from '../core/ids.ts';
import type { Claims, FreshNext, FreshSource } from './fresh-source.ts';

const none: FreshNext = { kind: 'none' };

export class PlainSource implements FreshSource {
  private readonly claims: Claims;
  private from: Offset;

  constructor(claims: Claims) {
    this.claims = claims;
    this.from = claims.acks.floor;
  }

  get passed(): Offset {
    return this.from;
  }

  next(end: Offset, recordsMax: number): FreshNext {
    const first = this.claims.nextFree(this.from);
    // Moving on is no change: nothing that is passed here is fresh.
    this.from = Math.max(this.from, Math.min(first, end));
    if (first >= end) return none;
    const last = this.claims.freeUntil(first, Math.min(end, first + recordsMax)) - 1;
    return { kind: 'run', first, last };
  }

  taken(first: Offset, last: Offset): void {
    const next = this.next(last + 1, Infinity);
    assert(
      next.kind === 'run' && next.first === first && next.last === last,
      `records ${first}-${last} are not the next fresh ones`,
    );
    this.from = last + 1;
  }

  offer(): void {
    assert(false, 'a plain queue does not ask for keys');
  }

  settled(): void {
    // What is acked is claimed by that.
  }

  holdsAny(): boolean {
    return false;
  }

  reset(offset: Offset): void {
    this.from = offset;
  }

  recoveredAttempts(): Iterable<never> {
    return [];
  }

  check(): void {
    // It keeps one number, which nothing can contradict.
  }
}
