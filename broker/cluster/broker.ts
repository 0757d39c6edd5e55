// The in-process interface of the broker: what every service calls, whatever protocol it speaks.
//
// Invariants:
// - A change of the catalog is durable before the shards follow it, and both before the caller has its answer.
// - Publishing is admitted against the disk and the quotas here, in one place, for every way of publishing.
import { QuotaRegistry } from '../access/quota-registry.ts';
import type { PublishMode } from '../access/topic-quota.ts';
import type { NameRange } from '../catalog/name-ranges.ts';
import {
  parseConsumerName,
  parsePublisherName,
  parseSubscriptionName,
  parseTopicName,
  type SubscriptionName,
  type TopicName,
} from '../catalog/names.ts';
import type { Page, PageRequest } from '../catalog/page.ts';
import type { EffectivePolicy } from '../catalog/policy.ts';
import { planApplySubscription, planDeleteSubscription } from '../catalog/subscription-plan.ts';
import type {
  StartPosition,
  Subscription,
  SubscriptionKind,
  SubscriptionSpecPatch,
} from '../catalog/subscription.ts';
import { planApplyTopic, planDeleteTopic } from '../catalog/topic-plan.ts';
import { partitionsByShard, type Topic, type TopicSpecPatch } from '../catalog/topic.ts';
import { ByteBudget } from '../core/byte-budget.ts';
import type { Clock } from '../core/clock.ts';
import { eachInTurn } from '../core/each-in-turn.ts';
import { BrokerError } from '../core/errors.ts';
import type { WhenDurable } from '../log/append-entry.ts';
import { plainTerms } from '../log/delivery-terms.ts';
import type { AppendRequest, PartitionLog } from '../log/partition-log.ts';
import type { BrokerParts, SeekTargets } from './broker-parts.ts';
import { DeadLetterTopics } from './dead-letter-topics.ts';
import { DeadLetters } from './dead-letters.ts';
import * as figures from './figures.ts';
import { IdleSubscriptions } from './idle-subscriptions.ts';
import { openPublisher, type OpenPublisher } from './open-publisher.ts';
import type { OpenSubscription, SubscriptionPartition } from './open-subscription.ts';
import type { OpenTopic } from './open-topic.ts';
import { resolvePosition } from './positions.ts';
import { TenantAdmin } from './tenant-admin.ts';
import { TopicDirectory, type SubscriptionStatus } from './topic-directory.ts';

export class Broker {
  readonly clusterId: string;
  readonly brokerId: string;
  readonly version: string;
  readonly startedAtMs: number;
  /** Bytes of appends that are not durable yet; publish streams are not read while it is used up. */
  readonly publishBudget: ByteBudget;
  /** host:port that clients are told; known once the server listens. */
  address = '';
  readonly tenants: TenantAdmin;
  private readonly parts: BrokerParts;
  private readonly directory: TopicDirectory;
  /** What operators do with dead letters. */
  readonly deadLetters: DeadLetters;
  /** What was confirmed since the start. */
  readonly traffic = { batches: 0, records: 0, bytes: 0 };
  private readonly idle = new IdleSubscriptions();
  private lastConsumerNumber = 0;

  private constructor(parts: BrokerParts) {
    this.parts = parts;
    this.clusterId = parts.identity.clusterId;
    this.brokerId = parts.identity.brokerId;
    this.version = parts.identity.version;
    this.startedAtMs = parts.clock.wallMs();
    this.publishBudget = new ByteBudget(parts.publishPendingBytes);
    const quotas = new QuotaRegistry(parts.clock);
    this.directory = new TopicDirectory(parts.catalog, parts, quotas);
    const { directory } = this;
    this.deadLetters = new DeadLetters({ ...parts, directory, topic: (name) => this.topic(name) });
    this.tenants = new TenantAdmin(parts.catalog, this.directory, quotas, parts.clock);
  }

  static async open(parts: BrokerParts): Promise<Broker> {
    const broker = new Broker(parts);
    await broker.directory.open();
    const deadLetters = new DeadLetterTopics(broker, broker.directory, parts.failPoint);
    for (const shard of parts.shards.values()) shard.deadLetters = deadLetters;
    broker.deadLetters.open();
    return broker;
  }

  get clock(): Clock {
    return this.parts.clock;
  }

  get objectStore(): string {
    return this.parts.objectStore;
  }

  get diskFreeBytes(): number {
    return this.parts.disk.freeBytes;
  }

  get isDiskFull(): boolean {
    return this.parts.disk.isFull;
  }

  /** Commits of all data shards since the start. */
  get commitCount(): number {
    let count = 0;
    for (const { journal } of this.parts.shards.values()) count += journal.commitCount;
    return count;
  }

