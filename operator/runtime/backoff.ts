// Exponential back-off with jitter: half of it is certain, half is drawn, so that many do not come back together.
export interface BackoffBounds {
  readonly minMs: number;
  readonly maxMs: number;
}

/** `failures` from 1; `draw` from 0 to 1. */
export function backoffMs({ minMs, maxMs }: BackoffBounds, failures: number, draw: number): number {
  const full = Math.min(maxMs, minMs * 2 ** Math.min(failures - 1, 30));
  return full / 2 + (full / 2) * draw;
}
