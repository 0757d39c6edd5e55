// The ConsumeStream of one consumer, opened again by itself until it is closed or refused for good.
//
//   opening ──answered──▶ open ──notice──▶ closing ──leave()──▶ left ──ended──▶ waiting (back-off) ──▶ opening …
//      │                    └──────────── lost ──────────────────────────────────▶ waiting
//      └── refused for good ──▶ closed                                     from every state: close() ──▶ closed
//
// Invariants:
// - Frames are written while the stream is open or closing only.
// - `lost` is called once for every stream that was opened, unless it is closed.
import { ConsumeService, type ConsumerOpened } from '../../../proto/gen/millrace/v1/consume_pb.ts';
import { NoticeKind } from '../../../proto/gen/millrace/v1/stream_pb.ts';
import { SubscriptionKind as KindMessage } from '../../../proto/gen/millrace/v1/subscription_pb.ts';
import { Backoff } from '../backoff.ts';
import type { Connection } from '../connection.ts';
import { isTransient, toMillraceError, type MillraceError } from '../errors.ts';
import type { RawBidiStream } from '../raw-stream.ts';
import { kindToProto, type SubscriptionKind } from '../subscription-kind.ts';
import {
  encodeConsumeRequest,
  encodeConsumerOpen,
  readConsumeResponse,
  type ConsumeEvents,
  type ConsumeRequestFields,
} from '../wire/deliveries.ts';

export interface ConsumeStreamEvents extends Omit<ConsumeEvents, 'noticed'> {
  /** The broker ends the stream after so many ms: settle, then `leave`. */
  closing(graceMs: number): void;
  /** What was delivered over the stream is not held any more. */
  lost(): void;
  /** It will not be opened again. */
  failed(error: MillraceError): void;
}

export interface ConsumeStreamTarget {
  readonly topic: string;
  readonly subscription: string;
  readonly consumer: string;
  readonly kind: SubscriptionKind | undefined;
}

type State =
  /** Asked for; the broker has not answered. */
  | 'opening'
  | 'open'
  /** The broker shuts down: what is held is settled, nothing new is asked for. */
  | 'closing'
  /** Nothing more is written; the broker ends the stream. */
  | 'left'
  /** To be opened again after the back-off. */
  | 'waiting'
  | 'closed';

export class ConsumeStream {
  private readonly connection: Connection;
  private readonly target: ConsumeStreamTarget;
  private readonly events: ConsumeEvents;
  private readonly whole: ConsumeStreamEvents;
  private readonly backoff = new Backoff(Math.random);
  private state: State = 'opening';
  private stream: RawBidiStream | undefined;
  private retryTimer: NodeJS.Timeout | undefined;

  constructor(connection: Connection, target: ConsumeStreamTarget, events: ConsumeStreamEvents) {
    this.connection = connection;
    this.target = target;
    this.whole = events;
    this.events = {
      ...events,
      opened: (opened) => this.opened(opened),
      noticed: ({ kind, retryAfterMs }) => {
        if (kind === NoticeKind.CLOSING) this.noticedClosing(retryAfterMs);
      },
    };
  }

  /** Acks can be sent. */
  get isOpen(): boolean {
    return this.state === 'open' || this.state === 'closing';
  }

  /** Deliveries are wanted. */
  get takesCredit(): boolean {
    return this.state === 'open';
  }

  open(): void {
    this.state = 'opening';
    const { topic, subscription, consumer, kind } = this.target;
    try {
      const stream = this.connection.openBidi(ConsumeService.method.consumeStream, {
        onFrame: (frame) => {
          if (this.state !== 'closed') readConsumeResponse(frame, this.events);
        },
        onEnd: (error) => this.ended(error),
      });
      this.stream = stream;
      const wanted = kind === undefined ? KindMessage.UNSPECIFIED : kindToProto(kind);
      stream.write(encodeConsumerOpen(topic, subscription, consumer, wanted));
    } catch (error) {
      this.fail(toMillraceError(error));
    }
  }

  send(request: ConsumeRequestFields): void {
    if (this.isOpen) this.stream?.write(encodeConsumeRequest(request));
  }

  /** No more frames on this stream; it is opened again when the broker has ended it. */
  leave(): void {
    if (!this.isOpen) return;
    this.state = 'left';
    this.stream?.halfClose();
  }

  close(): void {
    if (this.state === 'closed') return;
    this.state = 'closed';
    clearTimeout(this.retryTimer);
    this.stream?.halfClose();
    this.stream = undefined;
  }

  /** Ends it with an error of this side. */
  fail(error: MillraceError): void {
    if (this.state === 'closed') return;
    this.state = 'closed';
    clearTimeout(this.retryTimer);
    this.stream?.cancel();
    this.stream = undefined;
    this.whole.failed(error);
  }

  private opened(opened: ConsumerOpened): void {
    this.backoff.reset();
    this.state = 'open';
    this.whole.opened(opened);
  }

  private noticedClosing(graceMs: number): void {
    if (this.state !== 'open') return;
    this.state = 'closing';
    this.whole.closing(graceMs);
  }

  private ended(error: MillraceError | undefined): void {
    if (this.state === 'closed') return;
    this.stream = undefined;
    this.whole.lost();
    if (error !== undefined && !isTransient(error)) {
      this.fail(error);
      return;
    }
    this.state = 'waiting';
    this.retryTimer = setTimeout(() => this.open(), this.backoff.nextMs(error?.retryAfterMs));
  }
}
