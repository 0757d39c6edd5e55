// The topics that are open in this broker, by name and by id, with the logs and subscriptions of their partitions.
//
// Invariants:
// - There is one OpenTopic per incarnation of a topic, for as long as the catalog has it.
// - What the catalog has deleted is dropped in the shards by its tombstone, and only then is the tombstone cleared.
import type { QuotaRegistry } from '../access/quota-registry.ts';
import type { TopicQuota } from '../access/topic-quota.ts';
import type { Tombstone } from '../catalog/catalog-events.ts';
import type { EffectivePolicy, Policy } from '../catalog/policy.ts';
import { planSubscriptionDropped } from '../catalog/subscription-plan.ts';
import { planTopicDropped } from '../catalog/topic-plan.ts';
import type { Subscription } from '../catalog/subscription.ts';
import { topicPolicy } from '../catalog/topic-policy.ts';
import type { Tenant } from '../catalog/tenant.ts';
import type { Topic } from '../catalog/topic.ts';
import { defined } from '../core/assert.ts';
import { BrokerError } from '../core/errors.ts';
import type { PartitionId, SubscriptionId, TopicId } from '../core/ids.ts';
import type { CatalogStore } from '../shard/catalog-store.ts';
import type { DeliveryTerms } from '../log/delivery-terms.ts';
import type { PartitionLog } from '../log/partition-log.ts';
import type { PartitionPolicy, ShardPolicies } from '../shard/policies.ts';
import type { Shard } from '../shard/shard.ts';
import type { BrokerParts } from './broker-parts.ts';
import type { ExpiringSubscription } from './idle-subscriptions.ts';
import {
  OpenSubscription,
  type SubscriptionPart,
  type SubscriptionPartition,
} from './open-subscription.ts';
import { OpenTopic, topicNotFound } from './open-topic.ts';

/** Where a subscription is in its partitions. */
export interface SubscriptionStatus {
  /** Full name. */
  readonly topic: string;
  readonly name: string;
  readonly partitions: readonly SubscriptionPartition[];
}

export class TopicDirectory {
  private readonly catalog: CatalogStore;
  private readonly shards: ReadonlyMap<string, Shard>;
  private readonly clusterPolicy: Policy;
  private readonly quotas: QuotaRegistry;
  private readonly byName = new Map<string, OpenTopic>();
  private readonly byId = new Map<TopicId, OpenTopic>();
  private readonly inForce = new Map<
    PartitionId,
    PartitionPolicy & { readonly quota: TopicQuota }
  >();
  readonly policies: ShardPolicies = { of: (partition) => this.inForce.get(partition) };

  constructor(
    catalog: CatalogStore,
    { shards, clusterPolicy }: Pick<BrokerParts, 'shards' | 'clusterPolicy'>,
    quotas: QuotaRegistry,
  ) {
    this.catalog = catalog;
    this.shards = shards;
    this.clusterPolicy = clusterPolicy;
    this.quotas = quotas;
  }

  /** Opens everything that the catalog has, and finishes deletions that a stop interrupted. */
  async open(): Promise<void> {
    const { state } = this.catalog;
    for (const topic of state.topics()) this.put(topic);
    for (const tombstone of [...state.tombstones()]) await this.bury(tombstone);
    for (const subscription of state.subscriptions()) await this.putSubscription(subscription);
    for (const shard of this.shards.values()) {
      shard.finishRecovery();
      shard.tier.start(this.policies);
    }
  }

  get count(): number {
    return this.byId.size;
  }

  /** By full name. Throws TOPIC_NOT_FOUND. */
  topic(fullName: string): OpenTopic {
    const topic = this.byName.get(fullName);
    if (topic === undefined) throw topicNotFound(fullName);
    return topic;
  }

  /** By full name. */
  find(fullName: string): OpenTopic | undefined {
    return this.byName.get(fullName);
  }

  findById(id: TopicId): OpenTopic | undefined {
    return this.byId.get(id);
  }

  hasSubscription(id: SubscriptionId): boolean {
    return this.catalog.state.subscriptionById(id) !== undefined;
  }

  byTopicId(id: TopicId): OpenTopic {
    return defined(this.byId.get(id), `open topic ${id}`);
  }

