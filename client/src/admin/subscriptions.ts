// Administration of subscriptions, as plain values.
import { BlockReason } from '../../../proto/gen/millrace/v1/stream_pb.ts';
import {
  SubscriptionService,
  type Subscription as SubscriptionMessage,
  type SubscriptionPartitionStatus,
} from '../../../proto/gen/millrace/v1/subscription_pb.ts';
import { amount } from '../checked-number.ts';
import type { Connection } from '../connection.ts';
import { positionFromProto, positionToProto, type PositionLike } from '../positions.ts';
import { kindFromProto, kindToProto, type SubscriptionKind } from '../subscription-kind.ts';
import {
  browsedFromProto,
  stateToProto,
  type BrowsedRecord,
  type BrowseOptions,
} from './browse.ts';
import { present, type ApplyOptions } from './topics.ts';

export interface SubscriptionSpec {
  readonly kind: SubscriptionKind;
  /** Where it began; read at creation only. */
  readonly start: PositionLike | undefined;
  /** Queues: time to ack a delivery. 0 for streams. */
  readonly ackDeadlineMs: number;
  /** Queues: before the first retry, and the cap of its doubling. 0 for streams. */
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  /** Delivers nothing while set. */
  readonly paused: boolean;
  /** Queues: deliveries of one record until it goes to the dead-letter topic; default 16 with one. 0: no limit. */
  readonly attemptsMax: number;
  /** Queues: a topic of the same tenant that need not exist yet. Empty: none. */
  readonly deadLetterTopic: string;
  /** Queues: what has outlived its time to live goes to the dead-letter topic; default false: it is dropped. */
  readonly deadLetterExpired: boolean;
  /** Queues: records handed to consumers per second and broker. 0: no limit. */
  readonly recordsPerSecondMax: number;
  /** Deleted after so long without a consumer, ms, from 1,000. 0: never. */
  readonly expiresAfterMs: number;
}

/** What is left out stays as it is; `kind` is needed to create. */
export type SubscriptionSpecPatch = Partial<SubscriptionSpec>;

export type BlockedReason =
  | 'no consumers'
  | 'no credit'
  | 'all delayed or in flight'
  | 'too many unacked'
  | 'paused'
  | 'data loss'
  | 'cold read failing'
  | 'keys busy'
  | 'throttled'
  | 'dead letter failing'
  | 'unknown';

export interface SubscriptionPartition {
  readonly partition: number;
  /** Everything below is acked. */
  readonly ackedOffset: number;
  readonly endOffset: number;
  /** Not acked: ready, in flight, waiting, delayed and dead. */
  readonly backlog: number;
  readonly ready: number;
  readonly inFlight: number;
  /** For their back-off. */
  readonly waiting: number;
  /** Held back until their delivery time. */
  readonly delayed: number;
  /** On their way to the dead-letter topic. */
  readonly dead: number;
  /** Since the broker started: arrived there, and dropped by a reject without a dead-letter topic. */
  readonly deadLetteredTotal: number;
  readonly droppedTotal: number;
  /** Since the broker started: dropped because their time to live was over. */
  readonly expiredTotal: number;
  /** When the oldest record that is not acked was appended, ms, or its segment in the object store. 0: all are. */
  readonly oldestUnackedTimeMs: number;
  /** The failure behind `blockReasons`, for people; empty: none. */
  readonly blockDetail: string;
  /** Acked above `ackedOffset`. */
  readonly ackedAbove: number;
  /** Why nothing comes although there is a backlog. */
  readonly blockReasons: readonly BlockedReason[];
  readonly consumers: number;
}

export interface ConnectedConsumer {
  readonly consumer: string;
  readonly activePartitions: readonly number[];
  readonly inFlight: number;
}

export interface Subscription {
  readonly topic: string;
  readonly name: string;
  readonly subscriptionId: string;
  readonly revision: string;
  readonly spec: SubscriptionSpec;
  readonly partitions: readonly SubscriptionPartition[];
  readonly consumers: readonly ConnectedConsumer[];
}

export interface AppliedSubscription {
  readonly subscription: Subscription;
  readonly changes: readonly string[];
  readonly created: boolean;
}

export interface SeekTarget {
  /** For every partition that `to` does not name. */
  readonly all?: PositionLike;
  readonly to?: readonly { readonly partition: number; readonly position: PositionLike }[];
}

/** Records of one call of `browse`. */
const browsePage = 100;

const {
  applySubscription,
  getSubscription,
  listSubscriptions,
  deleteSubscription,
  seekSubscription,
  browseSubscription,
} = SubscriptionService.method;

export class Subscriptions {
  private readonly connection: Connection;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  /** Creates the subscription or changes it. Safe to repeat. */
  async apply(
    topic: string,
    name: string,
    spec: SubscriptionSpecPatch,
    options: ApplyOptions = {},
  ): Promise<AppliedSubscription> {
    const { revision = '', dryRun = false } = options;
    const { kind, start, expiresAfterMs, ...plain } = spec;
    const answer = await this.connection.unary(applySubscription, {
      topic,
      name,
      revision,
      dryRun,
      spec: {
        ...(kind === undefined ? {} : { kind: kindToProto(kind) }),
        ...(start === undefined ? {} : { start: positionToProto(start) }),
        ...(expiresAfterMs === undefined
          ? {}
          : { expiresAfterMs: amount('expiresAfterMs', expiresAfterMs) }),
        ...plain,
      },
    });
    const subscription = subscriptionFromProto(present(answer.subscription));
    return { subscription, changes: answer.changes, created: answer.created };
  }

