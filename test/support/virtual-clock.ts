// A clock that goes on only when it is told to.
import type { Clock, Timer } from '../../broker/core/clock.ts';

interface Alarm {
  readonly atMs: number;
  readonly callback: () => void;
}

export class VirtualClock implements Clock {
  private nowMs = 1_000;
  private wallOffsetMs = 1_700_000_000_000;
  private readonly alarms = new Set<Alarm>();

  wallMs(): number {
    return this.wallOffsetMs + this.nowMs;
  }

  monotonicMs(): number {
    return this.nowMs;
  }

  after(delayMs: number, callback: () => void): Timer {
    const alarm = { atMs: this.nowMs + delayMs, callback };
    this.alarms.add(alarm);
    return { cancel: () => this.alarms.delete(alarm) };
  }

  /** Somebody sets the wall clock; nothing rings. */
  stepWall(ms: number): void {
    this.wallOffsetMs += ms;
  }

  /** Rings what is due on the way, in order. */
  advance(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (;;) {
      const due = [...this.alarms]
        .filter(({ atMs }) => atMs <= untilMs)
        .sort((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      this.alarms.delete(due);
      this.nowMs = Math.max(this.nowMs, due.atMs);
      due.callback();
    }
    this.nowMs = untilMs;
  }

  /** A restarted process has none of the old one's timers. */
  forgetAlarms(): void {
    this.alarms.clear();
  }
}
