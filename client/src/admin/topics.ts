// Administration of topics, as plain values.
import {
  TopicService,
  type PartitionStatus,
  type Topic as TopicMessage,
  type TopicStatus as StatusMessage,
} from '../../../proto/gen/millrace/v1/topic_pb.ts';
import { amount, numberWithin } from '../checked-number.ts';
import type { Connection } from '../connection.ts';
import { clientError } from '../errors.ts';
import {
  inheritToProto,
  policyToProto,
  saidPolicy,
  sourcesFromProto,
  wholePolicy,
  type Policy,
  type PolicyField,
  type PolicySources,
} from './policies.ts';

/** What was said about the topic; the rest of its policy is inherited. */
export interface TopicSpec extends Partial<Policy> {
  readonly partitions: number;
  /**
   * What tools write down about the topic; it means nothing to the broker. At most 16, up to 256 printable ASCII
   * characters each. In a patch: those to change, an empty text takes one away.
   */
  readonly labels: Readonly<Record<string, string>>;
}

/** What is left out stays as it is. */
export type TopicSpecPatch = Partial<TopicSpec>;

export interface TopicPartition {
  readonly partition: number;
  /** Oldest record kept. */
  readonly startOffset: number;
  /** Offset that the next record gets. */
  readonly endOffset: number;
  readonly storedBytes: number;
  /** 0: nothing was ever stored. */
  readonly lastAppendTimeMs: number;
  readonly owner: PartitionOwner | undefined;
  /** Not empty: why records cannot be read. */
  readonly damage: string;
  /**
   * Oldest record on the broker's disk; `endOffset`: the disk has none. Those from `startOffset` up to it are in the
   * object store only.
   */
  readonly hotStartOffset: number;
  /** First record that only the broker's disk has, and that would be lost with it; `endOffset`: there is none. */
  readonly offloadedEndOffset: number;
  /** Stored bytes on the broker's disk, and in the object store. What is in both counts in both. */
  readonly hotBytes: number;
  readonly coldBytes: number;
}

export interface PartitionOwner {
  readonly partition: number;
  readonly shard: string;
  readonly epoch: number;
  /** host:port. */
  readonly address: string;
}

/** The figures of a topic. */
export interface TopicStatus {
  readonly partitions: readonly TopicPartition[];
  readonly storedBytes: number;
  /** Of `storedBytes`: on the broker's disk, and in the object store. What is in both counts in both. */
  readonly hotBytes: number;
  readonly coldBytes: number;
  readonly subscriptionCount: number;
}

export interface Topic extends TopicStatus {
  /** Full name. */
  readonly name: string;
  readonly topicId: string;
  /** For `apply` with `revision`: refused when the topic has changed since. */
  readonly revision: string;
  readonly spec: TopicSpec;
  /** What is in force: said about the topic, its namespace, its tenant or the cluster. */
  readonly policy: Policy;
  /** Who says it. */
  readonly policySources: PolicySources;
}

export interface ApplyOptions {
  /** Only if it has this revision; `0`: only if it does not exist. Default: whatever is there. */
  readonly revision?: string;
  /** Say what would change, change nothing. */
  readonly dryRun?: boolean;
}

export interface ApplyTopicOptions extends ApplyOptions {
  /** Fields that the topic no longer says, so that it inherits them. */
  readonly inherit?: readonly PolicyField[];
}

export interface AppliedTopic {
  readonly topic: Topic;
  /** One line per change, for people; empty: nothing to do. */
  readonly changes: readonly string[];
  readonly created: boolean;
}

/** Records of one batch that are held back. */
export interface DelayedRecords {
  readonly firstOffset: number;
  /** Inclusive. */
  readonly lastOffset: number;
  readonly deliverAtMs: number;
}

export interface OffloadOptions {
  /** Resolve when it is done. Default: at once, while the broker goes on. */
  readonly wait?: boolean;
  /**
   * How long the call may take, in ms, up to 24 days. Default: one hour with `wait`, else as any call
   * (`callTimeoutMs`). When it has passed, the broker still goes on.
   */
  readonly deadlineMs?: number;
}

const offloadLimits = {
  /** At what a broker offloads at most by default, 128 MiB/s, this is 450 GiB. */
  waitMsDefault: 3_600_000,
  /** Node's longest timer. */
  deadlineMsMax: 2 ** 31 - 1,
} as const;

const {
  applyTopic,
  getTopic,
  listTopics,
  deleteTopic,
  offloadTopic,
  listDelayed,
  cancelDelayed,
  locateTopic,
} = TopicService.method;

export class Topics {
  private readonly connection: Connection;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  /** Creates the topic or changes it. Safe to repeat. */
  async apply(
    name: string,
    spec: TopicSpecPatch = {},
    options: ApplyTopicOptions = {},
  ): Promise<AppliedTopic> {
    const { revision = '', dryRun = false } = options;
    const { partitions, labels = {} } = spec;
    const answer = await this.connection.unary(applyTopic, {
      name,
      revision,
      dryRun,
      inherit: inheritToProto(options.inherit),
      spec: {
        ...(partitions === undefined ? {} : { partitions }),
        labels: { ...labels },
        ...policyToProto(spec),
      },
    });
    const { changes, created } = answer;
    return { topic: topicFromProto(present(answer.topic)), changes, created };
  }