  async get(topic: string, name: string): Promise<Subscription> {
    const { subscription } = await this.connection.unary(getSubscription, { topic, name });
    return subscriptionFromProto(present(subscription));
  }

  /** In the order of names, page by page. */
  async *list(topic: string): AsyncGenerator<Subscription> {
    for (let pageToken = ''; ;) {
      const page = await this.connection.unary(listSubscriptions, { topic, pageToken });
      for (const subscription of page.subscriptions) yield subscriptionFromProto(subscription);
      pageToken = page.nextPageToken;
      if (pageToken === '') return;
    }
  }

  async delete(topic: string, name: string): Promise<void> {
    await this.connection.unary(deleteSubscription, { topic, name });
  }

  /**
   * Looks at records of a queue by what has become of them, in the order of offsets, page by page. Changes nothing: no
   * attempt, no deadline, no order. Throws SUBSCRIPTION_KIND_MISMATCH for a stream.
   *
   * ```ts
   * const held = client.subscriptions.browse('orders', 'billing', { state: 'in flight' });
   * for await (const { offset, consumer } of held) console.log(offset, consumer);
   * ```
   */
  async *browse(
    topic: string,
    name: string,
    options: BrowseOptions = {},
  ): AsyncGenerator<BrowsedRecord> {
    const { partition = 0, state, fromOffset: start = 0, recordsMax = Infinity } = options;
    let left = recordsMax;
    for (let fromOffset = amount('fromOffset', start); left > 0;) {
      const page = await this.connection.unary(browseSubscription, {
        topic,
        name,
        partition,
        state: stateToProto(state),
        fromOffset,
        recordsMax: Math.min(left, browsePage),
      });
      for (const record of page.records) yield browsedFromProto(record);
      left -= page.records.length;
      fromOffset = page.nextOffset;
      if (fromOffset === 0n) return;
    }
  }

  /** Moves the position: everything before it counts as acked, everything from it on as not. */
  async seek(
    topic: string,
    name: string,
    target: SeekTarget,
  ): Promise<readonly SubscriptionPartition[]> {
    const { all, to = [] } = target;
    const { partitions } = await this.connection.unary(seekSubscription, {
      topic,
      name,
      to: to.map(({ partition, position }) => ({
        partition,
        position: positionToProto(position),
      })),
      ...(all === undefined ? {} : { all: positionToProto(all) }),
    });
    return partitions.map(partitionFromProto);
  }
}

function subscriptionFromProto(message: SubscriptionMessage): Subscription {
  const { topic, name, subscriptionId, revision, spec, partitions, consumers } = message;
  return {
    topic,
    name,
    subscriptionId,
    revision,
    spec: {
      kind: kindFromProto(spec?.kind),
      start: positionFromProto(spec?.start),
      ackDeadlineMs: spec?.ackDeadlineMs ?? 0,
      backoffMinMs: spec?.backoffMinMs ?? 0,
      backoffMaxMs: spec?.backoffMaxMs ?? 0,
      paused: spec?.paused ?? false,
      attemptsMax: spec?.attemptsMax ?? 0,
      deadLetterTopic: spec?.deadLetterTopic ?? '',
      deadLetterExpired: spec?.deadLetterExpired ?? false,
      recordsPerSecondMax: spec?.recordsPerSecondMax ?? 0,
      expiresAfterMs: Number(spec?.expiresAfterMs ?? 0),
    },
    partitions: partitions.map(partitionFromProto),
    consumers: consumers.map(({ consumer, activePartitions, inFlight }) => ({
      consumer,
      activePartitions,
      inFlight: Number(inFlight),
    })),
  };
}

const blockedReasons: Readonly<Record<BlockReason, BlockedReason>> = {
  [BlockReason.UNSPECIFIED]: 'unknown',
  [BlockReason.NO_CONSUMERS]: 'no consumers',
  [BlockReason.NO_CREDIT]: 'no credit',
  [BlockReason.DELAYED]: 'all delayed or in flight',
  [BlockReason.UNACKED_LIMIT]: 'too many unacked',
  [BlockReason.PAUSED]: 'paused',
  [BlockReason.DATA_LOSS]: 'data loss',
  [BlockReason.COLD_READ_FAILING]: 'cold read failing',
  [BlockReason.KEY_BUSY]: 'keys busy',
  [BlockReason.THROTTLED]: 'throttled',
  [BlockReason.DEAD_LETTER_FAILING]: 'dead letter failing',
};

function partitionFromProto(status: SubscriptionPartitionStatus): SubscriptionPartition {
  return {
    partition: status.partition,
    ackedOffset: Number(status.ackedOffset),
    endOffset: Number(status.endOffset),
    backlog: Number(status.backlog),
    ready: Number(status.ready),
    inFlight: Number(status.inFlight),
    waiting: Number(status.waiting),
    delayed: Number(status.delayed),
    dead: Number(status.dead),
    deadLetteredTotal: Number(status.deadLetteredTotal),
    droppedTotal: Number(status.droppedTotal),
    expiredTotal: Number(status.expiredTotal),
    oldestUnackedTimeMs: Number(status.oldestUnackedAppendTimeMs),
    blockDetail: status.blockDetail,
    ackedAbove: Number(status.ackedAbove),
    blockReasons: status.blockReasons.map((reason) => blockedReasons[reason] ?? 'unknown'),
    consumers: status.consumers,
  };
}
