// A topic as the catalog knows it: identity, where its partitions are, what its owner asked for.
//
// Invariants:
// - `partitions` and `shards` have `spec.partitions` elements each; the shard of partition i is `shards[i]`, written
//   here when the partition is made and never computed.
// - Partitions are added, never removed; ids are never reused.
import type { PartitionId, TopicId } from '../core/ids.ts';
import { limits } from '../core/limits.ts';
import type { TopicName } from './names.ts';
import {
  checkBetween,
  describeFields,
  fieldChanges,
  specInvalid,
  type SpecFields,
} from './spec-fields.ts';

/** A record goes when it is outside the window and acked, or older than `unackedAgeMs`. See topic.proto. */
export interface Retention {
  /** 0: the window has no age. */
  readonly ageMs: number;
  /** Stored bytes per partition. 0: the window has no size. */
  readonly bytes: number;
  /** Everything is inside the window. */
  readonly forever: boolean;
  /** 0: unacked records never expire. */
  readonly unackedAgeMs: number;
}

/** What stays on the broker's disk although the object store has it, per partition. See topic.proto. */
export interface Tiering {
  /** 0: as long as there is room. */
  readonly hotAgeMs: number;
  /** Stored bytes. 0: as long as there is room. */
  readonly hotBytes: number;
}

/** How much of a partition may wait for some subscription. */
export interface BacklogQuota {
  /** Stored bytes. 0: no limit. */
  readonly bytes: number;
  readonly policy: BacklogPolicy;
}

export type BacklogPolicy = 'refuse_publish' | 'drop_oldest';

export interface TopicSpec {
  readonly partitions: number;
  readonly retention: Retention;
  readonly tiering: Tiering;
  readonly backlogQuota: BacklogQuota;
  /** Largest batch. */
  readonly batchBytesMax: number;
  /** Queues do not deliver records that have been due for so long. 0: they always do. */
  readonly timeToLiveMs: number;
}

/** What a caller wants changed; undefined leaves it as it is, or at its default in a new topic. */
export interface TopicSpecPatch {
  readonly partitions?: number | undefined;
  /** Replaced as a whole. */
  readonly retention?: Retention | undefined;
  /** Replaced as a whole. */
  readonly tiering?: Tiering | undefined;
  /** Replaced as a whole. */
  readonly backlogQuota?: BacklogQuota | undefined;
  readonly batchBytesMax?: number | undefined;
  readonly timeToLiveMs?: number | undefined;
}

export interface Topic {
  readonly id: TopicId;
  readonly name: TopicName;
  /** By partition index. */
  readonly partitions: readonly PartitionId[];
  /** By partition index. */
  readonly shards: readonly string[];
  readonly spec: TopicSpec;
  /** Number of the catalog's change that made this version; rises over all objects and incarnations. */
  readonly revision: number;
  readonly createdAtMs: number;
}

/** Partitions of one object in one shard. */
export interface ShardPartitions {
  readonly shard: string;
  readonly partitions: readonly PartitionId[];
}

export const topicSpecDefault: TopicSpec = {
  partitions: 1,
  retention: { ageMs: 7 * 24 * 3600 * 1000, bytes: 0, forever: false, unackedAgeMs: 0 },
  tiering: { hotAgeMs: 0, hotBytes: 0 },
  backlogQuota: { bytes: 0, policy: 'refuse_publish' },
  batchBytesMax: limits.batchBytesDefault,
  timeToLiveMs: 0,
};

/** The spec with the patch in it. Throws SPEC_INVALID. */
export function patchTopicSpec(spec: TopicSpec, patch: TopicSpecPatch): TopicSpec {
  const patched: TopicSpec = {
    partitions: patch.partitions ?? spec.partitions,
    retention: { ...(patch.retention ?? spec.retention) },
    tiering: { ...(patch.tiering ?? spec.tiering) },
    backlogQuota: { ...(patch.backlogQuota ?? spec.backlogQuota) },
    batchBytesMax: patch.batchBytesMax ?? spec.batchBytesMax,
    timeToLiveMs: patch.timeToLiveMs ?? spec.timeToLiveMs,
  };
  checkBetween('partitions', patched.partitions, 1, limits.partitionsPerTopicMax);
  checkBetween(
    'batch_bytes_max',
    patched.batchBytesMax,
    limits.batchBytesMin,
    limits.batchBytesMax,
  );
  checkRetention(patched.retention);
  checkBetween('time_to_live_ms', patched.timeToLiveMs, 0, limits.farFutureMs);
  checkBetween('tiering.hot_age_ms', patched.tiering.hotAgeMs, 0, Number.MAX_SAFE_INTEGER);
  checkBetween('tiering.hot_bytes', patched.tiering.hotBytes, 0, Number.MAX_SAFE_INTEGER);
  checkBetween('backlog_quota.bytes', patched.backlogQuota.bytes, 0, Number.MAX_SAFE_INTEGER);
  return patched;
}

/** One line per field that differs, with the names of the API. */
export function topicSpecChanges(before: TopicSpec, after: TopicSpec): string[] {
  return fieldChanges(topicSpecFields(before), topicSpecFields(after));
}

export function describeTopicSpec(spec: TopicSpec): string {
  return describeFields(topicSpecFields(spec));
}

/** The partitions of a topic, grouped by where they are. */
export function partitionsByShard(topic: Topic): readonly ShardPartitions[] {
  const byShard = new Map<string, PartitionId[]>();
  topic.partitions.forEach((partition, index) => {
    const shard = topic.shards[index] ?? '';
    const partitions = byShard.get(shard);
    if (partitions === undefined) byShard.set(shard, [partition]);
    else partitions.push(partition);
  });
  return [...byShard].map(([shard, partitions]) => ({ shard, partitions }));
}

function topicSpecFields(spec: TopicSpec): SpecFields {
  return {
    partitions: spec.partitions,
    'retention.age_ms': spec.retention.ageMs,
    'retention.bytes': spec.retention.bytes,
    'retention.forever': spec.retention.forever,
    'retention.unacked_age_ms': spec.retention.unackedAgeMs,
    'tiering.hot_age_ms': spec.tiering.hotAgeMs,
    'tiering.hot_bytes': spec.tiering.hotBytes,
    'backlog_quota.bytes': spec.backlogQuota.bytes,
    'backlog_quota.policy': spec.backlogQuota.policy,
    batch_bytes_max: spec.batchBytesMax,
    time_to_live_ms: spec.timeToLiveMs,
  };
}

function checkRetention({ ageMs, bytes, forever, unackedAgeMs }: Retention): void {
  checkBetween('retention.age_ms', ageMs, 0, Number.MAX_SAFE_INTEGER);
  checkBetween('retention.bytes', bytes, 0, Number.MAX_SAFE_INTEGER);
  checkBetween('retention.unacked_age_ms', unackedAgeMs, 0, Number.MAX_SAFE_INTEGER);
  if (forever && (ageMs !== 0 || bytes !== 0)) {
    throw specInvalid(
      'retention.forever',
      'true',
      'excludes a window; leave age_ms and bytes at 0, or forever unset',
    );
  }
  if (unackedAgeMs !== 0 && unackedAgeMs < ageMs) {
    throw specInvalid(
      'retention.unacked_age_ms',
      String(unackedAgeMs),
      `must be 0 (unacked records never expire) or at least age_ms, which is ${ageMs}`,
    );
  }
}
