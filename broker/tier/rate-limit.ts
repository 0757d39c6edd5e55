// Lets so many bytes a second pass. The first burst passes at once.
import type { Clock } from '../core/clock.ts';

export class RateLimit {
  private readonly clock: Clock;
  private freeAtMs = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Resolves when so many bytes may pass at that rate. 0: no limit. */
  async take(bytes: number, bytesPerSecond: number): Promise<void> {
    if (bytesPerSecond === 0) return;
    const nowMs = this.clock.monotonicMs();
    const waitMs = this.freeAtMs - nowMs;
    this.freeAtMs = Math.max(this.freeAtMs, nowMs) + (bytes * 1000) / bytesPerSecond;
    if (waitMs > 0) await new Promise<void>((resolve) => this.clock.after(waitMs, resolve));
  }
}
