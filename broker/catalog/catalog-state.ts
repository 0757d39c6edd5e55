// Everything the catalog knows, in memory. Commands are decided in the `-plan` files, which only read this;
// what they decide comes back as an event once it is durable.
//
//   command → plan (reads the state) → events → journal → apply
//
// Plan and apply of one command must not interleave with those of another, or both plan with the same ids;
// `apply` asserts that.
//
// Invariants:
// - Ids and revisions are taken from counters that only rise; a deleted object's id never comes back.
// - Full names of topics are unique, and names of subscriptions within their topic.
// - A topic's tenant exists and a subscription's topic (during a replay: may still be to come).
// - A replay may begin anywhere at or before the checkpoint's first entry: what it knows at any place of the journal
//   is part of what was true there, and all of it once the checkpoint's last entry was applied.
import { assert, defined, unreachable } from '../core/assert.ts';
import { BrokerError } from '../core/errors.ts';
import type { SubscriptionId, TopicId } from '../core/ids.ts';
import { quoted } from '../core/quoted.ts';
import { GrantTable, TokenTable } from './access-tables.ts';
import type {
  CatalogCheckpointEntry,
  CatalogCounters,
  CatalogEvent,
  SubscriptionTombstone,
  Tombstone,
  TopicTombstone,
} from './catalog-events.ts';
import { DeadLetterJobIndex } from './dead-letter-jobs.ts';
import type { DeadLetterJob } from './dead-letter-job.ts';
import { NameIndex } from './name-index.ts';
import { everyName, namesWithin, type NameRange } from './name-ranges.ts';
import type { SubscriptionName, TopicName } from './names.ts';
import { pageOf, type Page, type PageRequest } from './page.ts';
import { ScopeCounts, type Amounts } from './scope-counts.ts';
import type { Subscription } from './subscription.ts';
import { publicTenant, type Tenant } from './tenant.ts';
import { Tenants } from './tenants.ts';
import type { Topic } from './topic.ts';

export type { CatalogCheckpointEntry, CatalogEvent } from './catalog-events.ts';

export class CatalogState {
  /** Data shards that take new partitions. */
  readonly shards: readonly string[];
  readonly deadLetterJobs = new DeadLetterJobIndex();
  readonly grants = new GrantTable();
  readonly tokens = new TokenTable();
  private next: CatalogCounters = {
    nextTopicId: 1,
    nextPartitionId: 1,
    nextSubscriptionId: 1,
    nextRevision: publicTenant.revision + 1,
    nextTenantId: publicTenant.id + 1,
  };
  /** To read; they change by events only. */
  readonly tenants = new Tenants();
  private readonly amounts = new ScopeCounts();
  private readonly topicsById = new Map<TopicId, Topic>();
  private readonly topicsByName = new Map<string, Topic>();
  private readonly topicNames = new NameIndex();
  private readonly subscriptionsById = new Map<SubscriptionId, Subscription>();
  private readonly subscriptionsByTopic = new Map<TopicId, Map<string, Subscription>>();
  private readonly topicTombstones = new Map<TopicId, TopicTombstone>();
  private readonly subscriptionTombstones = new Map<SubscriptionId, SubscriptionTombstone>();
  private readonly partitionCounts = new Map<string, number>();

  constructor(shards: readonly string[] = ['0']) {
    assert(shards.length > 0, 'a catalog needs a data shard');
    this.shards = shards;
  }

  get counters(): CatalogCounters {
    return this.next;
  }

  get topicCount(): number {
    return this.topicsById.size;
  }

  get topicTombstoneCount(): number {
    return this.topicTombstones.size;
  }

  /** What `tenant` or `tenant/namespace` has. */
  amountsOf(scope: string): Amounts {
    return this.amounts.of(scope);
  }

  /** Partitions of live topics in one shard. */
  partitionCount(shard: string): number {
    return this.partitionCounts.get(shard) ?? 0;
  }

  /** Partitions of live topics in all shards. */
  get partitionCountOfAll(): number {
    let sum = 0;
    for (const count of this.partitionCounts.values()) sum += count;
    return sum;
  }

  /** Shards that hold partitions of live or deleted topics: they must be open, also if they take no new ones. */
  shardsInUse(): ReadonlySet<string> {
    const names = new Set(this.partitionCounts.keys());
    for (const { pending } of this.tombstones()) for (const { shard } of pending) names.add(shard);
    return names;
  }

  topics(): IterableIterator<Topic> {
    return this.topicsById.values();
  }

  subscriptions(): IterableIterator<Subscription> {
    return this.subscriptionsById.values();
  }

  get allSubscriptionsCount(): number {
    return this.subscriptionsById.size;
  }

