// Time and chance for the runtime: injected, so that tests hold the clock.
import { setTimeout as delay } from 'node:timers/promises';

export interface Timing {
  /** Wall clock, ms since 1970: for what the API server sees. */
  wallMs(): number;
  /** Never goes back: for everything else. */
  monotonicMs(): number;
  /** 0 to 1. */
  draw(): number;
  /** Resolves early, without an error, when the signal aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export const systemTiming: Timing = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  draw: () => Math.random(),
  sleep: async (ms, signal) => {
    await delay(Math.max(0, ms), undefined, { signal }).catch(() => undefined);
  },
};
