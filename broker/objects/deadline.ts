// Puts a signal over an operation that cannot be stopped itself.
import { BrokerError, type ErrorEffect } from '../core/errors.ts';

/**
 * What the work answers, or STORE_FAILED (deadline) or CANCELLED when the signal comes first. The work then goes on
 * unseen: `effect` says whether it may have an effect.
 */
export async function withSignal<T>(
  signal: AbortSignal,
  what: string,
  effect: ErrorEffect,
  work: () => Promise<T>,
): Promise<T> {
  if (signal.aborted) throw aborted(signal, what, 'none');
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const onAbort = (): void => reject(aborted(signal, what, effect));
  signal.addEventListener('abort', onAbort, { once: true });
  work().then(resolve, reject);
  try {
    return await promise;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function aborted(signal: AbortSignal, what: string, effect: ErrorEffect): BrokerError {
  const cause: unknown = signal.reason;
  if (cause instanceof DOMException && cause.name === 'TimeoutError') {
    return new BrokerError('STORE_FAILED', `${what} did not answer in time; retry`, {
      effect,
      metadata: { code: 'timeout' },
      cause,
    });
  }
  return new BrokerError('CANCELLED', `${what} was given up by its caller`, { effect, cause });
}
