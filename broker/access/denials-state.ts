// Which denials get a line of the audit log, and which are counted: a program with a revoked token may ask a thousand
// times a second, and would otherwise turn the log over until nothing else is in it.
//
//   first of a minute ──▶ lines, up to a number ──▶ counted ──end of the minute──▶ one line with the count
//
// Invariants:
// - Of a caller's denials in a minute, each is a line or counted in one.
// - At most `auditCallersMax` callers are counted apart; the others share a count.
import { limits } from '../core/limits.ts';

/** Denials that had no line of their own. */
export interface DenialCount {
  readonly caller: string;
  readonly count: number;
  readonly sinceMs: number;
}

interface Window {
  readonly sinceMs: number;
  lines: number;
  counted: number;
}

const windowMs = 60_000;
const everybodyElse = '(others)';

export class DenialsState {
  private readonly windows = new Map<string, Window>();

  /** True: write it. False: it is counted. */
  admit(caller: string, nowMs: number): boolean {
    const isKnown = this.windows.has(caller) || this.windows.size < limits.auditCallersMax;
    const window = this.windowOf(isKnown ? caller : everybodyElse, nowMs);
    if (window.lines < limits.auditDenialsPerMinute) {
      window.lines++;
      return true;
    }
    window.counted++;
    return false;
  }

  /** Counts whose minute is over; `all`: of every caller. Call it before `admit`, again and again. */
  take(nowMs: number, all = false): readonly DenialCount[] {
    const counts: DenialCount[] = [];
    for (const [caller, { sinceMs, counted }] of this.windows) {
      // A clock that steps back must not leave a count open for ever.
      const isOver = nowMs - sinceMs >= windowMs || nowMs < sinceMs;
      if (!isOver && !all) continue;
      this.windows.delete(caller);
      if (counted > 0) counts.push({ caller, count: counted, sinceMs });
    }
    return counts;
  }

  private windowOf(caller: string, nowMs: number): Window {
    let window = this.windows.get(caller);
    if (window === undefined) {
      window = { sinceMs: nowMs, lines: 0, counted: 0 };
      this.windows.set(caller, window);
    }
    return window;
  }
}
