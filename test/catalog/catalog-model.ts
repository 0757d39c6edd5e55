// The catalog as the API describes it, slow and obvious: lists of plain objects that every command searches through.
// It knows nothing of events, ids to come or indexes; it says what a command answers and what is there afterwards.
import type { ErrorReason } from '../../broker/core/errors.ts';
import type { CatalogState } from '../../broker/catalog/catalog-state.ts';

export interface ModelSubscription {
  readonly name: string;
  readonly kind: 'stream' | 'queue';
  ackDeadlineMs: number;
  paused: boolean;
  id: number;
  revision: number;
}

export interface ModelTopic {
  readonly name: string;
  partitions: number;
  batchBytesMax: number;
  id: number;
  revision: number;
  subscriptions: ModelSubscription[];
}

export interface ModelTenant {
  readonly name: string;
  /** 0: no limit. */
  topicsMax: number;
  subscriptionsMax: number;
  id: number;
  revision: number;
}

export type Outcome = 'created' | 'changed' | 'same' | 'done' | ErrorReason;

export interface TopicWish {
  readonly name: string;
  readonly partitions: number | undefined;
  readonly batchBytesMax: number | undefined;
  readonly revision: string;
}

export interface TenantWish {
  readonly name: string;
  readonly topicsMax: number | undefined;
  readonly subscriptionsMax: number | undefined;
  readonly revision: string;
}

export interface SubscriptionWish {
  readonly topic: string;
  readonly name: string;
  readonly kind: 'stream' | 'queue' | undefined;
  readonly ackDeadlineMs: number | undefined;
  readonly paused: boolean | undefined;
  readonly revision: string;
}

export class CatalogModel {
  topics: ModelTopic[] = [];
  tenants: ModelTenant[] = [
    { name: 'public', topicsMax: 0, subscriptionsMax: 0, id: 1, revision: 1 },
  ];
  /** `topic <id>` and `subscription <id>` of what was deleted and not yet dropped by its shard. */
  tombstones: string[] = [];

  find(name: string): ModelTopic | undefined {
    return this.topics.find((topic) => topic.name === name);
  }

  subscription(topic: string, name: string): ModelSubscription | undefined {
    return this.find(topic)?.subscriptions.find((subscription) => subscription.name === name);
  }

  tenant(name: string): ModelTenant | undefined {
    return this.tenants.find((tenant) => tenant.name === name);
  }

  topicsOf(tenant: string): ModelTopic[] {
    return this.topics.filter(({ name }) => tenantOf(name) === tenant);
  }

  applyTenant(wish: TenantWish): Outcome {
    const tenant = this.tenant(wish.name);
    if (!fits(wish.revision, tenant?.revision)) return 'REVISION_MISMATCH';
    const topicsMax = wish.topicsMax ?? tenant?.topicsMax ?? 0;
    const subscriptionsMax = wish.subscriptionsMax ?? tenant?.subscriptionsMax ?? 0;
    if (tenant === undefined) {
      const { name } = wish;
      this.tenants.push({ name, topicsMax, subscriptionsMax, id: 0, revision: 0 });
      return 'created';
    }
    if (topicsMax === tenant.topicsMax && subscriptionsMax === tenant.subscriptionsMax) {
      return 'same';
    }
    Object.assign(tenant, { topicsMax, subscriptionsMax });
    return 'changed';
  }

  deleteTenant(name: string): Outcome {
    const tenant = this.tenant(name);
    if (tenant === undefined) return 'TENANT_NOT_FOUND';
    if (name === 'public') return 'ARGUMENT_INVALID';
    if (this.topicsOf(name).length > 0) return 'TENANT_NOT_EMPTY';
    this.tenants = this.tenants.filter((other) => other !== tenant);
    return 'done';
  }

  applyTopic(wish: TopicWish): Outcome {
    const tenant = this.tenant(tenantOf(wish.name));
    if (tenant === undefined) return 'TENANT_NOT_FOUND';
    const topic = this.find(wish.name);
    if (!fits(wish.revision, topic?.revision)) return 'REVISION_MISMATCH';
    const partitions = wish.partitions ?? topic?.partitions ?? 1;
    const batchBytesMax = wish.batchBytesMax ?? topic?.batchBytesMax ?? 1024 * 1024;
    if (partitions < 1 || batchBytesMax < 1024) return 'SPEC_INVALID';
    if (topic === undefined) {
      if (isFull(tenant.topicsMax, this.topicsOf(tenant.name).length)) return 'QUOTA_EXCEEDED';
      const { name } = wish;
      this.topics.push({ name, partitions, batchBytesMax, id: 0, revision: 0, subscriptions: [] });
      return 'created';
    }
    if (partitions < topic.partitions) return 'SPEC_IMMUTABLE';
    if (partitions === topic.partitions && batchBytesMax === topic.batchBytesMax) return 'same';
    Object.assign(topic, { partitions, batchBytesMax });
    return 'changed';
  }

