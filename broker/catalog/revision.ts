// The compare-and-swap token of applies.
import { BrokerError } from '../core/errors.ts';
import { quoted } from '../core/quoted.ts';

/** What a caller says about an object that must not exist yet. */
const absent = '0';

/**
 * Empty or undefined: whatever is there. Throws REVISION_MISMATCH with the current one, `0` when there is no such
 * object.
 */
export function checkRevision(
  what: string,
  expected: string | undefined,
  current: number | undefined,
): void {
  if (expected === undefined || expected === '') return;
  const actual = current === undefined ? absent : String(current);
  if (expected === actual) return;
  const found = current === undefined ? 'does not exist' : `has revision ${actual}`;
  const wanted = expected === absent ? 'it must not exist yet' : `revision ${quoted(expected)}`;
  throw new BrokerError(
    'REVISION_MISMATCH',
    `${what} ${found}, but the caller expects ${wanted}; read it again and decide anew`,
    { metadata: { revision: actual } },
  );
}
