// Refusals at a bound of the catalog.
import { BrokerError } from '../core/errors.ts';

/** Ids are stored in 32 bits. */
const idMax = 2 ** 32 - 1;

/** The first of `count` ids. */
export function takeId(next: number, count: number): number {
  if (next + count - 1 <= idMax) return next;
  throw limitReached('ids', idMax, 'ids are never reused; move to a new installation');
}

export function limitReached(
  what: string,
  limit: number,
  advice: string,
  retryAfterMs = 0,
): BrokerError {
  return new BrokerError('LIMIT_REACHED', `there are at most ${limit} ${what}: ${advice}`, {
    metadata: { limit: what, value: String(limit) },
    retryAfterMs,
  });
}
