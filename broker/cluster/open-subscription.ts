// A subscription as a consumer's stream holds it: partitions by index, over the shards that own them.
import type { Subscription as CatalogSubscription } from '../catalog/subscription.ts';
import { assertEqual } from '../core/assert.ts';
import { BrokerError } from '../core/errors.ts';
import type { PartitionLog } from '../log/partition-log.ts';
import type { Shard } from '../shard/shard.ts';
import type {
  Consumer,
  PartitionStatus,
  Settlement,
  SettlementFailure,
} from '../subscription/consumer.ts';
import { QueueDispatcher } from '../subscription/queue-dispatcher.ts';
import type { Subscription, SubscriptionKind } from '../subscription/subscription.ts';
import type { ConsumerFigures } from './figures.ts';
import type { OpenTopic } from './open-topic.ts';

/** One partition of a subscription, as of now. */
export interface SubscriptionPartition {
  readonly partition: number;
  readonly status: PartitionStatus;
  readonly consumers: number;
}

export interface SubscriptionPart {
  readonly shard: Shard;
  readonly subscription: Subscription;
}

export class OpenSubscription {
  private readonly topic: OpenTopic;
  private readonly described: CatalogSubscription;
  private readonly parts: readonly SubscriptionPart[];

  constructor(
    topic: OpenTopic,
    described: CatalogSubscription,
    parts: readonly SubscriptionPart[],
  ) {
    this.topic = topic;
    this.described = described;
    this.parts = parts;
  }

  get kind(): SubscriptionKind {
    return this.described.kind;
  }

  get ackDeadlineMs(): number {
    return this.described.spec.ackDeadlineMs;
  }

  get partitionCount(): number {
    return this.topic.logs.length;
  }

  attach(consumer: Consumer): void {
    for (const { subscription } of this.parts) subscription.attach(consumer);
  }

  detach(consumer: Consumer): void {
    for (const { subscription } of this.parts) subscription.detach(consumer);
  }

  /** As `detach`, but what the consumer holds stays held until the ack deadline. */
  leave(consumer: Consumer): void {
    for (const { subscription } of this.parts) subscription.leave(consumer);
  }

  pump(): void {
    for (const { subscription } of this.parts) subscription.pump();
  }

  settle(
    consumer: Consumer,
    partition: number,
    settlements: readonly Settlement[],
  ): readonly (SettlementFailure | undefined)[] {
    const log = this.topic.logs[partition];
    if (log === undefined) return settlements.map(() => 'invalid');
    const part = this.parts.find(({ subscription }) => subscription.dispatcher(log.id));
    if (part === undefined) return settlements.map(() => 'invalid');
    const outcomes = part.subscription.settle(consumer, log.id, settlements);
    assertEqual(outcomes.length, settlements.length, 'outcomes of settlements');
    return outcomes;
  }

  /** Moves the position in one partition; durable when it resolves. */
  async seek(partition: number, offset: number): Promise<void> {
    const log = this.topic.log(partition);
    for (const { subscription } of this.parts) {
      await subscription.dispatcher(log.id)?.seek(offset);
    }
  }

  /** Throws PARTITION_OUT_OF_RANGE. */
  log(partition: number): PartitionLog {
    return this.topic.log(partition);
  }

  /** The queue's part in one partition. Throws SUBSCRIPTION_KIND_MISMATCH, PARTITION_OUT_OF_RANGE. */
  queue(partition: number): QueueDispatcher {
    const log = this.topic.log(partition);
    for (const { subscription } of this.parts) {
      const dispatcher = subscription.dispatcher(log.id);
      if (dispatcher instanceof QueueDispatcher) return dispatcher;
    }
    throw new BrokerError(
      'SUBSCRIPTION_KIND_MISMATCH',
      `subscription ${this.described.name} is a stream, which has no records in other states; read its topic instead`,
      { metadata: { kind: this.described.kind } },
    );
  }

  /** Throws TOPIC_NOT_FOUND once the topic is deleted. */
  check(): void {
    this.topic.check();
  }

  /** Its parts in all partitions; none of a stream. */
  queues(): QueueDispatcher[] {
    return this.parts.flatMap(({ subscription }) =>
      [...subscription.partitions()]
        .map(([, dispatcher]) => dispatcher)
        .filter((dispatcher) => dispatcher instanceof QueueDispatcher),
    );
  }

  /** Empty: it is not connected. */
  consumerName(number: number): string {
    for (const { subscription } of this.parts) {
      const consumer = subscription.connected().find((one) => one.number === number);
      if (consumer !== undefined) return consumer.name;
    }
    return '';
  }

  status(): SubscriptionPartition[] {
    const found: SubscriptionPartition[] = [];
    for (const { subscription } of this.parts) {
      for (const [, dispatcher] of subscription.partitions()) {
        const { partition } = dispatcher;
        const consumers = subscription.consumerCount;
        found.push({ partition, status: dispatcher.status(), consumers });
      }
    }
    return found.sort((a, b) => a.partition - b.partition);
  }

  consumers(): ConsumerFigures[] {
    const byConsumer = new Map<Consumer, { activePartitions: number[]; inFlight: number }>();
    for (const { subscription } of this.parts) {
      for (const consumer of subscription.connected()) {
        const figures = byConsumer.get(consumer) ?? { activePartitions: [], inFlight: 0 };
        figures.activePartitions.push(...subscription.activePartitions(consumer));
        figures.inFlight += subscription.inFlightOf(consumer);
        byConsumer.set(consumer, figures);
      }
    }
    return [...byConsumer].map(([{ name }, figures]) => ({ name, ...figures }));
  }

  /** Resolves when everything settled so far is durable. */
  async durable(): Promise<void> {
    await Promise.all(this.parts.map(({ shard }) => shard.journal.barrier()));
  }
}
