// Makes a data directory from an object store alone: `millrace recover`, when a disk is lost.
//
//   read roots and checkpoints → a new volume → journals that begin with the checkpoints → the roots become the new
//   volume's
//
// Invariants:
// - The store is changed last, and only by compare-and-swap: what fails before leaves it as it was, and what fails in
//   the middle is repaired by recovering again into another directory.
// - Offsets that are not in the store are given again, in a higher epoch; acks and sequences that speak of them go.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  partitionsOf,
  readBucket,
  subscriptionsOf,
  type Bucket,
  type BucketShard,
} from './bucket.ts';
import { adoptVolume, type Volume } from './cluster/volume.ts';
import { lockDataDirectory } from './cluster/data-lock.ts';
import { moveRoot } from './cluster/root.ts';
import { entryTypes } from './core/entry-types.ts';
import { BrokerError } from './core/errors.ts';
import type { PartitionId } from './core/ids.ts';
import { silentLog } from './core/log.ts';
import { systemRandom } from './core/random.ts';
import { Journal } from './journal/journal.ts';
import { ControlEntry } from './journal/control-entry.ts';
import { lmdbStorage } from './journal/storage-lmdb.ts';
import { limits } from './core/limits.ts';
import {
  decodeMarksEntry,
  encodeMarks,
  encodePartitionCheckpoint,
  type PartitionCheckpoint,
} from './log/entries.ts';
import { encodedMarks } from './log/mark-chunk.ts';
import { openStore } from './objects/open-store.ts';
import type { Environment } from './objects/s3-credentials.ts';
import { parseStoreUrl } from './objects/store-location.ts';
import { catalogShard } from './shard/catalog-store.ts';
import type { CheckpointEntry } from './shard/checkpoint-object.ts';
import { encodeEntry, type SubscriptionCheckpoint } from './subscription/entries.ts';
import { clipQueueCheckpoint } from './subscription/queue-checkpoint.ts';
import { StreamState } from './subscription/stream-state.ts';

export interface RecoverOptions {
  /** As --object-store. */
  readonly objectStore: string;
  readonly variables: Environment;
  readonly dataDir: string;
  /** Who recovers; stands in the roots until a broker starts. */
  readonly owner: string;
}

export interface RecoveredPartition {
  readonly topic: string;
  readonly partition: number;
  readonly startOffset: number;
  readonly endOffset: number;
  /** Records that were published when the checkpoint was made and are not in the store. */
  readonly lostRecords: number;
}

export interface RecoverReport {
  readonly clusterId: string;
  readonly partitions: readonly RecoveredPartition[];
  readonly topicCount: number;
  readonly subscriptionCount: number;
  /** When the oldest checkpoint that was used was begun, ms: acks and changes after it are gone. 0: there is none. */
  readonly checkpointAtMs: number;
}

/** Throws SETTING_INVALID, DATA_DIRECTORY_FAILED, DATA_DIRECTORY_IN_USE, STORE_FAILED, DATA_LOSS, SHARD_TAKEN_OVER. */
export async function recover(options: RecoverOptions): Promise<RecoverReport> {
  const { variables, dataDir, owner } = options;
  const location = parseStoreUrl(options.objectStore);
  await using lock = await lockDataDirectory(dataDir);
  void lock;
  if ((await readdir(dataDir)).length > 0) {
    throw new BrokerError(
      'DATA_DIRECTORY_FAILED',
      `${dataDir} is not empty; recover into a new directory, so that nothing is overwritten`,
      { metadata: { directory: dataDir } },
    );
  }
  await using storeLock =
    location.kind === 'directory' ? await lockDataDirectory(location.path) : undefined;
  void storeLock;
  const { store, close } = await openStore(location, variables, { existing: true });
  try {
    const bucket = await readBucket(store);
    if (bucket.catalog.root.checkpoint === undefined) throw nothingUploaded();
    const volume = await adoptVolume(dataDir, bucket.clusterId, systemRandom);
    const all = new Map([[catalogShard, bucket.catalog], ...bucket.shards]);
    for (const [name, shard] of all) {
      const entries = name === catalogShard ? shard.entries : recoveredEntries(shard, bucket);
      await writeJournal(dataDir, name, shard.root.epoch + 1, volume, entries);
    }
    for (const { root } of all.values()) {
      await moveRoot(store, root, { owner, volume, random: systemRandom });
    }
    return report(bucket);
  } finally {
    await close();
  }
}

