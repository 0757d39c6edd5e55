// Decides what a command on a subscription changes. Pure: reads the state, answers events, applies nothing.
import { BrokerError } from '../core/errors.ts';
import { subscriptionId, type SubscriptionId } from '../core/ids.ts';
import { limits } from '../core/limits.ts';
import { quoted } from '../core/quoted.ts';
import { checkAmounts } from './amounts-plan.ts';
import type { CatalogEvent, SubscriptionTombstone } from './catalog-events.ts';
import type { CatalogState } from './catalog-state.ts';
import { limitReached, takeId } from './limit-reached.ts';
import { parseTopicName, type SubscriptionName, type TopicName } from './names.ts';
import { checkRevision } from './revision.ts';
import { specInvalid } from './spec-fields.ts';
import {
  checkStart,
  describeStart,
  describeSubscriptionSpec,
  patchSubscriptionSpec,
  startDefaults,
  subscriptionSpecChanges,
  subscriptionSpecDefaults,
  type Subscription,
  type SubscriptionSpec,
  type SubscriptionSpecPatch,
} from './subscription.ts';
import { partitionsByShard, type Topic } from './topic.ts';

export interface ApplySubscription {
  readonly topic: TopicName;
  readonly name: SubscriptionName;
  readonly spec: SubscriptionSpecPatch;
  /** As in subscription.proto: empty for any, `0` for "must not exist yet". */
  readonly revision?: string | undefined;
  readonly dryRun?: boolean | undefined;
}

export interface SubscriptionPlan {
  /** Empty when there is nothing to do, and in a dry run. */
  readonly events: readonly CatalogEvent[];
  /** One line per change, for people; also in a dry run. */
  readonly changes: readonly string[];
  readonly created: boolean;
  readonly topic: Topic;
  /** As it is after the events. Id and revision of a dry run are not given yet: do not show them. */
  readonly subscription: Subscription;
}

/** A shard drops a deleted subscription in much less, unless it is in trouble. */
const tombstoneRetryMs = 1_000;

/** Throws TENANT_NOT_FOUND, TOPIC_NOT_FOUND, REVISION_MISMATCH, SPEC_INVALID, SPEC_IMMUTABLE, LIMIT_REACHED. */
export function planApplySubscription(
  state: CatalogState,
  request: ApplySubscription,
  nowMs: number,
): SubscriptionPlan {
  const topic = state.requireTopic(request.topic);
  const existing = state.subscription(topic.id, request.name);
  checkRevision(`subscription ${quoted(request.name)}`, request.revision, existing?.revision);
  const plan =
    existing === undefined
      ? planCreate(state, topic, request, nowMs)
      : planChange(state, topic, existing, request.spec);
  return request.dryRun === true ? { ...plan, events: [] } : plan;
}

/** Throws TENANT_NOT_FOUND, TOPIC_NOT_FOUND, SUBSCRIPTION_NOT_FOUND. */
export function planDeleteSubscription(
  state: CatalogState,
  topicName: TopicName,
  name: SubscriptionName,
): { readonly events: readonly CatalogEvent[]; readonly subscription: Subscription } {
  const topic = state.requireTopic(topicName);
  const subscription = state.requireSubscription(topic, name);
  const tombstone: SubscriptionTombstone = {
    of: 'subscription',
    subscriptionId: subscription.id,
    topicId: topic.id,
    name,
    pending: partitionsByShard(topic),
  };
  return { events: [{ kind: 'subscription-deleted', tombstone }], subscription };
}

/** The shard has durably dropped its part of a deleted subscription; no event when that was said before. */
export function planSubscriptionDropped(
  state: CatalogState,
  id: SubscriptionId,
  shard: string,
): readonly CatalogEvent[] {
  const pending = state.subscriptionTombstone(id)?.pending ?? [];
  if (!pending.some((part) => part.shard === shard)) return [];
  return [{ kind: 'tombstone-cleared', of: 'subscription', id, shard }];
}