  get topicCount(): number {
    return this.directory.count;
  }

  // --- Topics --------------------------------------------------------------------------------------------

  /** Throws NAME_INVALID, TENANT_NOT_FOUND, TOPIC_NOT_FOUND. */
  topic(name: string): OpenTopic {
    return this.directory.topic(this.topicName(name).full);
  }

  async applyTopic(request: {
    readonly name: string;
    readonly patch: TopicSpecPatch;
    readonly revision: string;
    readonly dryRun: boolean;
  }) {
    const { patch: spec, revision, dryRun } = request;
    const name = this.topicName(request.name);
    const plan = await this.parts.catalog.change((state) =>
      planApplyTopic(state, { name, spec, revision, dryRun }, this.nowMs()),
    );
    if (plan.events.length > 0) {
      const { topic } = this.directory.put(plan.topic);
      for (const subscription of this.state.subscriptionsOf(topic.id)) {
        await this.directory.putSubscription(subscription);
      }
    }
    return plan;
  }

  listTopics(
    request: PageRequest & { readonly prefix: string },
    within: readonly NameRange[],
  ): Page<Topic> {
    return this.state.listTopics(request.prefix, request, within);
  }

  /** `topicId` as text; empty: whichever is there. */
  async deleteTopic(name: string, topicId: string): Promise<void> {
    const parsed = this.topicName(name);
    const plan = await this.parts.catalog.change((state) =>
      planDeleteTopic(state, parsed, topicId),
    );
    await this.buryDeleted(plan.events);
  }

  /** Brings what the topic has now to the object store; waits for it, or lets it go on. Throws STORE_FAILED. */
  async offloadTopic(name: string, wait: boolean): Promise<Topic> {
    const { topic } = this.topic(name);
    const offloading = Promise.all(
      partitionsByShard(topic).map(async ({ shard, partitions }) =>
        this.parts.shards.get(shard)?.tier.offloader.offloadNow(partitions),
      ),
    );
    if (wait) {
      await offloading;
      // Who waits for it wants it to survive the disk: a new broker finds segments by the checkpoint only.
      await this.uploadCheckpoints();
    }
    // A failure that nobody waits for is in the shard's figures and in the log.
    else void offloading.catch(() => {});
    return topic;
  }

  effectivePolicy(topic: Topic): EffectivePolicy {
    return this.directory.effectivePolicy(topic);
  }

  topicFigures(topic: Topic): figures.TopicFigures {
    const open = this.directory.stillOpen(topic);
    const partitions = open.logs.map((log, partition) => figures.partitionFigures(partition, log));
    const sumOf = (figure: (one: figures.PartitionFigures) => number): number =>
      partitions.reduce((sum, one) => sum + figure(one), 0);
    return {
      partitions,
      storedBytes: sumOf(({ storedBytes }) => storedBytes),
      hotBytes: sumOf(({ hotBytes }) => hotBytes),
      coldBytes: sumOf(({ coldBytes }) => coldBytes),
      subscriptionCount: this.state.subscriptionCount(topic.id),
    };
  }

  // --- Publishing ----------------------------------------------------------------------------------------

  /** An empty name: one is invented. Durable when it resolves. */
  async openPublisher(topicName: string, name: string, epoch: number): Promise<OpenPublisher> {
    const topic = this.topic(topicName);
    const publisher = name === '' ? `~${this.parts.random.hex(12)}` : parsePublisherName(name);
    return openPublisher(topic, publisher, epoch, this.nowMs());
  }

  /** Throws DISK_FULL, BACKLOG_FULL, QUOTA_EXCEEDED and what PartitionLog.append throws. */
  append(
    log: PartitionLog,
    request: AppendRequest,
    whenDurable: WhenDurable,
    mode: PublishMode = 'unary',
  ): void {
    const bytes = request.body.length;
    const quota = this.directory.quotaOf(log);
    const monotonicMs = this.clock.monotonicMs();
    quota?.admitPublish(mode, monotonicMs);
    this.parts.disk.admit(bytes);
    this.directory.admit(log);
    const terms = request.terms ?? plainTerms;
    const timeToLiveMs = this.directory.timeToLiveOf(log, terms);
    const whole = timeToLiveMs === 0 ? request : { ...request, terms: { ...terms, timeToLiveMs } };
    log.append(whole, this.nowMs(), (baseOffset, recordCount, duplicate) => {
      if (!duplicate) {
        this.traffic.batches++;
        this.traffic.records += recordCount;
        this.traffic.bytes += bytes;
      }
      whenDurable(baseOffset, recordCount, duplicate);
    });
    quota?.published(bytes, request.recordCount, monotonicMs);
  }

  // --- Subscriptions -------------------------------------------------------------------------------------

