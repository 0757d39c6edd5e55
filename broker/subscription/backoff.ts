// How long a failed record waits before its next delivery.
//
// Exponential, so that a failing dependency is left alone; jittered, so that records which failed together do
// not come back together.

export interface BackoffPolicy {
  /** Milliseconds after the first failed attempt. 0: at once, always. */
  readonly backoffMinMs: number;
  /** Cap in milliseconds. */
  readonly backoffMaxMs: number;
}

/** A uniform random number in [0, 1). */
export type Draw = () => number;

/** Doublings after which any minimum has passed any cap; keeps the product finite. */
const doublingsMax = 52;

/**
 * Milliseconds to wait after attempt number `attempt` (from 1) failed: `min * 2^(attempt - 1)`, capped, of which
 * 50 to 100 % by chance.
 */
export function backoffMs(policy: BackoffPolicy, attempt: number, draw: Draw): number {
  const doublings = Math.min(Math.max(attempt - 1, 0), doublingsMax);
  const full = Math.min(policy.backoffMinMs * 2 ** doublings, policy.backoffMaxMs);
  return full * (0.5 + 0.5 * draw());
}
