// How many records a subscription may still be handed now: a token bucket. Pure.
// https://en.wikipedia.org/wiki/Token_bucket
//
// Invariant: over any time t at most rate * t + burst records pass, where the burst is a tenth of a second's worth, but
// at least one record.

const burstSeconds = 0.1;

export class DeliveryRate {
  private perSecond = 0;
  private tokens = 0;
  private filledAtMs = 0;

  /** 0: no limit. Takes effect at once. */
  change(perSecond: number, nowMs: number): void {
    if (perSecond === this.perSecond) return;
    this.perSecond = perSecond;
    this.tokens = this.burst;
    this.filledAtMs = nowMs;
  }

  /** Whole records. Infinity without a limit. */
  available(nowMs: number): number {
    if (this.perSecond === 0) return Infinity;
    const gained = (Math.max(nowMs - this.filledAtMs, 0) * this.perSecond) / 1000;
    this.tokens = Math.min(this.tokens + gained, this.burst);
    this.filledAtMs = nowMs;
    return Math.floor(this.tokens);
  }

  take(records: number): void {
    if (this.perSecond > 0) this.tokens -= records;
  }

  /** When a record may pass again, if none may now. */
  nextAtMs(nowMs: number): number {
    return nowMs + Math.ceil(((1 - this.tokens) * 1000) / this.perSecond);
  }

  private get burst(): number {
    return Math.max(1, this.perSecond * burstSeconds);
  }
}