  /** A topic that was there when the request began. Throws TOPIC_NOT_FOUND: it was deleted meanwhile. */
  stillOpen({ id, name }: Topic): OpenTopic {
    const open = this.byId.get(id);
    if (open === undefined) throw topicNotFound(name.full);
    return open;
  }

  /** Opens a new topic, or takes over what changed in one. */
  put(topic: Topic): OpenTopic {
    const logs = topic.partitions.map((id, i) => this.shardOf(topic, i).partition(id));
    const inForce = this.takeInForce(topic);
    let open = this.byId.get(topic.id);
    if (open === undefined) {
      open = new OpenTopic(topic, logs, inForce);
      this.byId.set(topic.id, open);
    } else open.change(topic, logs, inForce.policy);
    this.byName.set(topic.name.full, open);
    return open;
  }

  /** What the tenant and its namespaces say now is in force for every open topic of it. */
  tenantChanged(tenant: Tenant): void {
    this.quotas.change(tenant);
    for (const open of this.byId.values()) {
      if (open.topic.tenantId === tenant.id) open.policy = this.takeInForce(open.topic).policy;
    }
  }

  openTopics(): OpenTopic[] {
    return [...this.byId.values()];
  }

  /** Of the tenant and namespace that the partition is of. */
  quotaOf(log: PartitionLog): TopicQuota | undefined {
    return this.inForce.get(log.id)?.quota;
  }

  /** Also of a topic that is only planned. */
  effectivePolicy(topic: Topic): EffectivePolicy {
    const { tenants } = this.catalog.state;
    return topicPolicy(this.clusterPolicy, tenants.require(topic.name.tenant), topic);
  }

  /** Opens a new subscription, or takes over what changed in it or in its topic's partitions. */
  async putSubscription(subscription: Subscription): Promise<void> {
    const { topic } = this.byTopicId(subscription.topicId);
    const { id, kind, start, spec } = subscription;
    const { paused, ...policy } = spec;
    const names = { topic: topic.name.full, subscription: subscription.name };
    for (const [name, partitions] of placesByShard(topic)) {
      const placement = { id, kind, policy, paused, names, start, partitions };
      const opened = await this.shard(name).openSubscription(placement);
      opened.applyPolicy(policy, paused);
    }
  }

  /** Throws BACKLOG_FULL when the topic refuses publishes because a subscription is too far behind. */
  admit(log: PartitionLog): void {
    const backlog = this.inForce.get(log.id)?.backlog;
    if (backlog === undefined || backlog.bytes === 0 || backlog.policy !== 'refuse_publish') return;
    const acked = Math.min(...[...this.shards.values()].map((shard) => shard.ackedBelow(log)));
    const bytes = log.storedBytesFrom(acked);
    if (bytes >= backlog.bytes) throw backlogFull(bytes, backlog.bytes);
  }

  /** How long queues deliver a batch: as it says or as its topic says, whichever is shorter. 0: always. */
  timeToLiveOf(log: PartitionLog, { timeToLiveMs }: DeliveryTerms): number {
    const ofTopic = this.inForce.get(log.id)?.timeToLiveMs ?? 0;
    if (ofTopic === 0 || timeToLiveMs === 0) return Math.max(ofTopic, timeToLiveMs);
    return Math.min(ofTopic, timeToLiveMs);
  }

  /** Subscriptions that are deleted when nobody consumes them. */
  *expiringSubscriptions(): Generator<ExpiringSubscription> {
    for (const subscription of this.catalog.state.subscriptions()) {
      const { id, name, spec } = subscription;
      const open = this.byId.get(subscription.topicId);
      if (spec.expiresAfterMs === 0 || open === undefined) continue;
      const consumers = Math.max(
        ...[...this.shards.values()].map((shard) => shard.subscription(id)?.consumerCount ?? 0),
      );
      const topic = open.topic.name.full;
      yield { id, topic, name, expiresAfterMs: spec.expiresAfterMs, consumers };
    }
  }

  /** Every subscription with its partitions, as of now. */
  *subscriptionStatuses(): Generator<SubscriptionStatus> {
    for (const subscription of this.catalog.state.subscriptions()) {
      const open = this.byId.get(subscription.topicId);
      if (open === undefined) continue;
      const partitions = this.openSubscription(open, subscription).status();
      yield { topic: open.topic.name.full, name: subscription.name, partitions };
    }
  }