  async get(name: string): Promise<Topic> {
    const { topic } = await this.connection.unary(getTopic, { name });
    return topicFromProto(present(topic));
  }

  /** In the order of names, page by page. */
  async *list(options: { readonly prefix?: string } = {}): AsyncGenerator<Topic> {
    const { prefix = '' } = options;
    for (let pageToken = ''; ;) {
      const page = await this.connection.unary(listTopics, { prefix, pageToken });
      for (const topic of page.topics) yield topicFromProto(topic);
      pageToken = page.nextPageToken;
      if (pageToken === '') return;
    }
  }

  /** With its records and subscriptions, for ever. */
  async delete(name: string, options: { readonly topicId?: string } = {}): Promise<void> {
    await this.connection.unary(deleteTopic, { name, topicId: options.topicId ?? '' });
  }

  /**
   * Brings everything that the topic has now to the object store, instead of when it is due. Resolves with the figures
   * at the broker's answer: with `wait`, what the topic had at the call is below each `offloadedEndOffset`, and a new
   * broker could be made from the object store with it. Safe to repeat.
   *
   * Throws STORE_FAILED (only with `wait`; it is tried again on schedule), TOPIC_NOT_FOUND, DEADLINE_EXCEEDED and
   * ARGUMENT_INVALID.
   *
   * ```ts
   * const { coldBytes } = await client.topics.offload('orders', { wait: true });
   * ```
   */
  async offload(name: string, options: OffloadOptions = {}): Promise<TopicStatus> {
    const { wait = false, deadlineMs = wait ? offloadLimits.waitMsDefault : undefined } = options;
    const { status } = await this.connection.unary(
      offloadTopic,
      { name, wait },
      deadlineMs === undefined
        ? {}
        : { timeoutMs: numberWithin('deadlineMs', deadlineMs, 1, offloadLimits.deadlineMsMax) },
    );
    return statusFromProto(present(status));
  }

  /** Records of a partition that queues hold back until their delivery time, by offset, page by page. */
  async *listDelayed(name: string, partition = 0, fromOffset = 0): AsyncGenerator<DelayedRecords> {
    for (let from = amount('fromOffset', fromOffset); ;) {
      const page = await this.connection.unary(listDelayed, { name, partition, fromOffset: from });
      for (const { firstOffset, lastOffset, deliverAtMs } of page.delayed) {
        yield {
          firstOffset: Number(firstOffset),
          lastOffset: Number(lastOffset),
          deliverAtMs: Number(deliverAtMs),
        };
      }
      from = page.nextOffset;
      if (from === 0n) return;
    }
  }

  /**
   * Takes records back before they are due: no queue delivers them. Answers how many were still held back; durable when
   * it resolves. `lastOffset` is inclusive; default: one record.
   */
  async cancelDelayed(
    name: string,
    partition: number,
    firstOffset: number,
    lastOffset: number = firstOffset,
  ): Promise<number> {
    const { cancelled } = await this.connection.unary(cancelDelayed, {
      name,
      partition,
      firstOffset: amount('firstOffset', firstOffset),
      lastOffset: amount('lastOffset', lastOffset),
    });
    return Number(cancelled);
  }

  async locate(name: string): Promise<readonly PartitionOwner[]> {
    const { owners } = await this.connection.unary(locateTopic, { name });
    return owners.map(({ partition, shard, epoch, address }) => ({
      partition,
      shard,
      epoch,
      address,
    }));
  }
}

function topicFromProto(topic: TopicMessage): Topic {
  const { name, topicId, revision, spec, status, effective, sources } = topic;
  return {
    name,
    topicId,
    revision,
    spec: {
      partitions: spec?.partitions ?? 0,
      labels: { ...spec?.labels },
      ...saidPolicy(spec),
    },
    policy: wholePolicy(effective),
    policySources: sourcesFromProto(sources),
    ...statusFromProto(status),
  };
}

function statusFromProto(status: StatusMessage | undefined): TopicStatus {
  return {
    partitions: (status?.partitions ?? []).map(partitionFromProto),
    storedBytes: Number(status?.storedBytes ?? 0),
    hotBytes: Number(status?.hotBytes ?? 0),
    coldBytes: Number(status?.coldBytes ?? 0),
    subscriptionCount: status?.subscriptionCount ?? 0,
  };
}

function partitionFromProto(status: PartitionStatus): TopicPartition {
  const { partition, owner, damage } = status;
  return {
    partition,
    startOffset: Number(status.startOffset),
    endOffset: Number(status.endOffset),
    storedBytes: Number(status.storedBytes),
    lastAppendTimeMs: Number(status.lastAppendTimeMs),
    owner:
      owner === undefined
        ? undefined
        : { partition, shard: owner.shard, epoch: owner.epoch, address: owner.address },
    damage,
    hotStartOffset: Number(status.hotStartOffset),
    offloadedEndOffset: Number(status.offloadedEndOffset),
    hotBytes: Number(status.hotBytes),
    coldBytes: Number(status.coldBytes),
  };
}

/** A message that the API promises. */
export function present<T>(message: T | undefined): T {
  if (message !== undefined) return message;
  throw clientError('RESPONSE_MALFORMED', 'the broker left out a message that it owes', {
    effect: 'unknown',
  });
}
