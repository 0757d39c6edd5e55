// What a consumer can be told, and what it does when it is not told.
import { integerWithin, numberWithin } from '../checked-number.ts';
import type { GapRange } from '../positions.ts';
import type { SubscriptionKind } from '../subscription-kind.ts';

export interface ConsumerOptions {
  /** Refused with SUBSCRIPTION_KIND_MISMATCH if the subscription is of another kind. Default: any. */
  readonly kind?: SubscriptionKind;
  /** Shown in the subscription's status. Default: the broker invents one. */
  readonly consumer?: string;
  /**
   * Records that may be on their way or waiting here; with queues also those that you have not settled. 1 to 1,000,000.
   * Default 1,000.
   */
  readonly prefetchRecords?: number;
  /** The same in bytes as they travel, and one batch more. 1 to 256 MiB. Default 8 MiB. */
  readonly prefetchBytes?: number;
  /** Acks are gathered for so long, ms, 0 to 60,000. Default 2. */
  readonly ackGatherMs?: number;
  /** Deadlines of what this consumer holds are moved on by itself. Default true. */
  readonly autoExtend?: boolean;
  /** How long `close()` waits for the last acks to be durable, ms. Default 5,000. */
  readonly closeTimeoutMs?: number;
  /** Streams: told of offsets that will never come. It must not throw. */
  readonly onGap?: (gap: GapRange) => void;
}

export interface ConsumerSettings {
  readonly kind: SubscriptionKind | undefined;
  readonly consumer: string;
  readonly prefetch: { readonly records: number; readonly bytes: number };
  readonly ackGatherMs: number;
  readonly autoExtend: boolean;
  readonly closeTimeoutMs: number;
  readonly onGap: (gap: GapRange) => void;
}

const MiB = 1024 * 1024;

/** The longest delay and deadline that a broker takes. */
const durationMsMax = 12 * 60 * 60 * 1_000;

/** The options with defaults for what is absent. Throws ARGUMENT_INVALID. */
export function consumerSettings(options: ConsumerOptions): ConsumerSettings {
  const { prefetchRecords = 1_000, prefetchBytes = 8 * MiB, ackGatherMs = 2 } = options;
  return {
    kind: options.kind,
    consumer: options.consumer ?? '',
    prefetch: {
      records: integerWithin('prefetchRecords', prefetchRecords, 1, 1_000_000),
      bytes: integerWithin('prefetchBytes', prefetchBytes, 1, 256 * MiB),
    },
    ackGatherMs: numberWithin('ackGatherMs', ackGatherMs, 0, 60_000),
    autoExtend: options.autoExtend ?? true,
    closeTimeoutMs: numberWithin('closeTimeoutMs', options.closeTimeoutMs ?? 5_000, 0, 2 ** 31 - 1),
    onGap: options.onGap ?? ignore,
  };
}

/** A delay or a deadline, whole ms up to 12 h; 0 is the subscription's. Throws ARGUMENT_INVALID. */
export function checkedDurationMs(name: string, value: number): number {
  return integerWithin(name, value, 0, durationMsMax);
}

function ignore(): void {
  // Offsets that retention has removed concern most applications only in figures.
}
