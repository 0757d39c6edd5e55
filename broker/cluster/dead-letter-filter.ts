// Whether a letter is one that somebody asked for. Pure.
import type { DeadLetterFilter } from '../catalog/dead-letter-job.ts';
import type { LetterView } from '../subscription/dead-letter-view.ts';

/** `appendTimeMs`: when it became a dead letter. */
export function matches(
  filter: DeadLetterFilter,
  letter: LetterView,
  appendTimeMs: number,
): boolean {
  const { reasons, key, headers, sinceMs, untilMs, originTopic, originSubscription } = filter;
  const { reason, origin } = letter;
  if (reasons.length > 0 && (reason === undefined || !reasons.includes(reason))) return false;
  if (sinceMs > 0 && appendTimeMs < sinceMs) return false;
  if (untilMs > 0 && appendTimeMs >= untilMs) return false;
  if (originTopic !== '' && origin?.topic !== originTopic) return false;
  if (originSubscription !== '' && origin?.subscription !== originSubscription) return false;
  if (key !== undefined && !letter.key.equals(key)) return false;
  return headers.every((wanted) =>
    letter.headers.some(([name, value]) => name === wanted.name && value.equals(wanted.value)),
  );
}
