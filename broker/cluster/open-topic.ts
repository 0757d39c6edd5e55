// A topic as streams hold it: its logs by partition index, and whether it is still there.
//
// Invariant: there is one OpenTopic per incarnation; a deleted topic's is closed, and a new topic of the same name gets
// its own. So a stream can never cross from one incarnation into the next.
import type { TopicQuota } from '../access/topic-quota.ts';
import type { EffectivePolicy } from '../catalog/policy.ts';
import type { Topic } from '../catalog/topic.ts';
import { BrokerError } from '../core/errors.ts';
import type { PartitionLog } from '../log/partition-log.ts';

export class OpenTopic {
  /** As of the last change. */
  topic: Topic;
  logs: readonly PartitionLog[];
  /** What is in force now. */
  policy: EffectivePolicy;
  readonly quota: TopicQuota;
  private isDeleted = false;
  private readonly listeners = new Set<() => void>();

  constructor(
    topic: Topic,
    logs: readonly PartitionLog[],
    { policy, quota }: { readonly policy: EffectivePolicy; readonly quota: TopicQuota },
  ) {
    this.topic = topic;
    this.logs = logs;
    this.policy = policy;
    this.quota = quota;
  }

  get batchBytesMax(): number {
    return this.policy.values.batchBytesMax;
  }

  /** The log of a partition; throws PARTITION_OUT_OF_RANGE. */
  log(partition: number): PartitionLog {
    const log = this.logs[partition];
    if (log !== undefined) return log;
    throw new BrokerError(
      'PARTITION_OUT_OF_RANGE',
      `topic ${this.topic.name.full} has ${this.logs.length} partitions, there is no partition ${partition}`,
      { metadata: { partitions: String(this.logs.length) } },
    );
  }

  /** Throws TOPIC_NOT_FOUND once the topic is deleted. */
  check(): void {
    if (this.isDeleted) throw topicNotFound(this.topic.name.full);
  }

  get deleted(): boolean {
    return this.isDeleted;
  }

  change(topic: Topic, logs: readonly PartitionLog[], policy: EffectivePolicy): void {
    this.topic = topic;
    this.logs = logs;
    this.policy = policy;
  }

  /** Calls back when the topic is deleted. Answers how to stop that. */
  onDeleted(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  delete(): void {
    this.isDeleted = true;
    for (const listener of this.listeners) listener();
    this.listeners.clear();
  }
}

export function topicNotFound(name: string): BrokerError {
  return new BrokerError(
    'TOPIC_NOT_FOUND',
    `there is no topic ${name}; create it first: millrace topic create ${name}`,
    { metadata: { topic: name } },
  );
}
