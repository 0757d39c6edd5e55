// Consumes a subscription: takes deliveries within its credit, hands out messages, gathers acks, extends deadlines,
// and goes on by itself after the connection was lost.
//
//   opening ──▶ open ──lost──▶ waiting (back-off) ──▶ opening …;   any ──close, refused for good──▶ closed
//
// Invariants:
// - What waits for the application is bounded by the credit that was given: records and bytes.
// - An ack that was not sent, or was asked to be confirmed and is not, is sent again after a reconnect.
// - Records that were never handed out are given back when the consumer closes: their attempt does not count.
import {
  AckVerb,
  ConsumeService,
  type AckFailure,
} from '../../../proto/gen/millrace/v1/consume_pb.ts';
import { NoticeKind } from '../../../proto/gen/millrace/v1/stream_pb.ts';
import { SubscriptionKind } from '../../../proto/gen/millrace/v1/subscription_pb.ts';
import { AsyncQueue } from '../async-queue.ts';
import { Backoff } from '../backoff.ts';
import type { Connection } from '../connection.ts';
import {
  clientError,
  errorOfItem,
  isTransient,
  toMillraceError,
  type MillraceError,
} from '../errors.ts';
import { gapFromProto, type GapRange } from '../positions.ts';
import type { RawBidiStream } from '../raw-stream.ts';
import {
  encodeConsumeRequest,
  encodeConsumerOpen,
  readConsumeResponse,
  type DeliveryFields,
} from '../wire/deliveries.ts';
import { AckConfirmations, type FailedAck } from './ack-confirmations.ts';
import { AckGathererState } from './ack-gatherer-state.ts';
import { HeldDelivery } from './held-delivery.ts';
import { Message, type Settler } from './message.ts';

export interface ConsumerOptions {
  /** Refused with SUBSCRIPTION_KIND_MISMATCH if the subscription is of another kind. Default: any. */
  readonly kind?: 'stream' | 'queue';
  /** Shown in the subscription's status. Default: the broker invents one. */
  readonly consumer?: string;
  /** Records that may be on their way, waiting or unacked here. Default 1,000. */
  readonly prefetchRecords?: number;
  /** The same in bytes. Default 8 MiB. */
  readonly prefetchBytes?: number;
  /** Acks are gathered for so long, ms. Default 2. */
  readonly ackGatherMs?: number;
  /** Deadlines of what this consumer holds are moved on by itself. Default true. */
  readonly autoExtend?: boolean;
  /** Streams: told of offsets that will never come. */
  readonly onGap?: (gap: GapRange) => void;
}

/** A frame with so many ranges is sent at once. */
const rangesPerFrameMax = 512;
/** Credit is given back in pieces of this share of the prefetch, so that frames stay few. */
const creditShare = 0.25;
/** How long `close` waits for the last acks to be durable. */
const closeWithinMs = 5_000;

export class Consumer implements AsyncIterable<Message>, Settler {
  readonly topic: string;
  readonly subscription: string;
  private readonly connection: Connection;
  private readonly options: Required<Omit<ConsumerOptions, 'kind' | 'consumer' | 'onGap'>>;
  private readonly kind: SubscriptionKind;
  private readonly consumerName: string;
  private readonly onGap: ((gap: GapRange) => void) | undefined;
  private readonly onClosed: (consumer: Consumer) => void;
  private readonly backoff = new Backoff(Math.random);
  private readonly queue: AsyncQueue<Message>;
  private readonly gathered = new AckGathererState();
  private readonly confirmations = new AckConfirmations();
  /** Not settled yet, of the present connection. */
  private readonly held = new Set<HeldDelivery>();
  /** Deliveries with records that the application does not have yet, oldest first. */
  private waiting: HeldDelivery[] = [];
  private stream: RawBidiStream | undefined;
  private connectionCount = 0;
  private isStream = false;
  /** The broker has answered the open. */
  private isOpen = false;
  private ackDeadlineMs = 0;
  private creditRecords = 0;
  private creditBytes = 0;
  private isClosed = false;
  private isLeaving = false;
  private isSendDue = false;
  private gatherTimer: NodeJS.Timeout | undefined;
  private retryTimer: NodeJS.Timeout | undefined;
  private extendTimer: NodeJS.Timeout | undefined;
  private closing: Promise<void> | undefined;

