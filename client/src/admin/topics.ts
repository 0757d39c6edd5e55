// Administration of topics, as plain values.
import {
  BacklogPolicy as BacklogPolicyMessage,
  TopicService,
  type PartitionStatus,
  type Topic as TopicMessage,
  type TopicStatus as StatusMessage,
} from '../../../proto/gen/millrace/v1/topic_pb.ts';
import { integerWithin, numberWithin } from '../checked-number.ts';
import type { Connection } from '../connection.ts';
import { clientError } from '../errors.ts';

/** A record goes when it is outside the window and acked everywhere, or older than `unackedAgeMs`. */
export interface Retention {
  /** 0: the window has no age. */
  readonly ageMs: number;
  /** Stored bytes per partition. 0: the window has no size. */
  readonly bytes: number;
  /** Everything is inside the window; `ageMs` and `bytes` are 0. */
  readonly forever: boolean;
  /** 0: unacked records never expire. */
  readonly unackedAgeMs: number;
}

/**
 * What of each partition stays on the broker's disk although the object store has it. Both set: what is inside both.
 * A new topic has 0 and 0. Whatever this says, the oldest leaves the disk when the broker's room for hot records
 * (`millrace start --hot-bytes`) is used up, and nothing leaves it before the object store has it.
 */
export interface Tiering {
  /** Age from the append time. Default 0: as long as there is room. */
  readonly hotAgeMs: number;
  /** Stored bytes of the newest batches, per partition. Default 0: as much as there is room for. */
  readonly hotBytes: number;
}

/** How much of each partition may wait for some subscription, and what happens then. */
export interface BacklogQuota {
  /** Stored bytes from the oldest record that a subscription has not acked. 0: no limit. */
  readonly bytes: number;
  /** Refuse publishes with BACKLOG_FULL, or let the oldest records go, acked or not. */
  readonly policy: 'refuse-publish' | 'drop-oldest';
}

export interface TopicSpec {
  readonly partitions: number;
  /** Changed as a whole. */
  readonly retention: Retention;
  /** Changed as a whole: to change one limit, give the other one, too. */
  readonly tiering: Tiering;
  /** Changed as a whole. */
  readonly backlogQuota: BacklogQuota;
  /** Queues do not deliver records that have been due for so long, ms. 0: they always do. */
  readonly timeToLiveMs: number;
  readonly batchBytesMax: number;
}

/** What is left out stays as it is, or gets its default in a new topic. */
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
}

export interface ApplyOptions {
  /** Only if it has this revision; `0`: only if it does not exist. Default: whatever is there. */
  readonly revision?: string;
  /** Say what would change, change nothing. */
  readonly dryRun?: boolean;
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
    options: ApplyOptions = {},
  ): Promise<AppliedTopic> {
    const { revision = '', dryRun = false } = options;
    const { partitions, retention, tiering, batchBytesMax, backlogQuota, timeToLiveMs } = spec;
    const answer = await this.connection.unary(applyTopic, {
      name,
      revision,
      dryRun,
      spec: {
        ...(partitions === undefined ? {} : { partitions }),
        ...(batchBytesMax === undefined ? {} : { batchBytesMax }),
        ...(retention === undefined ? {} : { retention: retentionToProto(retention) }),
        ...(tiering === undefined ? {} : { tiering: tieringToProto(tiering) }),
        ...(timeToLiveMs === undefined
          ? {}
          : { timeToLiveMs: amount('timeToLiveMs', timeToLiveMs) }),
        ...(backlogQuota === undefined ? {} : { backlogQuota: backlogToProto(backlogQuota) }),
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

function retentionToProto({ ageMs, bytes, forever, unackedAgeMs }: Retention) {
  return {
    ageMs: amount('retention.ageMs', ageMs),
    bytes: amount('retention.bytes', bytes),
    forever,
    unackedAgeMs: amount('retention.unackedAgeMs', unackedAgeMs),
  };
}

function tieringToProto({ hotAgeMs, hotBytes }: Tiering) {
  return {
    hotAgeMs: amount('tiering.hotAgeMs', hotAgeMs),
    hotBytes: amount('tiering.hotBytes', hotBytes),
  };
}

function backlogToProto({ bytes, policy }: BacklogQuota) {
  return {
    bytes: amount('backlogQuota.bytes', bytes),
    policy:
      policy === 'drop-oldest'
        ? BacklogPolicyMessage.DROP_OLDEST
        : BacklogPolicyMessage.REFUSE_PUBLISH,
  };
}

/** Throws ARGUMENT_INVALID: BigInt would throw an error of its own. */
export function amount(name: string, value: number): bigint {
  return BigInt(integerWithin(name, value, 0, Number.MAX_SAFE_INTEGER));
}

function topicFromProto({ name, topicId, revision, spec, status }: TopicMessage): Topic {
  const retention = spec?.retention;
  return {
    name,
    topicId,
    revision,
    spec: {
      partitions: spec?.partitions ?? 0,
      batchBytesMax: spec?.batchBytesMax ?? 0,
      retention: {
        ageMs: Number(retention?.ageMs ?? 0),
        bytes: Number(retention?.bytes ?? 0),
        forever: retention?.forever ?? false,
        unackedAgeMs: Number(retention?.unackedAgeMs ?? 0),
      },
      tiering: {
        hotAgeMs: Number(spec?.tiering?.hotAgeMs ?? 0),
        hotBytes: Number(spec?.tiering?.hotBytes ?? 0),
      },
      backlogQuota: {
        bytes: Number(spec?.backlogQuota?.bytes ?? 0),
        policy:
          spec?.backlogQuota?.policy === BacklogPolicyMessage.DROP_OLDEST
            ? 'drop-oldest'
            : 'refuse-publish',
      },
      timeToLiveMs: Number(spec?.timeToLiveMs ?? 0),
    },
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
