// A topic as the catalog knows it: identity, where its partitions are, what was said about it. Policies: policy.ts.
//
// Invariants:
// - `partitions` and `shards` have `spec.partitions` elements each; the shard of partition i is `shards[i]`, written
//   here when the partition is made and never computed.
// - Partitions are added, never removed; ids are never reused.
import type { PartitionId, TenantId, TopicId } from '../core/ids.ts';
import { limits } from '../core/limits.ts';
import { labelSpecFields, noLabels, patchLabels, type Labels } from './labels.ts';
import type { TopicName } from './names.ts';
import {
  inherited,
  patchPolicy,
  policySpecFields,
  type PolicyField,
  type PolicyPatch,
  type SaidPolicy,
} from './policy.ts';
import { checkBetween, describeFields, fieldChanges, type SpecFields } from './spec-fields.ts';

/** What was said about the topic; the rest of its policy is inherited. */
export interface TopicSpec extends SaidPolicy {
  readonly partitions: number;
  readonly labels: Labels;
}

/** What a caller wants changed; undefined leaves it as it is. Fields of the policy are replaced as a whole. */
export interface TopicSpecPatch extends PolicyPatch {
  readonly partitions?: number | undefined;
  /** Those that are to be changed; an empty text takes one away. */
  readonly labels?: Labels | undefined;
  /** Policy fields to inherit again. */
  readonly inherit?: readonly PolicyField[] | undefined;
}

export interface Topic {
  readonly id: TopicId;
  readonly name: TopicName;
  /** Of the tenant in its name, as it was when the topic was made: a topic never outlives its tenant. */
  readonly tenantId: TenantId;
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

export const topicSpecDefault: TopicSpec = { partitions: 1, labels: noLabels };

/** The spec with the patch in it. Throws SPEC_INVALID, ARGUMENT_INVALID. */
export function patchTopicSpec(spec: TopicSpec, patch: TopicSpecPatch): TopicSpec {
  const partitions = patch.partitions ?? spec.partitions;
  checkBetween('partitions', partitions, 1, limits.partitionsPerTopicMax);
  const labels = patchLabels(spec.labels, patch.labels);
  return { partitions, labels, ...patchPolicy(spec, patch, patch.inherit) };
}

/** One line per field that differs, with the names of the API. */
export function topicSpecChanges(before: TopicSpec, after: TopicSpec): string[] {
  const names = new Set([...before.labels.keys(), ...after.labels.keys()]);
  return fieldChanges(topicSpecFields(before, names), topicSpecFields(after, names));
}

/** What was said. */
export function describeTopicSpec(spec: TopicSpec): string {
  const said = Object.entries(topicSpecFields(spec)).filter(([, value]) => value !== inherited);
  return describeFields(Object.fromEntries(said));
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

function topicSpecFields(spec: TopicSpec, labels?: Iterable<string>): SpecFields {
  return {
    partitions: spec.partitions,
    ...policySpecFields(spec),
    ...labelSpecFields(spec.labels, labels),
  };
}
