// What the broker says about topics and shards when it is asked.
import type { PartitionLog } from '../log/partition-log.ts';
import { catalogShard } from '../shard/catalog-store.ts';
import type { Shard } from '../shard/shard.ts';
import type { BrokerParts } from './broker-parts.ts';

export interface PartitionFigures {
  readonly partition: number;
  readonly startOffset: number;
  readonly endOffset: number;
  readonly storedBytes: number;
  readonly lastAppendTimeMs: number;
  /** Empty when nothing is damaged. */
  readonly damage: string;
  readonly hotStartOffset: number;
  readonly offloadedEndOffset: number;
  readonly hotBytes: number;
  readonly coldBytes: number;
}

export interface TopicFigures {
  readonly partitions: readonly PartitionFigures[];
  readonly storedBytes: number;
  readonly hotBytes: number;
  readonly coldBytes: number;
  readonly subscriptionCount: number;
}

export interface ShardFigures {
  readonly name: string;
  readonly epoch: number;
  readonly partitionCount: number;
  readonly journalBytes: number;
  readonly generationCount: number;
  /** Sealed records that only the disk has. */
  readonly unoffloadedBytes: number;
  /** Append time of the oldest record that only the disk has; 0 when there is none. */
  readonly unoffloadedSinceMs: number;
  /** Why the last offload failed; empty since one went well. */
  readonly offloadFailure: string;
  /** When the newest checkpoint in the store was begun; 0 before the first. */
  readonly checkpointUploadedMs: number;
}

/** What tiering did since the start, over all shards. */
export interface TieringFigures {
  readonly offloadedObjects: number;
  readonly offloadedBytes: number;
  readonly offloadFailures: number;
  readonly deletedObjects: number;
  readonly deletedBytes: number;
}

export interface ConsumerFigures {
  readonly name: string;
  readonly activePartitions: readonly number[];
  readonly inFlight: number;
}

export function partitionFigures(partition: number, log: PartitionLog): PartitionFigures {
  const { startOffset, endOffset, lastAppendTimeMs, damage } = log;
  return {
    partition,
    startOffset,
    endOffset,
    storedBytes: log.storedBytes(),
    lastAppendTimeMs,
    damage,
    hotStartOffset: log.hotStartOffset,
    offloadedEndOffset: Math.min(log.offloadedEnd, endOffset),
    hotBytes: log.hotBytes(),
    coldBytes: log.manifest.bytes,
  };
}

/** Of the catalog's shard, then of all data shards. */
export function shardFigures({ catalog, catalogEpoch, shards }: BrokerParts): ShardFigures[] {
  const all: ShardFigures[] = [
    {
      name: catalogShard,
      epoch: catalogEpoch,
      partitionCount: 0,
      journalBytes: catalog.fileBytes,
      generationCount: catalog.generationCount,
      unoffloadedBytes: 0,
      unoffloadedSinceMs: 0,
      offloadFailure: '',
      checkpointUploadedMs: catalog.uploader.uploadedAtMs,
    },
  ];
  for (const shard of shards.values()) {
    const { waitingBytes, lastFailure } = shard.tier.offloader.figures;
    all.push({
      name: shard.name,
      epoch: shard.epoch,
      partitionCount: shard.partitionCount,
      journalBytes: shard.journal.index.fileBytes(),
      generationCount: shard.journal.index.count,
      unoffloadedBytes: waitingBytes,
      unoffloadedSinceMs: shard.tier.offloader.oldestUnoffloadedMs,
      offloadFailure: lastFailure,
      checkpointUploadedMs: shard.tier.uploader.uploadedAtMs,
    });
  }
  return all;
}

export function tieringFigures(shards: Iterable<Shard>): TieringFigures {
  const sum = {
    offloadedObjects: 0,
    offloadedBytes: 0,
    offloadFailures: 0,
    deletedObjects: 0,
    deletedBytes: 0,
  };
  for (const { tier } of shards) {
    sum.offloadedObjects += tier.offloader.figures.objects;
    sum.offloadedBytes += tier.offloader.figures.bytes;
    sum.offloadFailures += tier.offloader.figures.failures;
    sum.deletedObjects += tier.swept.deleted;
    sum.deletedBytes += tier.swept.deletedBytes;
  }
  return sum;
}