  /** What the shards have still to drop. */
  *tombstones(): Generator<Tombstone, void> {
    yield* this.topicTombstones.values();
    yield* this.subscriptionTombstones.values();
  }

  topicTombstone(id: TopicId): TopicTombstone | undefined {
    return this.topicTombstones.get(id);
  }

  subscriptionTombstone(id: SubscriptionId): SubscriptionTombstone | undefined {
    return this.subscriptionTombstones.get(id);
  }

  subscriptionTombstoneCount(topicId: TopicId): number {
    let count = 0;
    for (const tombstone of this.subscriptionTombstones.values()) {
      if (tombstone.topicId === topicId) count++;
    }
    return count;
  }

  topic(name: TopicName): Topic | undefined {
    return this.topicsByName.get(name.full);
  }

  topicById(id: TopicId): Topic | undefined {
    return this.topicsById.get(id);
  }

  /** Throws TENANT_NOT_FOUND, TOPIC_NOT_FOUND. */
  requireTopic(name: TopicName): Topic {
    this.tenants.require(name.tenant);
    const topic = this.topic(name);
    if (topic === undefined) {
      throw new BrokerError(
        'TOPIC_NOT_FOUND',
        `there is no topic ${quoted(name.full)}; create it first`,
        { metadata: { topic: name.full } },
      );
    }
    return topic;
  }

  subscription(topicId: TopicId, name: SubscriptionName): Subscription | undefined {
    return this.subscriptionsByTopic.get(topicId)?.get(name);
  }

  subscriptionById(id: SubscriptionId): Subscription | undefined {
    return this.subscriptionsById.get(id);
  }

  /** Throws SUBSCRIPTION_NOT_FOUND. */
  requireSubscription(topic: Topic, name: SubscriptionName): Subscription {
    const subscription = this.subscription(topic.id, name);
    if (subscription === undefined) {
      throw new BrokerError(
        'SUBSCRIPTION_NOT_FOUND',
        `there is no subscription ${quoted(name)} on topic ${quoted(topic.name.full)}; ` +
          'create it first',
        { metadata: { topic: topic.name.full, subscription: name } },
      );
    }
    return subscription;
  }

  subscriptionsOf(topicId: TopicId): Iterable<Subscription> {
    return this.subscriptionsByTopic.get(topicId)?.values() ?? [];
  }

  subscriptionCount(topicId: TopicId): number {
    return this.subscriptionsByTopic.get(topicId)?.size ?? 0;
  }

  /** Topics in the order of full names: those with the prefix that lie in the ranges. Throws ARGUMENT_INVALID. */
  listTopics(
    prefix: string,
    request: PageRequest,
    within: readonly NameRange[] = [everyName],
  ): Page<Topic> {
    return pageOf(
      request,
      prefix,
      (text) => namesWithin(this.topicNames, within, text),
      (name) => defined(this.topicsByName.get(name), `topic ${name}`),
    );
  }

  /** Subscriptions of one topic in the order of their names. Throws ARGUMENT_INVALID. */
  listSubscriptions(topicId: TopicId, request: PageRequest): Page<Subscription> {
    const byName = this.subscriptionsByTopic.get(topicId) ?? new Map<string, Subscription>();
    // At most `subscriptionsPerTopicMax`: sorting them again for each page is cheaper than an index per topic.
    const names = [...byName.keys()].sort();
    return pageOf(
      request,
      '',
      (text) => names.filter((name) => name >= text),
      (name) => defined(byName.get(name), `subscription ${name}`),
    );
  }

  /** Takes in what is durable. */
  apply(event: CatalogEvent): void {
    switch (event.kind) {
      case 'topic-created':
        assert(!this.topicsByName.has(event.topic.name.full), 'a created topic has a new name');
        assert(event.topic.id >= this.next.nextTopicId, 'a created topic has a new id');
        return this.putTopic(event.topic);
      case 'topic-changed':
        return this.putTopic(event.topic);
      case 'topic-deleted':
        this.removeTopic(event.tombstone.topicId);
        this.topicTombstones.set(event.tombstone.topicId, event.tombstone);
        return;
      case 'subscription-created':
        assert(
          event.subscription.id >= this.next.nextSubscriptionId,
          'a created subscription has a new id',
        );
        return this.putSubscription(event.subscription);
      case 'subscription-changed':
        return this.putSubscription(event.subscription);
      case 'subscription-deleted':
        this.removeSubscription(event.tombstone.subscriptionId);
        this.subscriptionTombstones.set(event.tombstone.subscriptionId, event.tombstone);
        return;
      case 'dead-letter-job-put':
        return this.putDeadLetterJob(event.job);
      case 'dead-letter-job-forgotten':
        return this.deadLetterJobs.forget(event.id);
      case 'tenant-created':
        assert(event.tenant.id >= this.next.nextTenantId, 'a created tenant has a new id');
        return this.putTenant(event.tenant);
      case 'tenant-changed':
        return this.putTenant(event.tenant);
      case 'tenant-deleted':
        return this.tenants.remove(event.id);
      case 'tombstone-cleared':
        if (event.of === 'topic') clearShard(this.topicTombstones, event.id, event.shard);
        else clearShard(this.subscriptionTombstones, event.id, event.shard);
        return;
      case 'grant-changed':
        this.grants.put(event.grant);
        return this.sawRevision(event.grant.revision);
      case 'grant-removed':
        return this.grants.remove(event);
      case 'token-created':
        this.tokens.put(event.token);
        return this.sawRevision(event.token.revision);
      case 'token-removed':
        return this.tokens.remove(event);
      default:
        return unreachable(event);
    }
  }

