// Every segment that the checkpoints in an object store refer to, with the topic it belongs to.
import { partitionsOf, type Bucket } from './bucket.ts';
import type { Finding } from './fsck.ts';
import type { PartitionId, TenantId } from './core/ids.ts';
import type { ObjectKey, ObjectStore } from './objects/object-store.ts';
import type { PartitionCheckpoint } from './log/entries.ts';
import { decodeManifestPage } from './tier/manifest-page.ts';
import { tierObjectKey } from './tier/object-names.ts';
import type { SegmentRow } from './tier/segment-rows.ts';

export interface BucketRow {
  readonly key: ObjectKey;
  readonly row: SegmentRow;
  readonly partition: PartitionId;
  readonly topic: string;
  /** Of the partition in its topic. */
  readonly index: number;
  /** Whose object it is, and whose topic. */
  readonly tenant: TenantId;
  readonly owner: TenantId;
  /** Records below are expired. */
  readonly startOffset: number;
}

export interface BucketRows {
  /** In the order of offsets within a partition. */
  readonly rows: readonly BucketRow[];
  /** Manifest pages that are referred to. */
  readonly pages: ReadonlySet<ObjectKey>;
  /** Pages that cannot be read. */
  readonly faults: readonly Finding[];
}

const readMs = 60_000;

/** Throws STORE_FAILED. */
export async function bucketRows(store: ObjectStore, bucket: Bucket): Promise<BucketRows> {
  const rows: BucketRow[] = [];
  const pages = new Set<ObjectKey>();
  const faults: Finding[] = [];
  for (const [shard, found] of bucket.shards) {
    for (const partition of partitionsOf(found)) {
      const place = bucket.topics.get(partition.partition);
      // The topic is deleted; its objects are garbage.
      if (place === undefined) continue;
      const { tenant, rows: newest } = partition.manifest;
      const rowOf = (row: SegmentRow): BucketRow => ({
        key: tierObjectKey({ kind: 'segment', tenant, shard, ...row.object }),
        row,
        partition: partition.partition,
        topic: place.topic.name.full,
        index: place.index,
        tenant,
        owner: place.topic.tenantId,
        startOffset: partition.startOffset,
      });
      for (const pointer of partition.manifest.pages) {
        const key = tierObjectKey({ kind: 'manifest', tenant, shard, ...pointer.object });
        pages.add(key);
        const inPage = await readPage(store, key, partition);
        if (typeof inPage === 'string') {
          const { firstOffset, lastOffset } = pointer;
          const topic = place.topic.name.full;
          const lost = [{ topic, partition: place.index, firstOffset, lastOffset }];
          const kind = inPage === missingPage ? 'missing' : 'corrupt';
          faults.push({ kind, key, what: inPage, lost });
        } else rows.push(...[...inPage].map(rowOf));
      }
      rows.push(...[...newest].map(rowOf));
    }
  }
  return { rows, pages, faults };
}

const missingPage = 'is referred to and not there';

/** Its rows, or what is wrong with it. */
async function readPage(store: ObjectStore, key: ObjectKey, partition: PartitionCheckpoint) {
  const got = await store.get(key, AbortSignal.timeout(readMs));
  if (got.outcome === 'missing') return missingPage;
  const { tenant } = partition.manifest;
  return decodeManifestPage(got.bytes, tenant, partition.partition) ?? 'is a damaged manifest page';
}
