// Subscription kinds, positions and reasons between the API and the broker.
import type { StartPosition } from '../catalog/subscription.ts';
import { BrokerError } from '../core/errors.ts';
import type { BlockedReason } from '../subscription/consumer.ts';
import type { SubscriptionKind as Kind } from '../subscription/subscription.ts';
import { BlockReason, Edge, type Position } from '../../proto/gen/millrace/v1/stream_pb.ts';
import { SubscriptionKind } from '../../proto/gen/millrace/v1/subscription_pb.ts';

/** Undefined when unspecified. */
export function kindFromProto(kind: SubscriptionKind): Kind | undefined {
  switch (kind) {
    case SubscriptionKind.UNSPECIFIED:
      return undefined;
    case SubscriptionKind.STREAM:
      return 'stream';
    case SubscriptionKind.QUEUE:
      return 'queue';
    case SubscriptionKind.KEYED_QUEUE:
      return 'keyed_queue';
    default:
      throw new BrokerError('ARGUMENT_INVALID', `there is no subscription kind ${String(kind)}`);
  }
}

const kinds = {
  stream: SubscriptionKind.STREAM,
  queue: SubscriptionKind.QUEUE,
  keyed_queue: SubscriptionKind.KEYED_QUEUE,
} as const satisfies Readonly<Record<Kind, SubscriptionKind>>;

export function kindToProto(kind: Kind): SubscriptionKind {
  return kinds[kind];
}

const blockReasons: Readonly<Record<BlockedReason, BlockReason>> = {
  no_consumers: BlockReason.NO_CONSUMERS,
  no_credit: BlockReason.NO_CREDIT,
  key_busy: BlockReason.KEY_BUSY,
  throttled: BlockReason.THROTTLED,
  dead_letter_failing: BlockReason.DEAD_LETTER_FAILING,
  delayed: BlockReason.DELAYED,
  unacked_limit: BlockReason.UNACKED_LIMIT,
  paused: BlockReason.PAUSED,
  cold_read_failing: BlockReason.COLD_READ_FAILING,
  data_loss: BlockReason.DATA_LOSS,
};

export function blockReasonOf(reason: BlockedReason): BlockReason {
  return blockReasons[reason];
}

/** Undefined when no position is set. */
export function positionFromProto(position: Position | undefined): StartPosition | undefined {
  if (position === undefined) return undefined;
  const { at, epoch } = position;
  switch (at.case) {
    case 'offset':
      return { kind: 'offset', offset: numberFromProto(at.value, 'offset'), epoch };
    case 'appendTimeMs':
      return { kind: 'time', timeMs: numberFromProto(at.value, 'append_time_ms') };
    case 'edge':
      if (at.value === Edge.EARLIEST) return { kind: 'earliest' };
      if (at.value === Edge.LATEST) return { kind: 'latest' };
      throw new BrokerError('ARGUMENT_INVALID', `there is no edge ${String(at.value)}`);
    case undefined:
      throw new BrokerError(
        'ARGUMENT_INVALID',
        'a position needs one of offset, append_time_ms, edge',
      );
  }
}

/** A uint64 of the API as a number; refused from 2^53 on. */
export function numberFromProto(value: bigint, field: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new BrokerError('ARGUMENT_INVALID', `${field} is ${value}; it must be below 2^53`, {
      metadata: { field },
    });
  }
  return Number(value);
}