  constructor(
    connection: Connection,
    topic: string,
    subscription: string,
    options: ConsumerOptions,
    onClosed: (consumer: Consumer) => void,
  ) {
    this.connection = connection;
    this.onClosed = onClosed;
    this.topic = topic;
    this.subscription = subscription;
    this.kind = kindToProto(options.kind);
    this.consumerName = options.consumer ?? '';
    this.onGap = options.onGap;
    this.options = {
      prefetchRecords: options.prefetchRecords ?? 1_000,
      prefetchBytes: options.prefetchBytes ?? 8 * 1024 * 1024,
      ackGatherMs: options.ackGatherMs ?? 2,
      autoExtend: options.autoExtend ?? true,
    };
    this.queue = new AsyncQueue(
      () => this.handOutMore(),
      () => this.close(),
    );
    this.open();
  }

  [Symbol.asyncIterator](): AsyncIterator<Message> {
    return this.queue;
  }

  /** Messages handed out and not settled. */
  get inHandCount(): number {
    let count = 0;
    for (const delivery of this.held) count += delivery.inHandCount;
    return count;
  }

  /**
   * Gives back what was not handed out, waits until the acks so far are durable, then leaves. What is in the
   * application's hands unacked comes again, here or elsewhere.
   */
  close(): Promise<void> {
    this.closing ??= this.leave();
    return this.closing;
  }

  // --- Settler -------------------------------------------------------------------------------------------

  ack(message: Message): void {
    const { partition, offset, lease } = message;
    if (this.isStream) this.gathered.addCumulative(partition, offset, AckVerb.CUMULATIVE);
    else this.gathered.add(partition, offset, AckVerb.ACK, lease, 0);
    this.settled(message);
  }

  ackConfirmed(message: Message): Promise<void> {
    if (this.isClosed) return Promise.reject(closed());
    const { partition, offset, lease } = message;
    const confirmed = this.confirmations.wait({
      partition,
      firstOffset: this.isStream ? 0 : offset,
      lastOffset: offset,
      verb: this.isStream ? AckVerb.CUMULATIVE : AckVerb.ACK,
      lease: this.isStream ? 0 : lease,
      delayMs: 0,
    });
    this.scheduleSend();
    return confirmed;
  }

  nack(message: Message, delayMs: number): void {
    if (this.isStream) {
      throw clientError(
        'ARGUMENT_INVALID',
        'a stream has no nack; leave the record unacked instead',
      );
    }
    const { partition, offset, lease } = message;
    if (!message.held.isLost) this.gathered.add(partition, offset, AckVerb.NACK, lease, delayMs);
    this.settled(message);
  }

  extend(message: Message, durationMs: number): void {
    if (this.isStream || message.held.isLost) return;
    const { partition, offset, lease } = message;
    this.gathered.add(partition, offset, AckVerb.EXTEND, lease, durationMs);
    this.scheduleSend();
  }

  // --- Connection ----------------------------------------------------------------------------------------

  private open(): void {
    this.connectionCount++;
    this.isLeaving = false;
    try {
      this.stream = this.connection.openBidi(ConsumeService.method.consumeStream, {
        onFrame: (frame) => this.receive(frame),
        onEnd: (error) => this.ended(error),
      });
    } catch (error) {
      this.fail(toMillraceError(error));
      return;
    }
    this.stream.write(
      encodeConsumerOpen(this.topic, this.subscription, this.consumerName, this.kind),
    );
  }