  /** Throws TOPIC_NOT_FOUND, SUBSCRIPTION_NOT_FOUND. */
  subscription(topicName: string, name: string): Subscription {
    const { topic } = this.topic(topicName);
    return this.state.requireSubscription(topic, parseSubscriptionName(name));
  }

  async applySubscription(request: {
    readonly topic: string;
    readonly name: string;
    readonly patch: SubscriptionSpecPatch;
    readonly revision: string;
    readonly dryRun: boolean;
  }) {
    const { patch: spec, revision, dryRun } = request;
    const topic = this.topicName(request.topic);
    const name = parseSubscriptionName(request.name);
    await this.checkStart(request.topic, name, spec.start);
    const plan = await this.parts.catalog.change((state) =>
      planApplySubscription(state, { topic, name, spec, revision, dryRun }, this.nowMs()),
    );
    // Also when nothing changes: the request may repeat one that ended between catalog and shards.
    if (!dryRun) await this.directory.putSubscription(plan.subscription);
    return plan;
  }

  hasSubscription({ topic }: OpenTopic, name: string): boolean {
    return this.state.subscription(topic.id, parseSubscriptionName(name)) !== undefined;
  }

  async createQueue(topic: string, name: string): Promise<void> {
    await this.applySubscription({
      topic,
      name,
      patch: { kind: 'queue' },
      revision: '',
      dryRun: false,
    });
  }

  listSubscriptions(request: PageRequest & { readonly topic: string }): Page<Subscription> {
    return this.state.listSubscriptions(this.topic(request.topic).topic.id, request);
  }

  async deleteSubscription(topicName: string, name: string): Promise<void> {
    const topic = this.topicName(topicName);
    const parsed = parseSubscriptionName(name);
    const plan = await this.parts.catalog.change((state) =>
      planDeleteSubscription(state, topic, parsed),
    );
    await this.buryDeleted(plan.events);
  }

  /** Durable when it resolves. */
  async seekSubscription(topicName: string, name: string, targets: SeekTargets): Promise<void> {
    const topic = this.topic(topicName);
    const subscription = this.subscription(topicName, name);
    const named = new Map(targets.to.map(({ partition, position }) => [partition, position]));
    if (named.size === 0 && targets.all === undefined) {
      throw new BrokerError('ARGUMENT_INVALID', 'a seek needs `to` or `all`');
    }
    for (const partition of named.keys()) topic.log(partition);
    const moves: { partition: number; offset: number }[] = [];
    for (const [partition, log] of topic.logs.entries()) {
      const position = named.get(partition) ?? targets.all;
      if (position === undefined) continue;
      moves.push({ partition, offset: await resolvePosition(log, position) });
    }
    const open = this.directory.openSubscription(topic, subscription);
    await Promise.all(moves.map(({ partition, offset }) => open.seek(partition, offset)));
  }

  /** For a consumer's stream. Undefined `kind` accepts any. Throws SUBSCRIPTION_KIND_MISMATCH. */
  openSubscription(
    topicName: string,
    name: string,
    kind: SubscriptionKind | undefined,
  ): OpenSubscription {
    const topic = this.topic(topicName);
    const subscription = this.subscription(topicName, name);
    if (kind !== undefined && kind !== subscription.kind) {
      throw new BrokerError(
        'SUBSCRIPTION_KIND_MISMATCH',
        `subscription ${name} is a ${subscription.kind}, not a ${kind}; consume it as what it is, or use another one`,
        { metadata: { kind: subscription.kind } },
      );
    }
    return this.directory.openSubscription(topic, subscription);
  }

  subscriptionStatus(topicName: string, subscription: Subscription): SubscriptionPartition[] {
    return this.directory.openSubscription(this.topic(topicName), subscription).status();
  }

  /** All there are, as of now. */
  subscriptionStatuses(): Iterable<SubscriptionStatus> {
    return this.directory.subscriptionStatuses();
  }

  get subscriptionCount(): number {
    return this.state.allSubscriptionsCount;
  }

  consumersOf(topicName: string, subscription: Subscription): figures.ConsumerFigures[] {
    return this.directory.openSubscription(this.topic(topicName), subscription).consumers();
  }

  /** The given name if it is one; an invented one for an empty name. */
  consumerName(name: string): string {
    return name === '' ? `consumer-${this.parts.random.hex(6)}` : parseConsumerName(name);
  }

  nextConsumerNumber(): number {
    return ++this.lastConsumerNumber;
  }

  // --- Upkeep --------------------------------------------------------------------------------------------

