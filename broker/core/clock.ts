// Time comes in through this door; below the shells nothing else may read it.

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since 1970 UTC. May step in either direction. */
  wallMs(): number;
  /** Milliseconds that only rise; for deadlines and durations. */
  monotonicMs(): number;
  /** Calls back once. Does not keep the process alive. */
  after(delayMs: number, callback: () => void): Timer;
}

/** Longest delay that setTimeout takes before it overflows to 1 ms. */
const timeoutMsMax = 2 ** 31 - 1;

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, Math.min(Math.max(delayMs, 0), timeoutMsMax));
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};
