// Makes the dispatcher of one subscription in one partition, from what the journal recovered or from its start.
import type { StartPosition } from '../catalog/subscription.ts';
import type { PartitionId, SubscriptionId } from '../core/ids.ts';
import type { PartitionLog } from '../log/partition-log.ts';
import type { DeliveryRate } from '../subscription/delivery-rate.ts';
import type { Dispatcher, DispatcherContext } from '../subscription/dispatcher.ts';
import { QueueDispatcher } from '../subscription/queue-dispatcher.ts';
import { QueueRecovery } from '../subscription/queue-recovery.ts';
import type { QueuePolicy } from '../subscription/queue-types.ts';
import { StreamDispatcher } from '../subscription/stream-dispatcher.ts';
import { StreamState } from '../subscription/stream-state.ts';
import type { SubscriptionKind } from '../subscription/subscription.ts';
import type { RecoveredSubscription } from './shard-recovery.ts';
import type { Shard } from './shard.ts';

/** A subscription as the catalog has it, with its partitions in this shard. */
export interface SubscriptionPlacement {
  readonly id: SubscriptionId;
  readonly kind: SubscriptionKind;
  readonly policy: QueuePolicy;
  readonly paused: boolean;
  readonly names: DispatcherContext['names'];
  readonly start: StartPosition;
  readonly partitions: readonly PartitionPlace[];
}

export interface PartitionPlace {
  readonly id: PartitionId;
  /** Index in its topic. */
  readonly index: number;
}

/** Leases, and letters, of different ownerships never share a number: so many are reserved for each epoch. */
const numbersPerEpoch = 2 ** 32;

/** `start`: where to begin what was not recovered. */
export function createDispatcher(
  shard: Shard,
  placement: SubscriptionPlacement,
  place: PartitionPlace,
  recovered: RecoveredSubscription | undefined,
  start: number,
  rate: DeliveryRate,
): Dispatcher {
  const partitionLog = shard.partition(place.id);
  const { clock, random, log } = shard;
  const context: DispatcherContext = {
    subscriptionId: placement.id,
    partitionId: place.id,
    partition: place.index,
    partitionLog,
    journal: {
      note: (entry) => void shard.noteEntry(entry),
      write: (entry) => shard.writeEntry(entry),
    },
    names: placement.names,
    deadLetters: {
      publish: (letter) => shard.deadLetters.publish(letter),
      redrive: (letter) => shard.deadLetters.redrive(letter),
      hasArrived: (...letter) => shard.deadLetters.hasArrived(...letter),
    },
    rate,
    clock,
    random,
    log,
  };
  if (placement.kind === 'stream') {
    const state = recovered?.kind === 'stream' ? recovered.stream : new StreamState(start);
    return new StreamDispatcher(context, state, placement.paused);
  }
  const recovery = recovered?.kind === 'queue' ? recovered.queue : QueueRecovery.at(start);
  const firstLease = shard.epoch * numbersPerEpoch + 1;
  const state = recovery.start({
    policy: placement.policy,
    nowMs: clock.monotonicMs(),
    wallMs: clock.wallMs(),
    end: partitionLog.nextOffset,
    firstLease,
    isKeyed: placement.kind === 'keyed_queue',
    marks: partitionLog.marks,
  });
  state.outbox.numberFrom(firstLease);
  return new QueueDispatcher(context, state, placement.policy, placement.paused);
}

/** The first offset that a position names in a log, clipped to what is there. */
export async function startOffset(log: PartitionLog, start: StartPosition): Promise<number> {
  switch (start.kind) {
    case 'earliest':
      return log.startOffset;
    case 'latest':
      return log.endOffset;
    case 'offset':
      return Math.min(Math.max(start.offset, log.startOffset), log.endOffset);
    case 'time':
      return log.offsetAtTime(start.timeMs);
  }
}
