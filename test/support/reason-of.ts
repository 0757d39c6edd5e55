// What a call throws, as the reason that callers decide by.
import { BrokerError, type ErrorReason } from '../../broker/core/errors.ts';

/** The reason of the BrokerError that the call throws; 'nothing' when it returns. Other errors go through. */
export function reasonOf(call: () => unknown): ErrorReason | 'nothing' {
  try {
    call();
  } catch (thrown) {
    if (thrown instanceof BrokerError) return thrown.reason;
    throw thrown;
  }
  return 'nothing';
}

/** The BrokerError that the promise rejects with; undefined when it resolves. Other errors go through. */
export async function rejectionOf(promise: Promise<unknown>): Promise<BrokerError | undefined> {
  try {
    await promise;
  } catch (thrown) {
    if (thrown instanceof BrokerError) return thrown;
    throw thrown;
  }
  return undefined;
}

/** The BrokerError that the call throws; undefined when it returns. Other errors go through. */
export function errorOf(call: () => unknown): BrokerError | undefined {
  try {
    call();
  } catch (thrown) {
    if (thrown instanceof BrokerError) return thrown;
    throw thrown;
  }
  return undefined;
}
