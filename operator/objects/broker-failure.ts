// What a failure at the broker means for an object.
//
// Invariants:
// - Decided from kind and reason, never from a message.
// - Messages of one failure are the same each time, so that saying it again is no write.
import { MillraceError } from '../../client/src/index.ts';
import type { Outcome } from './conditions.ts';

/** The object, or what was seen of the broker, is no longer what it was: look again at once. */
export const lookAgain = 'look again';

export function outcomeOfFailure(
  thrown: unknown,
  server: string,
): Exclude<Outcome, { kind: 'ready' }> | typeof lookAgain {
  if (!(thrown instanceof MillraceError)) throw thrown;
  const { kind, reason } = thrown;
  if (reason === 'REVISION_MISMATCH' || reason === 'TOPIC_NOT_FOUND') return lookAgain;
  const words = { reason: upperCamel(reason), message: thrown.message };
  switch (kind) {
    case 'unavailable':
      return { kind: 'unreachable', message: `the broker at ${server} does not answer` };
    case 'invalid':
    case 'conflict':
    case 'corrupt':
      return { kind: 'refused', ...words };
    case 'denied':
    case 'missing':
    case 'exhausted':
    case 'internal':
      return { kind: 'failed', ...words };
  }
}

export function isMissing(thrown: unknown): boolean {
  return thrown instanceof MillraceError && thrown.kind === 'missing';
}

/** SPEC_IMMUTABLE as conditions have it: SpecImmutable. */
function upperCamel(reason: string): string {
  return reason
    .split('_')
    .map((word) => word.slice(0, 1) + word.slice(1).toLowerCase())
    .join('');
}
