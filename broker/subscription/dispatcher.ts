// What the two kinds of dispatcher have in common: one subscription in one partition, from the log to consumers.
import type { Log } from '../core/log.ts';
import type { Clock } from '../core/clock.ts';
import type { PartitionId, SubscriptionId } from '../core/ids.ts';
import type { Random } from '../core/random.ts';
import type { PartitionLog } from '../log/partition-log.ts';
import type { DeadLetterTarget } from './dead-letter-sender.ts';
import type { DeliveryRate } from './delivery-rate.ts';
import type { SubscriptionEntry } from './entries.ts';
import type { Consumer, PartitionStatus, Settlement, SettlementFailure } from './consumer.ts';

/** Makes a subscription's entries durable; entries go in order, with everything else of the shard. */
export interface SubscriptionJournal {
  /** Appends without waiting. */
  note(entry: SubscriptionEntry): void;
  /** Resolves when the entry is durable. */
  write(entry: SubscriptionEntry): Promise<void>;
}

export interface DispatcherContext {
  readonly subscriptionId: SubscriptionId;
  readonly partitionId: PartitionId;
  /** Index of the partition in its topic: what consumers are told. */
  readonly partition: number;
  readonly partitionLog: PartitionLog;
  readonly journal: SubscriptionJournal;
  /** For people. */
  readonly names: { readonly topic: string; readonly subscription: string };
  readonly deadLetters: DeadLetterTarget;
  /** What the partitions of a subscription share. Only queues look at it. */
  readonly rate: DeliveryRate;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface Dispatcher {
  readonly partition: number;
  /** Everything below is acked: retention may go so far. */
  readonly ackedBelow: number;
  /** Hands over what is ready to consumers with credit. Cheap when there is nothing to do. */
  pump(): void;
  consumersChanged(consumers: readonly Consumer[]): void;
  /** A consumer is gone; called before consumersChanged. */
  release(consumer: Consumer): void;
  settle(
    consumer: Consumer,
    settlements: readonly Settlement[],
  ): readonly (SettlementFailure | undefined)[];
  /** Moves the position; durable when it resolves. */
  seek(offset: number): Promise<void>;
  setPaused(paused: boolean): void;
  inFlightOf(consumer: Consumer): number;
  status(): PartitionStatus;
  /** The whole durable state, as of what was journaled so far. */
  checkpoint(): SubscriptionEntry;
  close(): void;
}

/** Bytes handed over before other work of the event loop gets a turn. */
export const dispatchBytesPerTurn = 1024 * 1024;
