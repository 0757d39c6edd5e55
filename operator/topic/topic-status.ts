// The status of a Topic object, from what was seen last.
//
// Invariant: live figures alone cause no write until they have moved far (amounts.ts).
import { isDeepStrictEqual } from 'node:util';
import { coarseCount, coarseSize, isFar, sizeBytes } from '../objects/amounts.ts';
import { conditionsOf, type Outcome } from '../objects/conditions.ts';
import {
  brokerNameOf,
  type SubscriptionStatus,
  type TopicObject,
  type TopicObjectStatus,
} from '../objects/topic-object.ts';
import { kindNames } from './subscription-plan.ts';
import type { ObservedTopic } from './topic-plan.ts';

const subscriptionsMax = 100;

/** Undefined: nothing in it is worth a write. `observed` undefined: the broker was not asked, or did not answer. */
export function nextTopicStatus(
  object: TopicObject,
  observed: ObservedTopic | undefined,
  outcome: Outcome,
  nowMs: number,
): TopicObjectStatus | undefined {
  const before = object.status ?? {};
  const seen = observed === undefined ? keptOf(before) : seenOf(observed);
  const status: TopicObjectStatus = {
    observedGeneration: object.metadata.generation ?? 0,
    name: brokerNameOf(object),
    ...seen,
    conditions: conditionsOf(object, outcome, nowMs),
  };
  const isQuiet = observed === undefined || !haveMoved(before, observed);
  return isQuiet && isDeepStrictEqual(withoutFigures(status), withoutFigures(before))
    ? undefined
    : status;
}

function keptOf({ topicId, partitions, stored, records, subscriptions }: TopicObjectStatus) {
  return {
    ...(topicId !== undefined && { topicId }),
    ...(partitions !== undefined && { partitions }),
    ...(stored !== undefined && { stored }),
    ...(records !== undefined && { records }),
    ...(subscriptions !== undefined && { subscriptions }),
  };
}

function seenOf({ topic, subscriptions }: ObservedTopic) {
  if (topic === undefined) return {};
  return {
    topicId: topic.topicId,
    partitions: topic.spec.partitions,
    stored: coarseSize(topic.storedBytes),
    records: coarseCount(recordsOf(topic)),
    subscriptions: subscriptions.slice(0, subscriptionsMax).map((one): SubscriptionStatus => ({
      name: one.name,
      kind: kindNames[one.spec.kind],
      backlog: coarseCount(backlogOf(one)),
    })),
  };
}

function haveMoved(before: TopicObjectStatus, { topic, subscriptions }: ObservedTopic): boolean {
  if (topic === undefined) return false;
  const told = new Map((before.subscriptions ?? []).map(({ name, backlog }) => [name, backlog]));
  return (
    isFar(sizeBytes(before.stored ?? 0), Number(sizeBytes(coarseSize(topic.storedBytes)))) ||
    isFar(Number(before.records ?? 0), recordsOf(topic)) ||
    subscriptions
      .slice(0, subscriptionsMax)
      .some((one) => isFar(Number(told.get(one.name) ?? 0), backlogOf(one)))
  );
}

function withoutFigures({ stored: _s, records: _r, subscriptions, ...rest }: TopicObjectStatus) {
  return { ...rest, subscriptions: subscriptions?.map(({ name, kind }) => ({ name, kind })) };
}

function recordsOf({ partitions }: NonNullable<ObservedTopic['topic']>): number {
  return partitions.reduce((sum, { startOffset, endOffset }) => sum + endOffset - startOffset, 0);
}

function backlogOf({ partitions }: ObservedTopic['subscriptions'][number]): number {
  return partitions.reduce((sum, { backlog }) => sum + backlog, 0);
}
