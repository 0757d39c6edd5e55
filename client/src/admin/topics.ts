// Administration of topics, as plain values.
import {
  TopicService,
  type PartitionStatus,
  type Topic as TopicMessage,
} from '../../../proto/gen/millrace/v1/topic_pb.ts';
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

/** What of each partition stays on the broker's disk although the object store has it. */
export interface Tiering {
  /** 0: as long as there is room. */
  readonly hotAgeMs: number;
  /** Stored bytes. 0: as long as there is room. */
  readonly hotBytes: number;
}

export interface TopicSpec {
  readonly partitions: number;
  readonly retention: Retention;
  readonly tiering: Tiering;
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
  /** Oldest record on the broker's disk; those before it are in the object store only. */
  readonly hotStartOffset: number;
  /** First record that the object store does not have. */
  readonly offloadedEndOffset: number;
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

export interface Topic {
  /** Full name. */
  readonly name: string;
  readonly topicId: string;
  /** For `apply` with `revision`: refused when the topic has changed since. */
  readonly revision: string;
  readonly spec: TopicSpec;
  readonly partitions: readonly TopicPartition[];
  readonly storedBytes: number;
  /** Of `storedBytes`: on the broker's disk, and in the object store. Records may be in both. */
  readonly hotBytes: number;
  readonly coldBytes: number;
  readonly subscriptionCount: number;
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

/** Offload of a large backlog to a slow store takes its time. */
const offloadTimeoutMsDefault = 3_600_000;

const { applyTopic, getTopic, listTopics, deleteTopic, offloadTopic, locateTopic } =
  TopicService.method;

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
    const { partitions, retention, tiering, batchBytesMax } = spec;
    const answer = await this.connection.unary(applyTopic, {
      name,
      revision,
      dryRun,
      spec: {
        ...(partitions === undefined ? {} : { partitions }),
        ...(batchBytesMax === undefined ? {} : { batchBytesMax }),
        ...(retention === undefined ? {} : { retention: retentionToProto(retention) }),
        ...(tiering === undefined ? {} : { tiering: tieringToProto(tiering) }),
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
   * Brings everything that the topic has now to the object store. Default: answers at once, and the broker goes on;
   * with `wait` when it is done, up to `timeoutMs` (default one hour). Throws STORE_FAILED.
   */
  async offload(
    name: string,
    options: { readonly wait?: boolean; readonly timeoutMs?: number } = {},
  ): Promise<void> {
    const { wait = false, timeoutMs = offloadTimeoutMsDefault } = options;
    const request = { name, wait };
    await this.connection.unary(offloadTopic, request, wait ? { timeoutMs } : {});
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
    ageMs: BigInt(ageMs),
    bytes: BigInt(bytes),
    forever,
    unackedAgeMs: BigInt(unackedAgeMs),
  };
}

function tieringToProto({ hotAgeMs, hotBytes }: Tiering) {
  return { hotAgeMs: BigInt(hotAgeMs), hotBytes: BigInt(hotBytes) };
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
    },
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
