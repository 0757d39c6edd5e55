// A record that a consumer was handed, with what can be said of it.
import type { Decoder } from '../records/codec.ts';
import { DeliveredRecord } from '../records/delivered-record.ts';
import type { ReceivedRecord } from '../records/record.ts';
import type { HandedOut } from './delivery-table-state.ts';
import type { HeldDelivery } from './held-delivery.ts';
import { checkedDurationMs } from './options.ts';

/** A delivered record. The first of `ack`, `ackConfirmed`, `nack` and `reject` counts. */
export interface Message<T = Buffer> extends ReceivedRecord<T> {
  /** Number of this delivery, from 1; 0 for streams. */
  readonly attempt: number;
  /** Queues: number of this hand-over; it only rises within a partition, over restarts too. 0 for streams. */
  readonly lease: number;

  /**
   * Aborts when the record is not this consumer's any more: with LEASE_LOST when its deadline passed, the connection
   * was lost, the subscription was moved, or another consumer got the partition of a stream; with CLIENT_CLOSED when
   * the consumer has closed. Work that goes on after that may be done twice. Records of one lease share it, and so do
   * those of a stream's partition: take away listeners that you add.
   */
  readonly signal: AbortSignal;

  /** Done. Streams: this record and everything before it in its partition. Sent within milliseconds. */
  ack(): void;

  /**
   * Like `ack`; resolves when the ack is durable, over lost connections too. Rejects with CLIENT_CLOSED when the
   * consumer is closed before, LEASE_LOST or ACK_INVALID when the record will be delivered again nevertheless.
   */
  ackConfirmed(): Promise<void>;

  /** Failed: to be delivered again, to any consumer. Queues only; streams throw ARGUMENT_INVALID. */
  nack(options?: NackOptions): void;

  /**
   * Will never succeed: goes to the subscription's dead-letter topic at once, or is dropped when it has none. `reason`
   * is kept with it, up to 256 bytes. Queues only; streams throw ARGUMENT_INVALID.
   */
  reject(reason?: string): void;

  /**
   * Still working: moves the deadline of this record's delivery to so many ms from now, at most 12 h. Default: the
   * subscription's ack deadline. Streams have none: nothing happens. Throws ARGUMENT_INVALID.
   */
  extend(durationMs?: number): void;
}

export interface NackOptions {
  /** Not delivered again before so many ms, at most 12 h. Default: the subscription's back-off. */
  readonly delayMs?: number;
  /** What went wrong, up to 256 bytes; kept with the record if it becomes a dead letter. */
  readonly reason?: string;
}

/** A message with what holds it. */
export type AnyMessage = HeldMessage<unknown>;

/** Takes what is said of a message. */
export interface Settler {
  ack(message: AnyMessage): void;
  /** `isFirst`: nothing was said of it before. */
  ackConfirmed(message: AnyMessage, isFirst: boolean): Promise<void>;
  nack(message: AnyMessage, delayMs: number, reason: string): void;
  reject(message: AnyMessage, reason: string): void;
  giveBack(message: AnyMessage): void;
  extend(message: AnyMessage, durationMs: number): void;
}

export class HeldMessage<T> extends DeliveredRecord<T> implements Message<T> {
  readonly held: HeldDelivery;
  private readonly settler: Settler;
  private isSettled = false;

  constructor(
    topic: string,
    { delivery, walked }: HandedOut,
    decoder: Decoder<T>,
    settler: Settler,
  ) {
    super(topic, delivery.fields, walked.offset, walked.record, decoder);
    this.held = delivery;
    this.settler = settler;
  }

  get attempt(): number {
    return this.delivery.attempt;
  }

  get lease(): number {
    return this.delivery.lease;
  }

  get signal(): AbortSignal {
    return this.held.lossScope.signal;
  }

  ack(): void {
    if (this.isSettled) return;
    this.isSettled = true;
    this.settler.ack(this);
  }

  ackConfirmed(): Promise<void> {
    const isFirst = !this.isSettled;
    this.isSettled = true;
    return this.settler.ackConfirmed(this, isFirst);
  }

  nack(options: NackOptions = {}): void {
    if (this.isSettled) return;
    const delayMs = checkedDurationMs('delayMs', options.delayMs ?? 0);
    this.settler.nack(this, delayMs, options.reason ?? '');
    this.isSettled = true;
  }

  reject(reason = ''): void {
    if (this.isSettled) return;
    this.settler.reject(this, reason);
    this.isSettled = true;
  }

  /** Nobody has begun to work on it: ready again at once, uncounted. Only while nothing more is asked for. */
  giveBack(): void {
    if (this.isSettled) return;
    this.isSettled = true;
    this.settler.giveBack(this);
  }

  extend(durationMs = 0): void {
    const checked = checkedDurationMs('durationMs', durationMs);
    if (!this.isSettled) this.settler.extend(this, checked);
  }
}
