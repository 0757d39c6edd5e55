// Decides what a command on a topic changes. Pure: reads the state, answers events, applies nothing.
import { BrokerError } from '../core/errors.ts';
import { partitionId, topicId, type SubscriptionId, type TopicId } from '../core/ids.ts';
import { limits } from '../core/limits.ts';
import { quoted } from '../core/quoted.ts';
import { checkAmounts } from './amounts-plan.ts';
import type { CatalogEvent, TopicTombstone } from './catalog-events.ts';
import type { CatalogState } from './catalog-state.ts';
import { limitReached, takeId } from './limit-reached.ts';
import type { TopicName } from './names.ts';
import { checkRevision } from './revision.ts';
import type { Tenant } from './tenant.ts';
import {
  describeTopicSpec,
  partitionsByShard,
  patchTopicSpec,
  topicSpecChanges,
  topicSpecDefault,
  type Topic,
  type TopicSpec,
  type TopicSpecPatch,
} from './topic.ts';

export interface ApplyTopic {
  readonly name: TopicName;
  readonly spec: TopicSpecPatch;
  /** As in topic.proto: empty for any, `0` for "must not exist yet". */
  readonly revision?: string | undefined;
  readonly dryRun?: boolean | undefined;
}

export interface TopicPlan {
  /** Empty when there is nothing to do, and in a dry run. */
  readonly events: readonly CatalogEvent[];
  /** One line per change, for people; also in a dry run. */
  readonly changes: readonly string[];
  readonly created: boolean;
  /** As it is after the events. Ids and revision of a dry run are not given yet: do not show them. */
  readonly topic: Topic;
}

/** A shard drops a deleted topic in much less, unless it is in trouble. */
const tombstoneRetryMs = 1_000;

/** Throws TENANT_NOT_FOUND, REVISION_MISMATCH, SPEC_INVALID, SPEC_IMMUTABLE, LIMIT_REACHED, QUOTA_EXCEEDED. */
export function planApplyTopic(state: CatalogState, request: ApplyTopic, nowMs: number): TopicPlan {
  const tenant = state.tenants.require(request.name.tenant);
  const existing = state.topic(request.name);
  checkRevision(`topic ${quoted(request.name.full)}`, request.revision, existing?.revision);
  const plan =
    existing === undefined
      ? planCreate(state, tenant, request, nowMs)
      : planChange(state, existing, request.spec);
  return request.dryRun === true ? { ...plan, events: [] } : plan;
}

/**
 * `id`: only this incarnation; empty or undefined for whichever is there.
 * Throws TENANT_NOT_FOUND, TOPIC_NOT_FOUND, TOPIC_ID_MISMATCH.
 */
export function planDeleteTopic(
  state: CatalogState,
  name: TopicName,
  id?: string,
): { readonly events: readonly CatalogEvent[]; readonly topic: Topic } {
  const topic = state.requireTopic(name);
  if (id !== undefined && id !== '' && id !== String(topic.id)) {
    throw new BrokerError(
      'TOPIC_ID_MISMATCH',
      `topic ${quoted(name.full)} has id ${topic.id}, not ${quoted(id)}: it was deleted and ` +
        'created again; nothing was deleted now',
      { metadata: { topic_id: String(topic.id) } },
    );
  }
  const subscriptions: SubscriptionId[] = [];
  for (const subscription of state.subscriptionsOf(topic.id)) subscriptions.push(subscription.id);
  const tombstone: TopicTombstone = {
    of: 'topic',
    topicId: topic.id,
    name: topic.name.full,
    subscriptions,
    pending: partitionsByShard(topic),
  };
  return { events: [{ kind: 'topic-deleted', tombstone }], topic };
}

/** The shard has durably dropped its part of a deleted topic; no event when that was said before. */
export function planTopicDropped(
  state: CatalogState,
  id: TopicId,
  shard: string,
): readonly CatalogEvent[] {
  const pending = state.topicTombstone(id)?.pending ?? [];
  if (!pending.some((part) => part.shard === shard)) return [];
  return [{ kind: 'tombstone-cleared', of: 'topic', id, shard }];
}

