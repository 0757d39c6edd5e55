// Records of a queue as `browse` shows them.
import {
  RecordState as StateMessage,
  type BrowsedRecord as BrowsedMessage,
} from '../../../proto/gen/millrace/v1/subscription_pb.ts';

export type RecordState = 'ready' | 'in flight' | 'waiting' | 'delayed' | 'dead';

export interface BrowseOptions {
  /** Default 0. */
  readonly partition?: number;
  /** Default: every record that is not acked. */
  readonly state?: RecordState;
  /** Default: from the first. */
  readonly fromOffset?: number;
  /** Ends after so many. Default: all. */
  readonly recordsMax?: number;
}

/** Times are ms since 1970; undefined: not so. */
export interface BrowsedRecord {
  readonly offset: number;
  readonly epoch: number;
  readonly appendTimeMs: number;
  readonly state: RecordState;
  /** Deliveries that have ended without an ack. */
  readonly attempts: number;
  /** In flight: who holds it (empty: it has gone, or pulled it), since when, and until when if it is not extended. */
  readonly consumer: string;
  readonly deliveredAtMs: number | undefined;
  readonly ackDeadlineAtMs: number | undefined;
  /** Waiting and delayed: not before. */
  readonly readyAtMs: number | undefined;
  /** Dead: why. */
  readonly reason: string;
  readonly expiresAtMs: number | undefined;
  readonly priority: number;
  readonly key: Buffer;
  readonly value: Buffer;
  readonly headers: readonly (readonly [string, Buffer])[];
}

const states = {
  ready: StateMessage.READY,
  'in flight': StateMessage.IN_FLIGHT,
  waiting: StateMessage.WAITING,
  delayed: StateMessage.DELAYED,
  dead: StateMessage.DEAD,
} as const satisfies Readonly<Record<RecordState, StateMessage>>;

export function stateToProto(state: RecordState | undefined): StateMessage {
  return state === undefined ? StateMessage.UNSPECIFIED : states[state];
}

export function browsedFromProto(message: BrowsedMessage): BrowsedRecord {
  const { offset, epoch, appendTimeMs, attempts, consumer, reason, priority, record } = message;
  return {
    offset: Number(offset),
    epoch,
    appendTimeMs: Number(appendTimeMs),
    state: stateFromProto(message.state),
    attempts,
    consumer,
    deliveredAtMs: timeOf(message.deliveredAtMs),
    ackDeadlineAtMs: timeOf(message.ackDeadlineAtMs),
    readyAtMs: timeOf(message.readyAtMs),
    reason,
    expiresAtMs: timeOf(message.expiresAtMs),
    priority,
    key: Buffer.from(record?.key ?? []),
    value: Buffer.from(record?.value ?? []),
    headers: (record?.headers ?? []).map(({ name, value }) => [name, Buffer.from(value)] as const),
  };
}

export function stateFromProto(state: StateMessage): RecordState {
  switch (state) {
    case StateMessage.IN_FLIGHT:
      return 'in flight';
    case StateMessage.WAITING:
      return 'waiting';
    case StateMessage.DELAYED:
      return 'delayed';
    case StateMessage.DEAD:
      return 'dead';
    case StateMessage.READY:
    case StateMessage.UNSPECIFIED:
    default:
      return 'ready';
  }
}

function timeOf(ms: bigint): number | undefined {
  return ms === 0n ? undefined : Number(ms);
}
