// Working on a queue without a stream: a few records at a time, for scripts and functions.
import { AckVerb, ConsumeService } from '../../../proto/gen/millrace/v1/consume_pb.ts';
import { integerWithin } from '../checked-number.ts';
import type { Connection } from '../connection.ts';
import { errorOfItem } from '../errors.ts';
import { DeliveredRecord } from '../records/delivered-record.ts';
import { BatchWalker, deliveredRange } from '../records/delivered-batch.ts';
import type { RecordView } from '../records/record-view.ts';
import type { ReceivedRecord } from '../records/record.ts';
import { readPullResponse, type DeliveryFields } from '../wire/deliveries.ts';
import type { NackOptions } from './message.ts';
import { checkedDurationMs } from './options.ts';

export interface PullOptions {
  /** 1 to 1,000. Default 10. */
  readonly recordsMax?: number;
  /** How long to wait for a first record, 0 to 20,000 ms. Default 0. */
  readonly waitMs?: number;
  /** Ends the wait; what was taken meanwhile is given back, uncounted. */
  readonly signal?: AbortSignal;
  /** Shown by the broker while it waits. Default: invented. */
  readonly consumer?: string;
}

/**
 * A record that is held until the subscription's ack deadline. Each of its calls is durable when it resolves, and
 * rejects with LEASE_LOST when the record is somebody else's by now (`ack` counts nevertheless: the work is done).
 */
export interface PulledMessage extends ReceivedRecord {
  /** Number of this delivery, from 1. */
  readonly attempt: number;
  ack(): Promise<void>;
  /** To be delivered again, after the subscription's back-off unless said otherwise. */
  nack(options?: NackOptions): Promise<void>;
  /** To the dead-letter topic, or dropped where there is none. */
  reject(reason?: string): Promise<void>;
  /** Holds the record, and all that came with it in one batch, for so many ms from now; default: the ack deadline. */
  extend(durationMs?: number): Promise<void>;
}

interface Place {
  readonly connection: Connection;
  readonly topic: string;
  readonly subscription: string;
}

const { pull, acknowledge } = ConsumeService.method;

/** Throws what the broker refuses, and ARGUMENT_INVALID. */
export async function pullMessages(place: Place, options: PullOptions): Promise<PulledMessage[]> {
  const { connection, topic, subscription } = place;
  const waitMs = integerWithin('waitMs', options.waitMs ?? 0, 0, 20_000);
  const answer = await connection.unaryFrame(
    pull,
    {
      topic,
      subscription,
      recordsMax: integerWithin('recordsMax', options.recordsMax ?? 10, 1, 1_000),
      waitMs,
      consumer: options.consumer ?? '',
    },
    { extraMs: waitMs, signal: options.signal },
  );
  return readPullResponse(answer).flatMap((delivery) => messagesOf(place, delivery));
}

function messagesOf(place: Place, delivery: DeliveryFields): PulledMessage[] {
  const walker = new BatchWalker(delivery);
  const { count } = deliveredRange(delivery);
  return Array.from({ length: count }, () => {
    const { offset, record } = walker.next();
    return new HeldRecord(place, delivery, offset, record);
  });
}

class HeldRecord extends DeliveredRecord implements PulledMessage {
  private readonly place: Place;

  constructor(place: Place, delivery: DeliveryFields, offset: number, record: RecordView) {
    super(place.topic, delivery, offset, record);
    this.place = place;
  }

  get attempt(): number {
    return this.delivery.attempt;
  }

  ack(): Promise<void> {
    return this.say(AckVerb.ACK);
  }

  nack({ delayMs = 0, reason = '' }: NackOptions = {}): Promise<void> {
    return this.say(AckVerb.NACK, checkedDurationMs('delayMs', delayMs), reason);
  }

  reject(reason = ''): Promise<void> {
    return this.say(AckVerb.REJECT, 0, reason);
  }

  extend(durationMs = 0): Promise<void> {
    return this.say(AckVerb.EXTEND, checkedDurationMs('durationMs', durationMs));
  }

  private async say(verb: AckVerb, delayMs = 0, reason = ''): Promise<void> {
    const { connection, topic, subscription } = this.place;
    const offset = BigInt(this.offset);
    const { partition, lease } = this.delivery;
    const range = { partition, firstOffset: offset, lastOffset: offset, lease: BigInt(lease) };
    const acks = [{ ...range, verb, delayMs, reason }];
    const { failures } = await connection.unary(acknowledge, { topic, subscription, acks });
    const [failure] = failures;
    if (failure?.error !== undefined) throw errorOfItem(failure.error);
  }
}
