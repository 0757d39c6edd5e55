// Lets so many bytes a second pass. The first burst passes at once.
import type { Clock } from '../core/clock.ts';

export class RateLimit {
  private readonly clock: Clock;
  private readonly waiting = new Set<() => void>();
  private freeAtMs = 0;
  private isStopped = false;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Resolves when so many bytes may pass at that rate. 0: no limit. */
  async take(bytes: number, bytesPerSecond: number): Promise<void> {
    if (bytesPerSecond === 0 || this.isStopped) return;
    const nowMs = this.clock.monotonicMs();
    const waitMs = this.freeAtMs - nowMs;
    this.freeAtMs = Math.max(this.freeAtMs, nowMs) + (bytes * 1000) / bytesPerSecond;
    if (waitMs <= 0) return;
    await new Promise<void>((resolve) => {
      const timer = this.clock.after(waitMs, () => pass());
      const pass = (): void => {
        timer.cancel();
        this.waiting.delete(pass);
        resolve();
      };
      this.waiting.add(pass);
    });
  }

  /** Lets everybody pass: who stops does not wait for a slow rate. */
  stop(): void {
    this.isStopped = true;
    for (const pass of this.waiting) pass();
  }
}
