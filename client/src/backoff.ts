// How long to wait before the next try: doubled from the smallest to the largest delay, with jitter, so that clients
// that lost the same broker do not come back in step. Pure but for its own count.

export const backoffMs = {
  /** First delay: a broker that restarts at once is back after about so long. */
  min: 100,
  /** A client notices a broker that came back after at most this long. */
  max: 5_000,
} as const;

export class Backoff {
  private readonly random: () => number;
  private failures = 0;

  /** `random` answers numbers from 0 up to 1. */
  constructor(random: () => number) {
    this.random = random;
  }

  /** Another try failed: how long to wait, at least `retryAfterMs` when the broker asked for it. */
  nextMs(retryAfterMs = 0): number {
    const ceilingMs = Math.min(backoffMs.max, backoffMs.min * 2 ** Math.min(this.failures, 16));
    this.failures++;
    const jitteredMs = ceilingMs / 2 + (this.random() * ceilingMs) / 2;
    return Math.max(retryAfterMs, Math.round(jitteredMs));
  }

  /** A try succeeded: the next failure starts from the smallest delay again. */
  reset(): void {
    this.failures = 0;
  }
}
