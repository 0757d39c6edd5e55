// Runs of records whose delivery time has come after they were passed, in the order in which it came.
import { Fifo } from '../core/fifo.ts';
import type { Offset } from '../core/ids.ts';
import type { Claims } from './fresh-source.ts';

export class ReleasedRuns {
  private firsts = new Fifo();
  private lasts = new Fifo();

  get isEmpty(): boolean {
    return this.firsts.length === 0;
  }

  push(first: Offset, last: Offset): void {
    this.firsts.push(first);
    this.lasts.push(last);
  }

  /** The oldest records that nothing claims, at most `recordsMax`. They stay until they are claimed or shifted. */
  next(claims: Claims, recordsMax: number): { first: Offset; last: Offset } | undefined {
    for (;;) {
      const first = this.firsts.peek();
      const last = this.lasts.peek();
      if (first === undefined || last === undefined) return undefined;
      const free = claims.nextFree(first, last);
      if (free <= last) {
        const limit = Math.min(last + 1, free + recordsMax);
        return { first: free, last: claims.freeUntil(free, limit) - 1 };
      }
      this.shift();
    }
  }

  /** Lets go of the oldest run. */
  shift(): void {
    this.firsts.shift();
    this.lasts.shift();
  }

  clear(): void {
    this.firsts = new Fifo();
    this.lasts = new Fifo();
  }
}