function planCreate(
  state: CatalogState,
  topic: Topic,
  request: ApplySubscription,
  nowMs: number,
): SubscriptionPlan {
  const { kind } = request.spec;
  if (kind === undefined) {
    throw new BrokerError(
      'SPEC_INVALID',
      `kind is not set, and there is no subscription ${quoted(request.name)} yet; say "stream", "queue" or ` +
        '"keyed_queue" to create it',
      { metadata: { field: 'kind', value: '' } },
    );
  }
  const start = request.spec.start ?? startDefaults[kind];
  checkStart(start, topic.spec.partitions);
  const spec = patchSubscriptionSpec(kind, subscriptionSpecDefaults[kind], request.spec);
  checkDeadLetterTopic(topic, spec);
  checkSubscriptionCount(state, topic);
  checkAmounts(state, topic.name, { subscriptions: 1 });
  const subscription: Subscription = {
    id: subscriptionId(takeId(state.counters.nextSubscriptionId, 1)),
    topicId: topic.id,
    name: request.name,
    kind,
    start,
    spec,
    revision: state.counters.nextRevision,
    createdAtMs: nowMs,
  };
  return {
    events: [{ kind: 'subscription-created', subscription }],
    changes: [
      `create ${kind} subscription ${request.name} on ${topic.name.full} at ` +
        `${describeStart(start)}: ${describeSubscriptionSpec(kind, spec)}`,
    ],
    created: true,
    topic,
    subscription,
  };
}

function planChange(
  state: CatalogState,
  topic: Topic,
  existing: Subscription,
  patch: SubscriptionSpecPatch,
): SubscriptionPlan {
  if (patch.kind !== undefined && patch.kind !== existing.kind) {
    throw new BrokerError(
      'SPEC_IMMUTABLE',
      `kind is fixed at creation: subscription ${quoted(existing.name)} is a ${existing.kind}; ` +
        `create another one for a ${patch.kind}`,
      { metadata: { field: 'kind', current: existing.kind } },
    );
  }
  const spec = patchSubscriptionSpec(existing.kind, existing.spec, patch);
  checkDeadLetterTopic(topic, spec);
  const changes = subscriptionSpecChanges(existing.spec, spec);
  if (changes.length === 0) {
    return { events: [], changes, created: false, topic, subscription: existing };
  }
  const subscription = { ...existing, spec, revision: state.counters.nextRevision };
  return {
    events: [{ kind: 'subscription-changed', subscription }],
    changes,
    created: false,
    topic,
    subscription,
  };
}

/** No record may leave its tenant, or come back to where it failed. */
function checkDeadLetterTopic(topic: Topic, { deadLetterTopic }: SubscriptionSpec): void {
  if (deadLetterTopic === '') return;
  if (deadLetterTopic === topic.name.full) {
    throw specInvalid('dead_letter_topic', deadLetterTopic, 'must be another topic than its own');
  }
  if (parseTopicName(deadLetterTopic).tenant !== topic.name.tenant) {
    throw specInvalid('dead_letter_topic', deadLetterTopic, 'must be of the same tenant');
  }
}

/** Deleted ones count until their cursors are gone, so that delete and create in a loop stays bounded. */
function checkSubscriptionCount(state: CatalogState, topic: Topic): void {
  const count = state.subscriptionCount(topic.id);
  if (count >= limits.subscriptionsPerTopicMax) {
    throw limitReached(
      'subscriptions of a topic',
      limits.subscriptionsPerTopicMax,
      'delete subscriptions that are no longer needed',
    );
  }
  if (count + state.subscriptionTombstoneCount(topic.id) >= limits.subscriptionsPerTopicMax) {
    throw limitReached(
      'subscriptions of a topic',
      limits.subscriptionsPerTopicMax,
      'the cursors of deleted ones are still being dropped; try again',
      tombstoneRetryMs,
    );
  }
}
