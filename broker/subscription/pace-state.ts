// How much each consumer of a queue has worked through just before: so much may go to it at once. Pure.
//
// A shallow backlog is shared evenly, so with 100 consumers it travels in runs of a few records, and each run costs a
// frame there and a frame back. One that has just acked hundreds within a tenth of a second gains nothing by that.
//
// Invariant: of a consumer that is slow, idle or new nothing is said: it gets its share only, and no record waits
// behind others while somebody is free.

const windowMs = 100;
/** Longer runs save nothing more. */
const recordsMax = 256;

interface Pace {
  sinceMs: number;
  /** Acked since then. */
  count: number;
  /** Acked in the window before. */
  records: number;
}

export class PaceState {
  private readonly paces = new Map<number, Pace>();

  acked(consumer: number, records: number, nowMs: number): void {
    const pace = this.paces.get(consumer);
    if (pace === undefined) {
      this.paces.set(consumer, { sinceMs: nowMs, count: records, records: 0 });
      return;
    }
    if (nowMs - pace.sinceMs >= windowMs) {
      pace.records = isRecent(pace, nowMs) ? pace.count : 0;
      pace.count = 0;
      pace.sinceMs = nowMs;
    }
    pace.count += records;
  }

  /** At least 1. */
  recordsOf(consumer: number, nowMs: number): number {
    const pace = this.paces.get(consumer);
    if (pace === undefined || !isRecent(pace, nowMs)) return 1;
    return Math.min(Math.max(pace.records, 1), recordsMax);
  }

  forget(consumer: number): void {
    this.paces.delete(consumer);
  }
}

function isRecent({ sinceMs }: Pace, nowMs: number): boolean {
  return nowMs - sinceMs < 2 * windowMs;
}