  deleteTopic(name: string): Outcome {
    if (this.tenant(tenantOf(name)) === undefined) return 'TENANT_NOT_FOUND';
    const topic = this.find(name);
    if (topic === undefined) return 'TOPIC_NOT_FOUND';
    this.topics = this.topics.filter((other) => other !== topic);
    this.tombstones.push(`topic ${topic.id}`);
    return 'done';
  }

  applySubscription(wish: SubscriptionWish): Outcome {
    const tenant = this.tenant(tenantOf(wish.topic));
    if (tenant === undefined) return 'TENANT_NOT_FOUND';
    const topic = this.find(wish.topic);
    if (topic === undefined) return 'TOPIC_NOT_FOUND';
    const found = this.subscription(wish.topic, wish.name);
    if (!fits(wish.revision, found?.revision)) return 'REVISION_MISMATCH';
    const kind = found?.kind ?? wish.kind;
    if (kind === undefined) return 'SPEC_INVALID';
    if (wish.kind !== undefined && wish.kind !== kind) return 'SPEC_IMMUTABLE';
    const ackDeadlineMs =
      wish.ackDeadlineMs ?? found?.ackDeadlineMs ?? (kind === 'queue' ? 30_000 : 0);
    const paused = wish.paused ?? found?.paused ?? false;
    if (kind === 'stream' ? ackDeadlineMs !== 0 : ackDeadlineMs < 1000) return 'SPEC_INVALID';
    if (found === undefined) {
      const count = this.topicsOf(tenant.name).flatMap(({ subscriptions }) => subscriptions).length;
      if (isFull(tenant.subscriptionsMax, count)) return 'QUOTA_EXCEEDED';
      const { name } = wish;
      topic.subscriptions.push({ name, kind, ackDeadlineMs, paused, id: 0, revision: 0 });
      return 'created';
    }
    if (found.ackDeadlineMs === ackDeadlineMs && found.paused === paused) return 'same';
    Object.assign(found, { ackDeadlineMs, paused });
    return 'changed';
  }

  deleteSubscription(topicName: string, name: string): Outcome {
    if (this.tenant(tenantOf(topicName)) === undefined) return 'TENANT_NOT_FOUND';
    const topic = this.find(topicName);
    if (topic === undefined) return 'TOPIC_NOT_FOUND';
    const found = this.subscription(topicName, name);
    if (found === undefined) return 'SUBSCRIPTION_NOT_FOUND';
    topic.subscriptions = topic.subscriptions.filter((other) => other !== found);
    this.tombstones.push(`subscription ${found.id}`);
    return 'done';
  }

  /** What must be there, in the shape of `viewOf`. */
  view(): unknown {
    return {
      tenants: [...this.tenants]
        .sort((a, b) => (a.name < b.name ? -1 : 1))
        .map((tenant) => {
          const topics = this.topicsOf(tenant.name);
          return {
            ...tenant,
            amounts: {
              topics: topics.length,
              partitions: topics.reduce((sum, { partitions }) => sum + partitions, 0),
              subscriptions: topics.flatMap(({ subscriptions }) => subscriptions).length,
            },
          };
        }),
      topics: [...this.topics]
        .sort((a, b) => (a.name < b.name ? -1 : 1))
        .map((topic) => ({
          ...topic,
          subscriptions: [...topic.subscriptions].sort((a, b) => (a.name < b.name ? -1 : 1)),
        })),
      tombstones: [...this.tombstones].sort(),
    };
  }
}

/** What the catalog shows, found through its listings and lookups by name. */
export function viewOf(state: CatalogState): unknown {
  return {
    tenants: state.tenants.list({ pageSize: 1_000 }).items.map(({ name, spec, id, revision }) => ({
      name,
      topicsMax: spec.quota.topics,
      subscriptionsMax: spec.quota.subscriptions,
      id,
      revision,
      amounts: state.amountsOf(name),
    })),
    topics: state.listTopics('', { pageSize: 1_000 }).items.map((topic) => ({
      name: topic.name.full,
      partitions: topic.spec.partitions,
      batchBytesMax: topic.spec.batchBytesMax ?? 1024 * 1024,
      id: topic.id,
      revision: topic.revision,
      subscriptions: state
        .listSubscriptions(topic.id, { pageSize: 1_000 })
        .items.map(({ name, kind, spec, id, revision }) => ({
          name,
          kind,
          ackDeadlineMs: spec.ackDeadlineMs,
          paused: spec.paused,
          id,
          revision,
        })),
    })),
    tombstones: [...state.tombstones()]
      .map((t) => (t.of === 'topic' ? `topic ${t.topicId}` : `subscription ${t.subscriptionId}`))
      .sort(),
  };
}

function tenantOf(topic: string): string {
  return topic.slice(0, topic.indexOf('/'));
}

function isFull(max: number, count: number): boolean {
  return max !== 0 && count >= max;
}

function fits(expected: string, revision: number | undefined): boolean {
  return expected === '' || expected === String(revision ?? 0);
}