function planCreate(
  state: CatalogState,
  tenant: Tenant,
  request: ApplyTopic,
  nowMs: number,
): TopicPlan {
  const spec = patchTopicSpec(topicSpecDefault, request.spec);
  checkTopicCount(state);
  checkAmounts(state, request.name, { topics: 1 });
  const topic: Topic = {
    id: topicId(takeId(state.counters.nextTopicId, 1)),
    name: request.name,
    tenantId: tenant.id,
    ...addPartitions(state, request.name, undefined, spec),
    spec,
    revision: state.counters.nextRevision,
    createdAtMs: nowMs,
  };
  return {
    events: [{ kind: 'topic-created', topic }],
    changes: [`create topic ${request.name.full}: ${describeTopicSpec(spec)}`],
    created: true,
    topic,
  };
}

function planChange(state: CatalogState, existing: Topic, patch: TopicSpecPatch): TopicPlan {
  const spec = patchTopicSpec(existing.spec, patch);
  if (spec.partitions < existing.spec.partitions) {
    throw new BrokerError(
      'SPEC_IMMUTABLE',
      `partitions is ${spec.partitions}, but the topic has ${existing.spec.partitions}, and ` +
        'partitions are never removed; create another topic and move the records',
      { metadata: { field: 'partitions', current: String(existing.spec.partitions) } },
    );
  }
  if (spec.partitions > existing.spec.partitions) checkNoKeyedQueue(state, existing);
  const changes = topicSpecChanges(existing.spec, spec);
  if (changes.length === 0) return { events: [], changes, created: false, topic: existing };
  const topic: Topic = {
    ...existing,
    ...addPartitions(state, existing.name, existing, spec),
    spec,
    revision: state.counters.nextRevision,
  };
  return { events: [{ kind: 'topic-changed', topic }], changes, created: false, topic };
}

/** With more partitions a key's next record would go to another one than those that still wait. */
function checkNoKeyedQueue(state: CatalogState, { id, spec }: Topic): void {
  for (const { kind, name } of state.subscriptionsOf(id)) {
    if (kind !== 'keyed_queue') continue;
    throw new BrokerError(
      'SPEC_IMMUTABLE',
      `partitions cannot be added while the keyed queue ${name} relies on the order of keys; work it off and delete ` +
        'it first',
      { metadata: { field: 'partitions', current: String(spec.partitions), subscription: name } },
    );
  }
}

/** Ids and shards of all partitions: those there are, then new ones, each in the shard that has fewest. */
function addPartitions(
  state: CatalogState,
  name: TopicName,
  existing: Topic | undefined,
  spec: TopicSpec,
): Pick<Topic, 'partitions' | 'shards'> {
  const partitions = [...(existing?.partitions ?? [])];
  const shards = [...(existing?.shards ?? [])];
  const added = spec.partitions - partitions.length;
  if (added === 0) return { partitions, shards };
  if (state.partitionCountOfAll + added > limits.partitionsMax) {
    throw limitReached(
      'partitions',
      limits.partitionsMax,
      'delete topics, or use fewer partitions',
    );
  }
  checkAmounts(state, name, { partitions: added });
  const firstId = takeId(state.counters.nextPartitionId, added);
  const counts = state.shards.map((shard) => state.partitionCount(shard));
  for (let i = 0; i < added; i++) {
    const place = counts.indexOf(Math.min(...counts));
    counts[place] = (counts[place] ?? 0) + 1;
    partitions.push(partitionId(firstId + i));
    shards.push(state.shards[place] ?? '');
  }
  return { partitions, shards };
}

/** Deleted topics count until their data is gone, so that delete and create in a loop stays bounded. */
function checkTopicCount(state: CatalogState): void {
  if (state.topicCount >= limits.topicsMax) {
    throw limitReached('topics', limits.topicsMax, 'delete topics that are no longer needed');
  }
  if (state.topicCount + state.topicTombstoneCount >= limits.topicsMax) {
    throw limitReached(
      'topics',
      limits.topicsMax,
      'the data of deleted ones is still being dropped; try again',
      tombstoneRetryMs,
    );
  }
}
