// Waits for an object store that does not answer at start: the broker is alive, not ready, and says why.
//
// Invariant: only what may pass by itself is tried again; what a person must change ends the start.
import type { Clock } from './core/clock.ts';
import { BrokerError } from './core/errors.ts';
import type { Log } from './core/log.ts';

const waitMs = { min: 500, max: 10_000 } as const;

/** `tell`: why the start waits, after each failure. */
export async function untilReachable<T>(
  { clock, log }: { readonly clock: Clock; readonly log: Log },
  tell: (why: string) => void,
  work: () => Promise<T>,
): Promise<T> {
  for (let failures = 0; ; failures++) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof BrokerError) || error.reason !== 'STORE_FAILED') throw error;
      const nextMs = Math.min(waitMs.max, waitMs.min * 2 ** failures);
      log.warn('waiting for the object store', { cause: error.message, nextMs });
      tell(`waiting for the object store: ${error.message}`);
      await new Promise<void>((resolve) => clock.after(nextMs, resolve));
    }
  }
}
