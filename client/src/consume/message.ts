// A record that a consumer was handed, with what can be said of it.
import type { RecordView } from '../records/decode-batch.ts';
import { DeliveredRecord } from '../records/delivered-record.ts';
import type { HeldDelivery } from './held-delivery.ts';

/** Takes what is said of a message. */
export interface Settler {
  ack(message: Message): void;
  ackConfirmed(message: Message): Promise<void>;
  nack(message: Message, delayMs: number): void;
  extend(message: Message, durationMs: number): void;
}

export interface NackOptions {
  /** Not delivered again before, at most 12 h. Default: the subscription's back-off. */
  readonly delayMs?: number;
}

export class Message extends DeliveredRecord {
  readonly held: HeldDelivery;
  private readonly settler: Settler;
  private settledAs: 'ack' | 'nack' | undefined;

  constructor(
    topic: string,
    held: HeldDelivery,
    offset: number,
    record: RecordView,
    settler: Settler,
  ) {
    super(topic, held.fields, offset, record);
    this.held = held;
    this.settler = settler;
  }

  /** Number of this delivery, from 1; 0 for streams. */
  get attempt(): number {
    return this.delivery.attempt;
  }

  get lease(): number {
    return this.delivery.lease;
  }

  /** Done. Streams: this record and everything before it in its partition. Sent within milliseconds. */
  ack(): void {
    if (this.settledAs !== undefined) return;
    this.settledAs = 'ack';
    this.settler.ack(this);
  }

  /** Like `ack`; resolves when the ack is durable, over reconnects too. Rejects when the consumer is closed before. */
  ackConfirmed(): Promise<void> {
    if (this.settledAs === undefined) {
      this.settledAs = 'ack';
      this.settler.ack(this);
    }
    return this.settler.ackConfirmed(this);
  }

  /** Failed: to be delivered again, to any consumer. Queues only; streams throw ARGUMENT_INVALID. */
  nack(options: NackOptions = {}): void {
    if (this.settledAs !== undefined) return;
    this.settler.nack(this, options.delayMs ?? 0);
    this.settledAs = 'nack';
  }

  /** Still working: moves the deadline of this record's delivery to so long from now. Default: the ack deadline. */
  extend(durationMs = 0): void {
    if (this.settledAs === undefined) this.settler.extend(this, durationMs);
  }
}