  /**
   * The entries of a checkpoint. When one is taken, every event journaled before must have been applied, and it must
   * be journaled before any later event: an entry that is older than an event before it would undo that event.
   * Between two entries events may come and go.
   */
  *checkpoint(): Generator<CatalogCheckpointEntry, void> {
    // A Map's iterator survives changes: what is added is visited, what is removed is not.
    yield { kind: 'counters', counters: this.next };
    for (const tenant of this.tenants.all()) yield { kind: 'tenant', tenant };
    for (const topic of this.topicsById.values()) yield { kind: 'topic', topic };
    for (const subscription of this.subscriptionsById.values()) {
      yield { kind: 'subscription', subscription };
    }
    for (const job of this.deadLetterJobs.all()) yield { kind: 'dead-letter-job', job };
    for (const tombstone of this.tombstones()) yield { kind: 'tombstone', tombstone };
    for (const grant of this.grants.all()) yield { kind: 'grant', grant };
    for (const token of this.tokens.all()) yield { kind: 'token', token };
  }

  /** Takes in one entry of a checkpoint, at its place in the journal. */
  restore(entry: CatalogCheckpointEntry): void {
    switch (entry.kind) {
      case 'counters':
        return this.raise(entry.counters);
      case 'tenant':
        assertNotOlder(entry.tenant, this.tenants.withId(entry.tenant.id));
        return this.putTenant(entry.tenant);
      case 'topic':
        assertNotOlder(entry.topic, this.topicsById.get(entry.topic.id));
        return this.putTopic(entry.topic);
      case 'subscription':
        assertNotOlder(entry.subscription, this.subscriptionsById.get(entry.subscription.id));
        return this.putSubscription(entry.subscription);
      case 'dead-letter-job':
        return this.putDeadLetterJob(entry.job);
      case 'tombstone':
        if (entry.tombstone.of === 'topic') {
          this.topicTombstones.set(entry.tombstone.topicId, entry.tombstone);
        } else {
          this.subscriptionTombstones.set(entry.tombstone.subscriptionId, entry.tombstone);
        }
        return;
      case 'grant':
        this.grants.put(entry.grant);
        return this.sawRevision(entry.grant.revision);
      case 'token':
        this.tokens.put(entry.token);
        return this.sawRevision(entry.token.revision);
      default:
        return unreachable(entry);
    }
  }

  /** Call at the end of a replay. Throws DATA_LOSS when objects do not fit together. */
  check(): void {
    for (const topic of this.topicsById.values()) {
      if (this.tenants.named(topic.name.tenant)?.id === topic.tenantId) continue;
      throw new BrokerError(
        'DATA_LOSS',
        `the catalog's journal has topic ${topic.id} but not its tenant ${topic.tenantId}; restore the volume from a ` +
          'backup',
        { metadata: { topic_id: String(topic.id), tenant_id: String(topic.tenantId) } },
      );
    }
    for (const subscription of this.subscriptionsById.values()) {
      if (this.topicsById.has(subscription.topicId)) continue;
      throw new BrokerError(
        'DATA_LOSS',
        `the catalog's journal has subscription ${subscription.id} but not its topic ` +
          `${subscription.topicId}; restore the volume from a backup`,
        { metadata: { subscription_id: String(subscription.id) } },
      );
    }
  }

  private putTenant(tenant: Tenant): void {
    this.tenants.put(tenant);
    this.raise({
      ...this.next,
      nextTenantId: tenant.id + 1,
      nextRevision: tenant.revision + 1,
    });
  }

