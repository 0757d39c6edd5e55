// Lets so many bytes a second pass, with a burst of one second.
import type { Clock } from '../core/clock.ts';

export class RateLimit {
  private readonly bytesPerSecond: number;
  private readonly clock: Clock;
  private freeAtMs = 0;

  /** 0: no limit. */
  constructor(bytesPerSecond: number, clock: Clock) {
    this.bytesPerSecond = bytesPerSecond;
    this.clock = clock;
  }

  /** Resolves when so many bytes may pass. */
  async take(bytes: number): Promise<void> {
    if (this.bytesPerSecond === 0) return;
    const nowMs = this.clock.monotonicMs();
    const waitMs = this.freeAtMs - nowMs;
    this.freeAtMs = Math.max(this.freeAtMs, nowMs) + (bytes * 1000) / this.bytesPerSecond;
    if (waitMs > 0) await new Promise<void>((resolve) => this.clock.after(waitMs, resolve));
  }
}