function nothingUploaded(): BrokerError {
  return new BrokerError(
    'DATA_LOSS',
    'no checkpoint was uploaded to this object store yet, so there is nothing to recover; nothing was changed',
  );
}

/** A journal whose first entries are the checkpoint. */
async function writeJournal(
  dataDir: string,
  shard: string,
  epoch: number,
  { volumeId }: Volume,
  entries: readonly CheckpointEntry[],
): Promise<void> {
  const { generationBytes, tailCacheBytes } = limits;
  const storage = lmdbStorage(join(dataDir, shard), 2 * generationBytes + 256 * 1024 * 1024);
  let failure: BrokerError | undefined;
  const journal = await Journal.open(
    {
      storage,
      shard,
      epoch,
      volumeId,
      log: silentLog,
      generationBytes,
      tailCacheBytes,
      onFatal: (error) => void (failure = error),
      onCommitted: () => {},
      onRoll: () => {},
    },
    { indexed: () => undefined, replay: () => {} },
  );
  for (const { type, payload } of entries) {
    journal.append(new ControlEntry(type, payload, () => {}));
  }
  await journal.completeCheckpoint(journal.newestFirstPage);
  await journal.close();
  if (failure !== undefined) throw failure;
}

/** The shard's entries without what speaks of records that are not in the store, or of deleted topics. */
function recoveredEntries(shard: BucketShard, bucket: Bucket): CheckpointEntry[] {
  const ends = new Map<PartitionId, number>();
  const entries: CheckpointEntry[] = [];
  for (const partition of partitionsOf(shard)) {
    if (!bucket.topics.has(partition.partition)) continue;
    const recovered = recoveredPartition(partition);
    ends.set(partition.partition, recovered.nextOffset);
    const payload = encodePartitionCheckpoint(recovered);
    entries.push({ type: entryTypes.partitionCheckpoint, payload });
  }
  for (const { type, payload } of shard.entries) {
    if (type !== entryTypes.marks) continue;
    const { partition, marks } = decodeMarksEntry(payload);
    const end = ends.get(partition) ?? 0;
    const kept = marks.filter(({ first, count }) => first + count <= end);
    entries.push({ type, payload: encodeMarks(partition, encodedMarks(kept)) });
  }
  for (const subscription of subscriptionsOf(shard)) {
    const end = ends.get(subscription.partitionId);
    if (end === undefined) continue;
    const payload = encodeEntry(clipSubscription(subscription, end));
    entries.push({ type: entryTypes.subscriptionCheckpoint, payload });
  }
  return entries;
}

function recoveredPartition(partition: PartitionCheckpoint): PartitionCheckpoint {
  const { startOffset, manifest } = partition;
  // Sequences may name records that are gone: a publisher's repeat of one must be stored again, not confirmed.
  const nextOffset = Math.max(startOffset, manifest.endOffset);
  const cancelled = partition.cancelled.filter(({ last }) => last < nextOffset);
  return { ...partition, nextOffset, cancelled, publishers: [] };
}

function clipSubscription(entry: SubscriptionCheckpoint, end: number): SubscriptionCheckpoint {
  const state =
    entry.subscriptionKind === 'stream'
      ? new StreamState(Math.min(StreamState.decode(entry.state).acked, end)).encode()
      : clipQueueCheckpoint(entry.state, end);
  return { ...entry, state };
}

function report(bucket: Bucket): RecoverReport {
  const partitions: RecoveredPartition[] = [];
  const subscriptions = new Set<number>();
  for (const shard of bucket.shards.values()) {
    for (const partition of partitionsOf(shard)) {
      const place = bucket.topics.get(partition.partition);
      if (place === undefined) continue;
      const { startOffset, nextOffset } = recoveredPartition(partition);
      partitions.push({
        topic: place.topic.name.full,
        partition: place.index,
        startOffset,
        endOffset: nextOffset,
        lostRecords: partition.nextOffset - nextOffset,
      });
    }
    for (const { subscriptionId } of subscriptionsOf(shard)) subscriptions.add(subscriptionId);
  }
  const times = [bucket.catalog, ...bucket.shards.values()].map(
    ({ root }) => root.checkpoint?.atMs,
  );
  return {
    clusterId: bucket.clusterId,
    partitions,
    topicCount: new Set([...bucket.topics.values()].map(({ topic }) => topic.id)).size,
    subscriptionCount: subscriptions.size,
    checkpointAtMs: Math.min(...times.map((atMs) => atMs ?? 0)),
  };
}