  private putTopic(topic: Topic): void {
    const old = this.topicsById.get(topic.id);
    const holder = this.topicsByName.get(topic.name.full);
    assert(holder === old, `topic name ${topic.name.full} belongs to one topic`);
    assert(topic.partitions.length === topic.spec.partitions, 'every partition has an id');
    assert(topic.shards.length === topic.spec.partitions, 'every partition has a shard');
    if (old !== undefined) this.countTopic(old, -1);
    this.countTopic(topic, 1);
    this.topicsById.set(topic.id, topic);
    this.topicsByName.set(topic.name.full, topic);
    this.topicNames.add(topic.name.full);
    this.raise({
      ...this.next,
      nextTopicId: topic.id + 1,
      nextPartitionId: (topic.partitions.at(-1) ?? 0) + 1,
      nextRevision: topic.revision + 1,
    });
  }

  private removeTopic(id: TopicId): void {
    const topic = this.topicsById.get(id);
    if (topic !== undefined) this.countTopic(topic, -1);
    for (const subscription of this.subscriptionsOf(id)) {
      this.subscriptionsById.delete(subscription.id);
    }
    this.subscriptionsByTopic.delete(id);
    this.deadLetterJobs.forgetTopic(id);
    if (topic === undefined) return;
    this.topicsById.delete(id);
    this.topicsByName.delete(topic.name.full);
    this.topicNames.remove(topic.name.full);
  }

  private putSubscription(subscription: Subscription): void {
    let byName = this.subscriptionsByTopic.get(subscription.topicId);
    if (byName === undefined) {
      byName = new Map();
      this.subscriptionsByTopic.set(subscription.topicId, byName);
    }
    const holder = byName.get(subscription.name);
    assert(
      holder === undefined || holder.id === subscription.id,
      `subscription name ${subscription.name} belongs to one subscription of its topic`,
    );
    if (holder === undefined) this.countSubscription(subscription, 1);
    byName.set(subscription.name, subscription);
    this.subscriptionsById.set(subscription.id, subscription);
    this.raise({
      ...this.next,
      nextSubscriptionId: subscription.id + 1,
      nextRevision: subscription.revision + 1,
    });
  }

  private putDeadLetterJob(job: DeadLetterJob): void {
    this.deadLetterJobs.put(job);
    this.raise({ ...this.next, nextRevision: job.id + 1 });
  }

  private removeSubscription(id: SubscriptionId): void {
    this.deadLetterJobs.forgetSubscription(id);
    const subscription = this.subscriptionsById.get(id);
    if (subscription === undefined) return;
    this.subscriptionsById.delete(id);
    const byName = defined(
      this.subscriptionsByTopic.get(subscription.topicId),
      `names of topic ${subscription.topicId}`,
    );
    byName.delete(subscription.name);
    this.countSubscription(subscription, -1);
    if (byName.size === 0) this.subscriptionsByTopic.delete(subscription.topicId);
  }

  /** With what it has: in a replay its subscriptions may have come before it. */
  private countTopic(topic: Topic, sign: 1 | -1): void {
    this.amounts.add(topic.name, {
      topics: sign,
      partitions: sign * topic.partitions.length,
      subscriptions: sign * this.subscriptionCount(topic.id),
    });
    for (const shard of topic.shards) {
      const count = this.partitionCount(shard) + sign;
      if (count === 0) this.partitionCounts.delete(shard);
      else this.partitionCounts.set(shard, count);
    }
  }

  private countSubscription({ topicId }: Subscription, sign: 1 | -1): void {
    const topic = this.topicsById.get(topicId);
    if (topic !== undefined) this.amounts.add(topic.name, { subscriptions: sign });
  }

  private sawRevision(revision: number): void {
    this.raise({ ...this.next, nextRevision: revision + 1 });
  }

  private raise(counters: CatalogCounters): void {
    const { next } = this;
    this.next = {
      nextTopicId: Math.max(next.nextTopicId, counters.nextTopicId),
      nextPartitionId: Math.max(next.nextPartitionId, counters.nextPartitionId),
      nextSubscriptionId: Math.max(next.nextSubscriptionId, counters.nextSubscriptionId),
      nextRevision: Math.max(next.nextRevision, counters.nextRevision),
      nextTenantId: Math.max(next.nextTenantId, counters.nextTenantId),
    };
  }
}

/** An older entry behind a newer event was taken before that event was applied: see `checkpoint`. */
function assertNotOlder(
  entry: Tenant | Topic | Subscription,
  known: Tenant | Topic | Subscription | undefined,
): void {
  if (known === undefined) return;
  assert(
    entry.revision >= known.revision,
    `checkpoint entry ${entry.id} has revision ${entry.revision}, an event before it ` +
      String(known.revision),
  );
}

function clearShard<Id, T extends Tombstone>(tombstones: Map<Id, T>, id: Id, shard: string): void {
  const tombstone = tombstones.get(id);
  if (tombstone === undefined) return;
  const pending = tombstone.pending.filter((part) => part.shard !== shard);
  if (pending.length === 0) tombstones.delete(id);
  else tombstones.set(id, { ...tombstone, pending });
}