  private receive(frame: Buffer): void {
    readConsumeResponse(frame, {
      opened: ({ kind, ackDeadlineMs }) => {
        this.backoff.reset();
        this.isStream = kind === SubscriptionKind.STREAM;
        this.ackDeadlineMs = ackDeadlineMs;
        this.isOpen = true;
        this.creditRecords = this.options.prefetchRecords;
        this.creditBytes = this.options.prefetchBytes;
        this.confirmations.sendAgain();
        this.startExtending();
        this.send();
      },
      delivered: (delivery) => this.take(delivery),
      gap: (gap) => this.onGap?.(gapFromProto(gap)),
      confirmed: ({ confirmId, failures }) => {
        this.confirmations.confirmed(Number(confirmId), failures.map(failureOf));
      },
      assigned: (active) => {
        const isGone = ({ fields }: HeldDelivery): boolean => !active.includes(fields.partition);
        this.lose(isGone);
      },
      leaseLost: (partition, lease) => {
        this.lose(({ fields }) => fields.partition === partition && fields.lease === lease);
      },
      ackFailed: () => {
        // The record was, or will be, delivered again: at least once, as promised.
      },
      noticed: ({ kind, retryAfterMs }) => {
        if (kind === NoticeKind.CLOSING) this.leaveBroker(retryAfterMs);
      },
    });
  }

  private take(fields: DeliveryFields): void {
    const delivery = new HeldDelivery(fields, this.connectionCount);
    this.held.add(delivery);
    this.waiting.push(delivery);
    if (this.queue.length === 0) this.handOutMore();
  }

  /** Decodes the next records, a few ahead of the application. */
  private handOutMore(): void {
    while (this.queue.length < 16) {
      const [delivery] = this.waiting;
      if (delivery === undefined) return;
      const walked = delivery.isLost ? undefined : delivery.handOut();
      if (walked === undefined) {
        this.waiting.shift();
        continue;
      }
      if (!delivery.hasUnhanded) this.waiting.shift();
      this.queue.push(new Message(this.topic, delivery, walked.offset, walked.record, this));
    }
  }

  private settled(message: Message): void {
    const { held } = message;
    if (held.connection === this.connectionCount) {
      this.creditRecords++;
      if (held.settle()) {
        this.creditBytes += held.fields.batch.length;
        this.held.delete(held);
      }
    }
    this.scheduleSend();
  }

  /** Deliveries whose records may not be handed out any more. Their credit comes back. */
  private lose(isLost: (delivery: HeldDelivery) => boolean): void {
    for (const delivery of this.held) {
      if (!isLost(delivery)) continue;
      delivery.isLost = true;
      this.held.delete(delivery);
      if (delivery.connection === this.connectionCount) {
        this.creditRecords += delivery.recordCount - delivery.inHandCount;
        this.creditBytes += delivery.fields.batch.length;
      }
    }
    const kept = this.queue.clear().filter(({ held }) => !held.isLost);
    for (const message of kept) this.queue.push(message);
    this.handOutMore();
    this.scheduleSend();
  }

  private ended(error: MillraceError | undefined): void {
    this.stream = undefined;
    this.isOpen = false;
    clearInterval(this.extendTimer);
    this.lose(() => true);
    this.creditRecords = 0;
    this.creditBytes = 0;
    if (this.isClosed) return;
    if (error !== undefined && !isTransient(error)) {
      this.fail(error);
      return;
    }
    this.retryTimer = setTimeout(() => this.open(), this.backoff.nextMs(error?.retryAfterMs));
  }

