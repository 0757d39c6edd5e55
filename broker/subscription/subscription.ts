// One subscription on the partitions of one shard: its consumers and a dispatcher per partition.
//
// Invariants:
// - Consumers come and go here; dispatchers know of each other nothing.
// - Stream kind: who is active on which partition is planned anew at every change, and told as a whole.
import type { BrokerError } from '../core/errors.ts';
import type { PartitionId, SubscriptionId } from '../core/ids.ts';
import { planAssignment } from './assignment-plan.ts';
import type { Consumer, PartitionStatus, Settlement, SettlementFailure } from './consumer.ts';
import { DeliveryRate } from './delivery-rate.ts';
import type { Dispatcher } from './dispatcher.ts';
import { QueueDispatcher } from './queue-dispatcher.ts';
import type { QueuePolicy } from './queue-types.ts';
import { StreamDispatcher } from './stream-dispatcher.ts';

export type SubscriptionKind = 'stream' | 'queue' | 'keyed_queue';

export class Subscription {
  readonly id: SubscriptionId;
  readonly kind: SubscriptionKind;
  readonly rate = new DeliveryRate();
  private readonly dispatchers = new Map<PartitionId, Dispatcher>();
  private consumers: readonly Consumer[] = [];
  /** Where the next round over the partitions begins, so that none is always served last. */
  private firstPumped = 0;

  constructor(id: SubscriptionId, kind: SubscriptionKind) {
    this.id = id;
    this.kind = kind;
  }

  add(partitionId: PartitionId, dispatcher: Dispatcher): void {
    this.dispatchers.set(partitionId, dispatcher);
    dispatcher.consumersChanged(this.consumers);
    if (this.kind === 'stream') this.assign();
  }

  get consumerCount(): number {
    return this.consumers.length;
  }

  connected(): readonly Consumer[] {
    return this.consumers;
  }

  dispatcher(partitionId: PartitionId): Dispatcher | undefined {
    return this.dispatchers.get(partitionId);
  }

  partitions(): Iterable<[PartitionId, Dispatcher]> {
    return this.dispatchers;
  }

  attach(consumer: Consumer): void {
    this.changeConsumers([...this.consumers, consumer]);
  }

  detach(consumer: Consumer): void {
    if (!this.consumers.includes(consumer)) return;
    for (const dispatcher of this.dispatchers.values()) dispatcher.release(consumer);
    this.changeConsumers(this.consumers.filter((other) => other !== consumer));
  }

  /** The consumer goes, and what it holds stays held until the ack deadline. */
  leave(consumer: Consumer): void {
    if (!this.consumers.includes(consumer)) return;
    this.changeConsumers(this.consumers.filter((other) => other !== consumer));
  }

  /** A consumer has new credit, or room in its output again. */
  pump(): void {
    const dispatchers = [...this.dispatchers.values()];
    const count = dispatchers.length;
    for (let i = 0; i < count; i++) dispatchers[(this.firstPumped + i) % count]?.pump();
    this.firstPumped = (this.firstPumped + 1) % Math.max(count, 1);
  }

  settle(
    consumer: Consumer,
    partitionId: PartitionId,
    settlements: readonly Settlement[],
  ): readonly (SettlementFailure | undefined)[] {
    const dispatcher = this.dispatchers.get(partitionId);
    if (dispatcher === undefined) return settlements.map(() => 'invalid');
    return dispatcher.settle(consumer, settlements);
  }

  applyPolicy(policy: QueuePolicy, paused: boolean): void {
    for (const dispatcher of this.dispatchers.values()) {
      // First, so that nothing more goes out under the new policy.
      if (paused) dispatcher.setPaused(true);
      if (dispatcher instanceof QueueDispatcher) dispatcher.setPolicy(policy);
      dispatcher.setPaused(paused);
    }
  }

  status(partitionId: PartitionId): PartitionStatus | undefined {
    return this.dispatchers.get(partitionId)?.status();
  }

  /** Indexes of the partitions that a consumer is active on; all of them for queues. */
  activePartitions(consumer: Consumer): number[] {
    return [...this.dispatchers.values()]
      .filter(
        (dispatcher) =>
          !(dispatcher instanceof StreamDispatcher) || dispatcher.activeConsumer === consumer,
      )
      .map((dispatcher) => dispatcher.partition)
      .sort((a, b) => a - b);
  }

  inFlightOf(consumer: Consumer): number {
    let count = 0;
    for (const dispatcher of this.dispatchers.values()) count += dispatcher.inFlightOf(consumer);
    return count;
  }

  /** The subscription is deleted, or its shard closes: consumers are told why. */
  close(error: BrokerError): void {
    for (const dispatcher of this.dispatchers.values()) dispatcher.close();
    const { consumers } = this;
    this.consumers = [];
    for (const consumer of consumers) consumer.ended(error);
  }

  private changeConsumers(consumers: readonly Consumer[]): void {
    this.consumers = consumers;
    if (this.kind === 'stream') this.assign();
    else for (const dispatcher of this.dispatchers.values()) dispatcher.consumersChanged(consumers);
  }

  private assign(): void {
    const candidates = this.consumers.map(({ number, name }) => ({ consumer: number, name }));
    const plan = planAssignment(candidates, [...this.dispatchers.keys()]);
    const byNumber = new Map(this.consumers.map((consumer) => [consumer.number, consumer]));
    const changed = new Set<Consumer>();
    const moves: [StreamDispatcher, Consumer | undefined][] = [];
    for (const [partitionId, dispatcher] of this.dispatchers) {
      if (!(dispatcher instanceof StreamDispatcher)) continue;
      const wanted = plan.get(partitionId);
      const consumer = wanted === undefined ? undefined : byNumber.get(wanted);
      const previous = dispatcher.activeConsumer;
      if (previous === consumer) continue;
      if (previous !== undefined) changed.add(previous);
      if (consumer !== undefined) changed.add(consumer);
      moves.push([dispatcher, consumer]);
    }
    // First everybody loses what moves, then is told, then sending starts: a consumer learns of a partition before
    // its first record.
    for (const [dispatcher] of moves) dispatcher.activate(undefined);
    const active = new Map<Consumer, number[]>();
    for (const [partitionId, dispatcher] of this.dispatchers) {
      const consumer = byNumber.get(plan.get(partitionId) ?? 0);
      if (consumer === undefined) continue;
      active.set(consumer, [...(active.get(consumer) ?? []), dispatcher.partition]);
    }
    for (const consumer of this.consumers) {
      if (!changed.has(consumer)) continue;
      consumer.assigned((active.get(consumer) ?? []).sort((a, b) => a - b));
    }
    for (const [dispatcher, consumer] of moves) dispatcher.activate(consumer);
  }
}