  /** A subscription's parts in all shards of its topic. */
  openSubscription(topic: OpenTopic, subscription: Subscription): OpenSubscription {
    return new OpenSubscription(topic, subscription, this.partsOf(topic, subscription));
  }

  /** Takes a deleted object out of use at once, drops it durably in its shards, then clears its tombstone. */
  async bury(tombstone: Tombstone): Promise<void> {
    if (tombstone.of === 'topic') {
      const { topicId, name } = tombstone;
      this.remove(topicId);
      for (const { shard, partitions } of tombstone.pending) {
        const reason = topicNotFound(name);
        for (const id of tombstone.subscriptions) {
          await this.shard(shard).dropSubscription(id, partitions, reason);
        }
        await this.shard(shard).dropPartitions(partitions);
        for (const id of partitions) this.inForce.delete(id);
        await this.catalog.change((state) => ({
          events: planTopicDropped(state, topicId, shard),
        }));
      }
      return;
    }
    const { subscriptionId, name } = tombstone;
    for (const { shard, partitions } of tombstone.pending) {
      const reason = subscriptionDeleted(name);
      await this.shard(shard).dropSubscription(subscriptionId, partitions, reason);
      await this.catalog.change((state) => ({
        events: planSubscriptionDropped(state, subscriptionId, shard),
      }));
    }
  }

  /** For the shards, too. */
  private takeInForce(topic: Topic) {
    const policy = this.effectivePolicy(topic);
    const tenantOfTopic = this.catalog.state.tenants.require(topic.name.tenant);
    const quota = this.quotas.ofTopic(topic.name, tenantOfTopic);
    const { retention, tiering, backlogQuota, timeToLiveMs } = policy.values;
    const hot = { ageMs: tiering.hotAgeMs, bytes: tiering.hotBytes };
    const { tenantId: tenant } = topic;
    const ofShard = { tenant, retention, hot, backlog: backlogQuota, timeToLiveMs };
    for (const id of topic.partitions) this.inForce.set(id, { ...ofShard, quota });
    return { policy, quota };
  }

  private remove(id: TopicId): void {
    const open = this.byId.get(id);
    if (open === undefined) return;
    this.byId.delete(id);
    if (this.byName.get(open.topic.name.full) === open) this.byName.delete(open.topic.name.full);
    open.delete();
  }

  private partsOf(topic: OpenTopic, subscription: Subscription): SubscriptionPart[] {
    const names = new Set(topic.topic.shards);
    return [...names].map((name) => {
      const shard = this.shard(name);
      const part = shard.subscription(subscription.id);
      return { shard, subscription: defined(part, `subscription ${subscription.id} in ${name}`) };
    });
  }

  private shardOf(topic: Topic, partition: number): Shard {
    return this.shard(defined(topic.shards[partition], `shard of partition ${partition}`));
  }

  private shard(name: string): Shard {
    return defined(this.shards.get(name), `shard ${name}`);
  }
}

function placesByShard(topic: Topic): Map<string, { id: PartitionId; index: number }[]> {
  const places = new Map<string, { id: PartitionId; index: number }[]>();
  topic.partitions.forEach((id, index) => {
    const shard = defined(topic.shards[index], `shard of partition ${index}`);
    places.set(shard, [...(places.get(shard) ?? []), { id, index }]);
  });
  return places;
}

function backlogFull(bytes: number, quota: number): BrokerError {
  return new BrokerError(
    'BACKLOG_FULL',
    `${bytes} bytes of the partition wait for a subscription, and its topic's backlog quota is ${quota}; let consumers ` +
      'catch up, delete subscriptions that nobody needs, or raise the quota',
    { metadata: { quota: String(quota), backlog: String(bytes) }, retryAfterMs: backlogRetryMs },
  );
}

/** Acks free room all the time. */
const backlogRetryMs = 200;

function subscriptionDeleted(name: string): BrokerError {
  return new BrokerError(
    'SUBSCRIPTION_NOT_FOUND',
    `subscription ${name} was deleted; create it again to go on`,
    { metadata: { subscription: name } },
  );
}