  private fail(error: MillraceError): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.confirmations.fail(error);
    this.queue.end(error);
    this.onClosed(this);
  }

  // --- Sending -------------------------------------------------------------------------------------------

  private scheduleSend(): void {
    if (this.gathered.rangeCount >= rangesPerFrameMax) {
      this.send();
      return;
    }
    if (this.confirmations.hasUnsent) {
      if (this.gatherTimer !== undefined) clearTimeout(this.gatherTimer);
      this.gatherTimer = undefined;
      if (this.isSendDue) return;
      this.isSendDue = true;
      setImmediate(() => this.send());
      return;
    }
    this.gatherTimer ??= setTimeout(() => this.send(), this.options.ackGatherMs);
  }

  /** Sends what was gathered, with the credit that has come free. */
  private send(): void {
    clearTimeout(this.gatherTimer);
    this.gatherTimer = undefined;
    this.isSendDue = false;
    const { stream } = this;
    if (stream === undefined || !this.isOpen) return;
    const credit = this.takeCredit();
    const { confirmId, acks: confirmedAcks } = this.confirmations.take();
    const acks = [...this.gathered.take(), ...confirmedAcks];
    const isEmpty = acks.length === 0 && confirmId === 0 && credit.records === 0;
    if (isEmpty && credit.bytes === 0) return;
    stream.write(
      encodeConsumeRequest({
        creditRecords: credit.records,
        creditBytes: credit.bytes,
        acks,
        confirmId,
      }),
    );
  }

  /** Credit worth a frame; small change waits. */
  private takeCredit(): { readonly records: number; readonly bytes: number } {
    const { prefetchRecords, prefetchBytes } = this.options;
    if (this.isLeaving || this.isClosed) return { records: 0, bytes: 0 };
    const isWorth =
      this.creditRecords >= prefetchRecords * creditShare ||
      this.creditBytes >= prefetchBytes * creditShare ||
      this.held.size === 0;
    if (!isWorth) return { records: 0, bytes: 0 };
    const credit = { records: this.creditRecords, bytes: this.creditBytes };
    this.creditRecords = 0;
    this.creditBytes = 0;
    return credit;
  }

  private startExtending(): void {
    clearInterval(this.extendTimer);
    if (this.isStream || !this.options.autoExtend) return;
    this.extendTimer = setInterval(() => this.extendAll(), this.ackDeadlineMs / 3);
    this.extendTimer.unref();
  }

  private extendAll(): void {
    for (const { fields, lastOffset } of this.held) {
      const { partition, lease } = fields;
      this.gathered.add(partition, lastOffset, AckVerb.EXTEND, lease, 0);
    }
    if (!this.gathered.isEmpty) this.send();
  }

  // --- Leaving -------------------------------------------------------------------------------------------

  /** Records that were not handed out go back to the broker. */
  private returnWaiting(): void {
    const firstReturned = new Map<HeldDelivery, number>();
    for (const { held, offset } of this.queue.clear()) {
      if (!firstReturned.has(held)) firstReturned.set(held, offset);
    }
    for (const delivery of this.waiting) {
      if (!firstReturned.has(delivery)) firstReturned.set(delivery, delivery.firstUnhanded);
    }
    this.waiting = [];
    if (this.isStream) return;
    for (const [{ fields, lastOffset, isLost }, first] of firstReturned) {
      if (isLost || first > lastOffset) continue;
      const { partition, lease } = fields;
      this.gathered.addRange(partition, first, lastOffset, AckVerb.RETURN, lease, 0);
    }
  }

  private async leave(): Promise<void> {
    this.returnWaiting();
    this.queue.end();
    if (this.stream !== undefined && this.isOpen) {
      const last = this.confirmations.flush();
      this.send();
      await Promise.race([
        last,
        new Promise((resolve) => setTimeout(resolve, closeWithinMs).unref()),
      ]);
    }
    this.isClosed = true;
    clearTimeout(this.retryTimer);
    clearInterval(this.extendTimer);
    this.confirmations.fail(closed());
    const { stream } = this;
    this.stream = undefined;
    stream?.halfClose();
    this.onClosed(this);
  }

  /** The broker shuts down: what was not handed out goes back at once, the stream ends when the rest is settled. */
  private leaveBroker(graceMs: number): void {
    if (this.isLeaving) return;
    this.isLeaving = true;
    this.returnWaiting();
    const { stream } = this;
    const giveUpAtMs = performance.now() + graceMs * 0.8;
    const step = (): void => {
      if (stream === undefined || stream.isEnded) return;
      if (this.inHandCount > 0 && performance.now() < giveUpAtMs) {
        setTimeout(step, 20).unref();
        return;
      }
      this.send();
      stream.halfClose();
    };
    step();
  }
}

function kindToProto(kind: 'stream' | 'queue' | undefined): SubscriptionKind {
  if (kind === undefined) return SubscriptionKind.UNSPECIFIED;
  return kind === 'stream' ? SubscriptionKind.STREAM : SubscriptionKind.QUEUE;
}

function failureOf(failure: AckFailure): FailedAck {
  return {
    partition: failure.partition,
    lastOffset: Number(failure.lastOffset),
    error: failure.error === undefined ? undefined : errorOfItem(failure.error),
  };
}

function closed(): MillraceError {
  return clientError('CLIENT_CLOSED', 'the consumer was closed before the ack was confirmed', {
    effect: 'unknown',
  });
}
