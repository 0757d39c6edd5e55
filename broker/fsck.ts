// Checks an object store against itself: `millrace fsck`. Reads only.
//
//   roots → checkpoints → manifests → every referenced object, and every object against what refers to it
//
// Invariants:
// - Nothing is written, also not where damage is found.
// - What a running broker may have changed since its last checkpoint is told apart from damage: objects above the
//   checkpoint's epoch, or of that epoch and unreferenced, are new; a missing one may have expired.
import { bucketRows, type BucketRow } from './bucket-rows.ts';
import { readBucket, type Bucket } from './bucket.ts';
import { toBrokerError } from './core/errors.ts';
import type { ListedObject, ObjectKey, ObjectStore } from './objects/object-store.ts';
import { openStore } from './objects/open-store.ts';
import type { Environment } from './objects/s3-credentials.ts';
import { parseStoreUrl } from './objects/store-location.ts';
import { parseTierObjectKey, tenantsPrefix, type TierObject } from './tier/object-names.ts';
import { checkSegment, type CheckedSegment } from './tier/segment-check.ts';
import { Slots } from './tier/slots.ts';

export type FindingKind = 'missing' | 'corrupt' | 'orphan' | 'foreign';

export interface Finding {
  readonly kind: FindingKind;
  readonly key: string;
  readonly what: string;
  /** Records that cannot be read because of it; empty for an orphan. */
  readonly lost: readonly LostRecords[];
}

export interface LostRecords {
  readonly topic: string;
  readonly partition: number;
  readonly firstOffset: number;
  readonly lastOffset: number;
}

export interface FsckReport {
  readonly clusterId: string;
  readonly checkedAtMs: number;
  readonly objects: number;
  readonly bytes: number;
  readonly referenced: number;
  /** Written since the last checkpoint by a broker that may be running; not judged. */
  readonly recent: number;
  readonly findings: readonly Finding[];
  /** Nothing is missing or corrupt. Orphans are taken by the next garbage collection. */
  readonly isClean: boolean;
}

export interface FsckOptions {
  /** Footers and indexes only, no records. */
  readonly isFast: boolean;
  /** Called now and then. */
  readonly progress: (checked: number, total: number) => void;
  readonly nowMs: number;
}

const atOnce = 8;
/** Looks at a store that changes meanwhile. */
const looksMax = 3;
const readMs = 120_000;

/** The same for a store by its URL. Throws SETTING_INVALID, too. */
export async function fsckAt(
  url: string,
  variables: Environment,
  options: FsckOptions,
): Promise<FsckReport> {
  const { store, close } = await openStore(parseStoreUrl(url), variables, { existing: true });
  try {
    return await fsck(store, options);
  } finally {
    await close();
  }
}

/** Throws STORE_FAILED; DATA_LOSS when roots or checkpoints cannot be read. */
export async function fsck(store: ObjectStore, options: FsckOptions): Promise<FsckReport> {
  for (let looks = 1; ; looks++) {
    const bucket = await readBucket(store);
    const report = await check(store, bucket, options);
    if (report.isClean || looks === looksMax) return report;
    // A broker that runs deletes what has expired once it has said so in a newer checkpoint.
    const now = await readBucket(store);
    if (checkpointsOf(now) === checkpointsOf(bucket)) return report;
  }
}

function checkpointsOf({ catalog, shards }: Bucket): string {
  return JSON.stringify([catalog, ...shards.values()].map(({ root }) => root.checkpoint ?? 0));
}

async function check(
  store: ObjectStore,
  bucket: Bucket,
  options: FsckOptions,
): Promise<FsckReport> {
  const { rows, pages, faults } = await bucketRows(store, bucket);
  const listed = new Map<ObjectKey, ListedObject>();
  let bytes = 0;
  for await (const object of store.list(tenantsPrefix, AbortSignal.timeout(readMs))) {
    listed.set(object.key, object);
    bytes += object.bytes;
  }
  const findings: Finding[] = [...faults, ...holes(rows), ...twoTenants(rows)];
  const byKey = Map.groupBy(rows, ({ key }) => key);
  const slots = new Slots(atOnce);
  let checked = 0;
  await Promise.all(
    [...byKey].map(([key, refer]) =>
      slots.run(async () => {
        findings.push(...(await checkReferenced(store, listed.get(key), key, refer, options)));
        options.progress(++checked, byKey.size);
      }),
    ),
  );
  const left = [...listed.values()].filter(({ key }) => !byKey.has(key) && !pages.has(key));
  const unreferenced = left.map((object) => classify(object, bucket));
  findings.push(...unreferenced.filter((finding) => finding !== 'recent'));
  return {
    clusterId: bucket.clusterId,
    checkedAtMs: options.nowMs,
    objects: listed.size,
    bytes,
    referenced: byKey.size + pages.size,
    recent: unreferenced.filter((finding) => finding === 'recent').length,
    findings,
    isClean: findings.every(({ kind }) => kind === 'orphan' || kind === 'foreign'),
  };
}