  /** Deletes subscriptions that nobody has consumed for as long as their spec says; called again and again. */
  async deleteIdleSubscriptions(): Promise<void> {
    const { clock, log } = this.parts;
    const due = this.idle.due(this.directory.expiringSubscriptions(), clock.monotonicMs());
    await eachInTurn(due, async ({ topic, name }) => {
      log.info('deleting an idle subscription', { topic, subscription: name });
      await this.deleteSubscription(topic, name);
    });
  }

  /** Applies retention everywhere; called again and again. */
  async retain(): Promise<void> {
    await eachInTurn(this.parts.shards.values(), (shard) => shard.retain(this.directory.policies));
  }

  /** Offloads what is due; called again and again. A failure is told in the figures. */
  async offload(): Promise<void> {
    await Promise.all([...this.parts.shards.values()].map(({ tier }) => tier.offloader.tick()));
  }

  /** Uploads the catalog's checkpoint if it has changed. Throws STORE_FAILED, SHARD_TAKEN_OVER. */
  async uploadCatalog(): Promise<void> {
    await this.parts.catalog.uploader.uploadIfChanged();
  }

  /** Uploads checkpoints of what has changed, also of the catalog. Throws STORE_FAILED, SHARD_TAKEN_OVER. */
  async uploadCheckpoints(): Promise<void> {
    await eachInTurn(this.uploaders(), (uploader) => uploader.uploadIfChanged());
  }

  /** Deletes checkpoints that newer ones have replaced. Throws STORE_FAILED. */
  async deleteOldCheckpoints(): Promise<void> {
    await eachInTurn(this.uploaders(), (uploader) => uploader.deleteOlder());
  }

  /** Deletes objects that nothing refers to any more. Throws STORE_FAILED. */
  async collectGarbage(): Promise<void> {
    await eachInTurn(this.parts.shards.values(), ({ tier }) => tier.sweep());
  }

  /** The same, if the store is a directory on the data volume and that is nearly full. */
  async collectGarbageIfTight(): Promise<void> {
    const tight = [...this.parts.shards.values()].filter(({ tier }) => tier.isStoreTight);
    await eachInTurn(tight, ({ tier }) => tier.sweep());
  }

  async refreshDisk(): Promise<void> {
    let pending = 0;
    let offloadFailure = '';
    for (const { journal, tier } of this.parts.shards.values()) {
      pending += journal.pendingBytes;
      offloadFailure ||= tier.offloader.figures.lastFailure;
    }
    await this.parts.disk.refresh(pending, offloadFailure);
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.parts.clock.after(ms, resolve));
  }

  shardEpoch(name: string): number {
    return this.parts.shards.get(name)?.epoch ?? 0;
  }

  shardFigures(): figures.ShardFigures[] {
    return figures.shardFigures(this.parts);
  }

  /** Ends offload, cold reads and garbage collection. */
  async stopTiering(): Promise<void> {
    await Promise.all([...this.parts.shards.values()].map(({ tier }) => tier.stop()));
  }

  tieringFigures(): figures.TieringFigures {
    return figures.tieringFigures(this.parts.shards.values());
  }

  /** Ends consumers, then waits until everything that was appended is durable. */
  async close(): Promise<void> {
    const reason = new BrokerError('SHUTTING_DOWN', 'the broker is shutting down; connect again', {
      retryAfterMs: 200,
    });
    this.deadLetters.close();
    await Promise.all([...this.parts.shards.values()].map((shard) => shard.close(reason)));
    await this.parts.catalog.close();
  }

  private uploaders() {
    const { catalog, shards } = this.parts;
    return [catalog.uploader, ...[...shards.values()].map(({ tier }) => tier.uploader)];
  }

  private get state() {
    return this.parts.catalog.state;
  }

  /** Wall clock. */
  nowMs(): number {
    return this.parts.clock.wallMs();
  }

  private topicName(name: string): TopicName {
    const parsed = parseTopicName(name);
    this.state.tenants.require(parsed.tenant);
    return parsed;
  }

  /**
   * A start past the end, in another epoch, or at a time that cannot be found while the object store is away, is
   * refused before anything is created.
   */
  private async checkStart(
    topicName: string,
    name: SubscriptionName,
    start: StartPosition | undefined,
  ): Promise<void> {
    if (start === undefined) return;
    const { topic, logs } = this.topic(topicName);
    if (this.state.subscription(topic.id, name) !== undefined) return;
    if (start.kind === 'offset' && logs.length > 1) return;
    await Promise.all(logs.map((log) => resolvePosition(log, start)));
  }

  private async buryDeleted(events: ReturnType<typeof planDeleteTopic>['events']): Promise<void> {
    for (const event of events) {
      if (event.kind === 'topic-deleted' || event.kind === 'subscription-deleted') {
        await this.directory.bury(event.tombstone);
      }
    }
  }
}
