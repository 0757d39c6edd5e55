// Settling what was delivered without a stream: ranges of records, each with what is to become of them.
import { AckVerb, ConsumeService } from '../../../proto/gen/millrace/v1/consume_pb.ts';
import type { Connection } from '../connection.ts';
import { errorOfItem, type MillraceError } from '../errors.ts';
import { checkedDurationMs } from './options.ts';

/** Records of one partition that follow each other, and what is said of them. */
export interface AckRange {
  readonly partition: number;
  readonly firstOffset: number;
  /** Default: the first, alone. */
  readonly lastOffset?: number;
  /**
   * `ack`: done. `nack`: to be delivered again; the attempt counts. `reject`: to the dead-letter topic, or dropped
   * where there is none. `extend`: held for longer, with all that was delivered under the lease. `return`: was not
   * begun, ready again at once; the attempt does not count. Default `ack`.
   */
  readonly verb?: 'ack' | 'nack' | 'reject' | 'extend' | 'return';
  /** Of the delivery; only `ack` counts without it. Default 0: none. */
  readonly lease?: number;
  /** `nack`: not before so long; `extend`: from now. Whole ms, at most 12 h. Default 0: as the subscription says. */
  readonly delayMs?: number;
  /** `nack`, `reject`: what went wrong, up to 256 bytes; kept with a dead letter. */
  readonly reason?: string;
}

/** A range of which nothing was done, or not all. */
export interface RefusedAck {
  readonly partition: number;
  readonly firstOffset: number;
  readonly lastOffset: number;
  readonly error: MillraceError;
}

export interface SubscriptionPlace {
  readonly connection: Connection;
  readonly topic: string;
  readonly subscription: string;
}

const verbs = {
  ack: AckVerb.ACK,
  nack: AckVerb.NACK,
  reject: AckVerb.REJECT,
  extend: AckVerb.EXTEND,
  return: AckVerb.RETURN,
} as const;

/** Durable when it resolves, but for what it answers. Throws ARGUMENT_INVALID and what the broker refuses. */
export async function acknowledge(
  { connection, topic, subscription }: SubscriptionPlace,
  acks: readonly AckRange[],
): Promise<RefusedAck[]> {
  if (acks.length === 0) return [];
  const { failures } = await connection.unary(ConsumeService.method.acknowledge, {
    topic,
    subscription,
    acks: acks.map(rangeToProto),
  });
  return failures.flatMap(({ partition, firstOffset, lastOffset, error }) =>
    error === undefined
      ? []
      : [
          {
            partition,
            firstOffset: Number(firstOffset),
            lastOffset: Number(lastOffset),
            error: errorOfItem(error),
          },
        ],
  );
}

function rangeToProto(range: AckRange) {
  const { partition, firstOffset, lastOffset = firstOffset, verb = 'ack' } = range;
  return {
    partition,
    firstOffset: BigInt(firstOffset),
    lastOffset: BigInt(lastOffset),
    verb: verbs[verb],
    lease: BigInt(range.lease ?? 0),
    delayMs: checkedDurationMs('delayMs', range.delayMs ?? 0),
    reason: range.reason ?? '',
  };
}