async function checkReferenced(
  store: ObjectStore,
  listed: ListedObject | undefined,
  key: ObjectKey,
  rows: readonly BucketRow[],
  { isFast }: FsckOptions,
): Promise<Finding[]> {
  const object = parseTierObjectKey(key);
  if (listed === undefined || object === undefined) {
    return [{ kind: 'missing', key, what: 'is referred to and not there', lost: rows.map(lostOf) }];
  }
  try {
    const read = async (position: number, length: number): Promise<Buffer> => {
      const got = await store.getRange(key, position, length, AbortSignal.timeout(readMs));
      return got.outcome === 'found' ? got.bytes : Buffer.alloc(0);
    };
    const checked = await checkSegment(object, listed.bytes, read, isFast);
    return [...faultsOf(key, rows, checked), ...mismatches(key, rows, checked)];
  } catch (error) {
    const { kind, message } = toBrokerError(error);
    if (kind === 'unavailable') throw error;
    return [{ kind: 'corrupt', key, what: message, lost: rows.map(lostOf) }];
  }
}

function faultsOf(key: string, rows: readonly BucketRow[], { faults }: CheckedSegment): Finding[] {
  return faults.map(({ what, block }) => {
    const lost = rows.filter(
      ({ partition }) => block === undefined || block.partition === partition,
    );
    return {
      kind: 'corrupt' as const,
      key,
      what,
      lost: lost.map((row) => ({
        ...lostOf(row),
        ...(block === undefined
          ? {}
          : { firstOffset: block.firstOffset, lastOffset: block.lastOffset }),
      })),
    };
  });
}

/** Rows that say something else than the object's index does. */
function mismatches(
  key: string,
  rows: readonly BucketRow[],
  { blocks }: CheckedSegment,
): Finding[] {
  if (blocks.length === 0) return [];
  return rows.flatMap((row) => {
    const own = blocks.filter(({ partition }) => partition === row.partition);
    const isSame =
      own[0]?.firstOffset === row.row.firstOffset && own.at(-1)?.lastOffset === row.row.lastOffset;
    if (isSame) return [];
    const what = 'holds other offsets than the manifest says';
    return [{ kind: 'corrupt' as const, key, what, lost: [lostOf(row)] }];
  });
}

/** Offsets between two rows of a partition that no object has. */
function holes(rows: readonly BucketRow[]): Finding[] {
  const next = new Map<number, number>();
  const findings: Finding[] = [];
  for (const row of rows) {
    const expected = next.get(row.partition);
    const { firstOffset, lastOffset } = row.row;
    if (expected !== undefined && firstOffset > expected && expected >= row.startOffset) {
      const lost = [{ ...lostOf(row), firstOffset: expected, lastOffset: firstOffset - 1 }];
      findings.push({ kind: 'missing', key: row.key, what: 'begins behind a hole', lost });
    }
    next.set(row.partition, lastOffset + 1);
  }
  return findings;
}

function twoTenants(rows: readonly BucketRow[]): Finding[] {
  return rows
    .filter(({ tenant, owner }) => tenant !== owner)
    .map((row) => ({
      kind: 'corrupt' as const,
      key: row.key,
      what: `is of tenant ${row.tenant}, but the topic is of tenant ${row.owner}`,
      lost: [lostOf(row)],
    }));
}

/** What an object is that nothing refers to. */
function classify({ key }: ListedObject, bucket: Bucket): Finding | 'recent' {
  const object = parseTierObjectKey(key);
  const shard = object && bucket.shards.get(object.shard);
  if (object === undefined || shard === undefined) {
    return { kind: 'foreign', key, what: 'is not an object of this installation', lost: [] };
  }
  if (isRecent(object, shard.root.checkpoint?.epoch ?? 0)) return 'recent';
  return {
    kind: 'orphan',
    key,
    what: 'nothing refers to it; garbage collection takes it',
    lost: [],
  };
}

function isRecent(object: TierObject, checkpointEpoch: number): boolean {
  return object.epoch >= checkpointEpoch;
}

function lostOf({ topic, index, row }: BucketRow): LostRecords {
  const { firstOffset, lastOffset } = row;
  return { topic, partition: index, firstOffset, lastOffset };
}
