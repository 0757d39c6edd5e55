// What has to be done to the subscriptions of a topic. Pure.
//
// Invariant: only subscriptions that the object names are touched, and none is ever deleted.
import type {
  Subscription,
  SubscriptionKind,
  SubscriptionSpec,
  SubscriptionSpecPatch,
} from '../../client/src/index.ts';
import { durationMs } from '../objects/amounts.ts';
import type { SubscriptionEntry, SubscriptionKindName } from '../objects/topic-object.ts';

export interface SubscriptionAction {
  readonly kind: 'apply-subscription';
  readonly name: string;
  readonly patch: SubscriptionSpecPatch;
  /** `0`: it must not exist yet. */
  readonly revision: string;
}

export const kindNames = {
  stream: 'Stream',
  queue: 'Queue',
  keyed_queue: 'KeyedQueue',
} as const satisfies Record<SubscriptionKind, SubscriptionKindName>;

const kinds: Readonly<Record<SubscriptionKindName, SubscriptionKind>> = {
  Stream: 'stream',
  Queue: 'queue',
  KeyedQueue: 'keyed_queue',
};

/** As the custom resource documents it; the broker has the same. */
const defaults = {
  ackDeadline: '30s',
  backoffMin: '100ms',
  backoffMax: '1m',
  attemptsMaxWithDeadLetters: 16,
} as const;

type Changing = Omit<SubscriptionSpec, 'kind' | 'start'>;

/** One for each entry that is missing or differs. */
export function planSubscriptions(
  entries: readonly SubscriptionEntry[],
  observed: readonly Subscription[],
): SubscriptionAction[] {
  const there = new Map(observed.map((one) => [one.name, one]));
  const actions: SubscriptionAction[] = [];
  for (const entry of entries) {
    const existing = there.get(entry.name);
    const desired = changingOf(entry);
    const kind = kinds[entry.kind];
    if (existing === undefined) {
      const start = entry.start?.toLowerCase() as 'earliest' | 'latest' | undefined;
      const patch = { ...desired, kind, ...(start !== undefined && { start }) };
      actions.push({ kind: 'apply-subscription', name: entry.name, patch, revision: '0' });
      continue;
    }
    const patch = Object.fromEntries(
      Object.entries(desired).filter(
        ([field, value]) => existing.spec[field as keyof Changing] !== value,
      ),
    ) as SubscriptionSpecPatch;
    const isOtherKind = existing.spec.kind !== kind;
    if (Object.keys(patch).length === 0 && !isOtherKind) continue;
    // The broker says that a kind is immutable better than anybody else.
    const { revision } = existing;
    const whole = isOtherKind ? { ...patch, kind } : patch;
    actions.push({ kind: 'apply-subscription', name: entry.name, patch: whole, revision });
  }
  return actions;
}

/** Every field that may change, with its default: what was taken out of the object goes back to it. */
function changingOf(entry: SubscriptionEntry): Partial<Changing> {
  const common = {
    paused: entry.paused,
    expiresAfterMs: durationMs(entry.expiresAfter ?? '0s'),
  };
  if (entry.kind === 'Stream') return common;
  const { deadLetterTopic = '' } = entry;
  const attemptsDefault = deadLetterTopic === '' ? 0 : defaults.attemptsMaxWithDeadLetters;
  return {
    ...common,
    ackDeadlineMs: durationMs(entry.ackDeadline ?? defaults.ackDeadline),
    backoffMinMs: durationMs(entry.backoffMin ?? defaults.backoffMin),
    backoffMaxMs: durationMs(entry.backoffMax ?? defaults.backoffMax),
    attemptsMax: entry.attemptsMax ?? attemptsDefault,
    deadLetterTopic,
    deadLetterExpired: entry.deadLetterExpired ?? false,
    recordsPerSecondMax: entry.recordsPerSecondMax ?? 0,
  };
}
