// Working on a queue without a stream: a few records at a time, for scripts and functions.
import { ConsumeService } from '../../../proto/gen/millrace/v1/consume_pb.ts';
import { integerWithin } from '../checked-number.ts';
import type { Decoder } from '../records/codec.ts';
import { DeliveredRecord } from '../records/delivered-record.ts';
import { BatchWalker, deliveredRange } from '../records/delivered-batch.ts';
import type { RecordView } from '../records/record-view.ts';
import type { ReceivedRecord } from '../records/record.ts';
import { readPullResponse, type DeliveryFields } from '../wire/deliveries.ts';
import { acknowledge, type AckRange, type SubscriptionPlace } from './acknowledge.ts';
import type { NackOptions } from './message.ts';

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
 * To settle many at once, see `Client.acknowledge`.
 */
export interface PulledMessage<T = Buffer> extends ReceivedRecord<T> {
  /** Number of this delivery, from 1. */
  readonly attempt: number;
  /** Number of this hand-over; it only rises within a partition, over restarts too. */
  readonly lease: number;
  ack(): Promise<void>;
  /** To be delivered again, after the subscription's back-off unless said otherwise. */
  nack(options?: NackOptions): Promise<void>;
  /** To the dead-letter topic, or dropped where there is none. */
  reject(reason?: string): Promise<void>;
  /** Not begun: ready again at once, and this delivery does not count as an attempt. */
  return(): Promise<void>;
  /** Holds the record, and all that came with it in one batch, for so many ms from now; default: the ack deadline. */
  extend(durationMs?: number): Promise<void>;
}

/** Throws what the broker refuses, and ARGUMENT_INVALID. */
export async function pullMessages<T>(
  place: SubscriptionPlace,
  options: PullOptions,
  decoder: Decoder<T>,
): Promise<PulledMessage<T>[]> {
  const { connection, topic, subscription } = place;
  const waitMs = integerWithin('waitMs', options.waitMs ?? 0, 0, 20_000);
  const answer = await connection.unaryFrame(
    ConsumeService.method.pull,
    {
      topic,
      subscription,
      recordsMax: integerWithin('recordsMax', options.recordsMax ?? 10, 1, 1_000),
      waitMs,
      consumer: options.consumer ?? '',
    },
    { extraMs: waitMs, signal: options.signal },
  );
  return readPullResponse(answer).flatMap((delivery) => messagesOf(place, delivery, decoder));
}

function messagesOf<T>(
  place: SubscriptionPlace,
  delivery: DeliveryFields,
  decoder: Decoder<T>,
): PulledMessage<T>[] {
  const walker = new BatchWalker(delivery);
  const { count } = deliveredRange(delivery);
  return Array.from({ length: count }, () => {
    const { offset, record } = walker.next();
    return new HeldRecord(place, delivery, offset, record, decoder);
  });
}

class HeldRecord<T> extends DeliveredRecord<T> implements PulledMessage<T> {
  private readonly place: SubscriptionPlace;

  constructor(
    place: SubscriptionPlace,
    delivery: DeliveryFields,
    offset: number,
    record: RecordView,
    decoder: Decoder<T>,
  ) {
    super(place.topic, delivery, offset, record, decoder);
    this.place = place;
  }

  get attempt(): number {
    return this.delivery.attempt;
  }

  get lease(): number {
    return this.delivery.lease;
  }

  ack(): Promise<void> {
    return this.say({ verb: 'ack' });
  }

  nack({ delayMs = 0, reason = '' }: NackOptions = {}): Promise<void> {
    return this.say({ verb: 'nack', delayMs, reason });
  }

  reject(reason = ''): Promise<void> {
    return this.say({ verb: 'reject', reason });
  }

  return(): Promise<void> {
    return this.say({ verb: 'return' });
  }

  extend(durationMs = 0): Promise<void> {
    return this.say({ verb: 'extend', delayMs: durationMs });
  }

  private async say(what: Pick<AckRange, 'verb' | 'delayMs' | 'reason'>): Promise<void> {
    const { partition, offset: firstOffset, lease } = this;
    const [refused] = await acknowledge(this.place, [{ partition, firstOffset, lease, ...what }]);
    if (refused !== undefined) throw refused.error;
  }
}
