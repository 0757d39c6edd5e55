// What an object store says of an installation: roots, and the checkpoints that they name. For fsck and recover, which
// have nothing else.
import { decodeCatalogCheckpoint } from './catalog/catalog-entries.ts';
import type { Topic } from './catalog/topic.ts';
import { lookAtRoot, type Root } from './cluster/root.ts';
import { entryTypes } from './core/entry-types.ts';
import { BrokerError } from './core/errors.ts';
import type { PartitionId } from './core/ids.ts';
import { decodePartitionCheckpoint, type PartitionCheckpoint } from './log/entries.ts';
import type { ObjectStore } from './objects/object-store.ts';
import { catalogShard } from './shard/catalog-store.ts';
import {
  checkpointKey,
  readCheckpointPart,
  type CheckpointEntry,
} from './shard/checkpoint-object.ts';
import { decodeEntry, type SubscriptionCheckpoint } from './subscription/entries.ts';

/** A shard as its root and its newest uploaded checkpoint have it. */
export interface BucketShard {
  readonly root: Root;
  /** In the order of the checkpoint; none when none was ever uploaded. */
  readonly entries: readonly CheckpointEntry[];
}

export interface Bucket {
  readonly clusterId: string;
  readonly catalog: BucketShard;
  /** Data shards by name. */
  readonly shards: ReadonlyMap<string, BucketShard>;
  /** Topics by their partitions. */
  readonly topics: ReadonlyMap<PartitionId, { readonly topic: Topic; readonly index: number }>;
}

const readMs = 60_000;
const rootPattern = /^shards\/([a-z0-9-]+)\/root\.json$/;

/** Throws STORE_FAILED; DATA_LOSS when what it needs is missing or damaged. */
export async function readBucket(store: ObjectStore): Promise<Bucket> {
  const shards = new Map<string, BucketShard>();
  for await (const { key } of store.list('shards/', AbortSignal.timeout(readMs))) {
    const name = rootPattern.exec(key)?.[1];
    if (name === undefined) continue;
    const root = await lookAtRoot(store, name);
    if (root !== undefined) shards.set(name, { root, entries: await readCheckpoint(store, root) });
  }
  const catalog = shards.get(catalogShard);
  if (catalog === undefined) {
    throw new BrokerError(
      'DATA_LOSS',
      `there is no root of an installation in this object store (shards/${catalogShard}/root.json); check the URL ` +
        'and its prefix',
    );
  }
  shards.delete(catalogShard);
  return { clusterId: catalog.root.clusterId, catalog, shards, topics: topicsOf(catalog) };
}

/** The partitions that the checkpoint knows. */
export function partitionsOf(shard: BucketShard): PartitionCheckpoint[] {
  return shard.entries
    .filter(({ type }) => type === entryTypes.partitionCheckpoint)
    .map(({ payload }) => decodePartitionCheckpoint(payload));
}

export function subscriptionsOf(shard: BucketShard): SubscriptionCheckpoint[] {
  return shard.entries.flatMap(({ type, payload }) => {
    if (type !== entryTypes.subscriptionCheckpoint) return [];
    const entry = decodeEntry(type, payload);
    return entry.kind === 'subscriptionCheckpoint' ? [entry] : [];
  });
}

async function readCheckpoint(store: ObjectStore, root: Root): Promise<CheckpointEntry[]> {
  const { checkpoint, shard } = root;
  const entries: CheckpointEntry[] = [];
  for (let part = 0; part < (checkpoint?.parts ?? 0); part++) {
    if (checkpoint === undefined) break;
    const key = checkpointKey(shard, checkpoint, part);
    const got = await store.get(key, AbortSignal.timeout(readMs));
    if (got.outcome === 'missing') throw missingPart(key);
    entries.push(...readCheckpointPart(key, got.bytes));
  }
  return entries;
}

function topicsOf(catalog: BucketShard) {
  const topics = new Map<PartitionId, { readonly topic: Topic; readonly index: number }>();
  for (const { payload } of catalog.entries) {
    const object = decodeCatalogCheckpoint(payload);
    if (object.kind !== 'topic') continue;
    object.topic.partitions.forEach((id, index) => topics.set(id, { topic: object.topic, index }));
  }
  return topics;
}

function missingPart(key: string): BrokerError {
  return new BrokerError(
    'DATA_LOSS',
    `checkpoint object ${key} is missing, but a root names it; restore it from a backup or an older version`,
    { metadata: { object: key } },
  );
}
