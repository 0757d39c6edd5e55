// How fast the API server is asked: so many calls a second, with a reserve for what comes at once after a pause.
import type { Timing } from './timing.ts';

export interface PaceBounds {
  readonly perSecond: number;
  readonly burst: number;
}

export class RequestPace {
  private readonly bounds: PaceBounds;
  private readonly timing: Timing;
  /** When the reserve would be full again. */
  private fullMs = -Infinity;

  constructor(bounds: PaceBounds, timing: Timing) {
    this.bounds = bounds;
    this.timing = timing;
  }

  /** In the order of the calls. */
  async wait(): Promise<void> {
    const { perSecond, burst } = this.bounds;
    const nowMs = this.timing.monotonicMs();
    const costMs = 1_000 / perSecond;
    this.fullMs = Math.max(this.fullMs, nowMs) + costMs;
    const waitMs = this.fullMs - nowMs - burst * costMs;
    if (waitMs > 0) await this.timing.sleep(waitMs, new AbortController().signal);
  }
}
