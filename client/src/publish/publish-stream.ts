// The one PublishStream of a client: any number of publishers by handle, opened again by itself for ever.
//
//   idle ──first publisher──▶ up ──lost──▶ down (back-off) ──▶ up …
//     ▲                        │ CLOSING ──▶ leaving ──last answer──▶ down
//     └──last publisher gone───┘
//
// Invariants:
// - A handle is used once per stream, so that late answers for a publisher's old handle reach nobody.
// - Unanswered bytes stay within what the broker allows (`window_bytes`); one append is always allowed.
// - Nothing is written while the stream does not drain. What is written in one turn of the event loop shares frames.
import { status } from '@grpc/grpc-js';
import { PublishService, type PublisherOpened } from '../../../proto/gen/millrace/v1/publish_pb.ts';
import { NoticeKind, type Notice } from '../../../proto/gen/millrace/v1/stream_pb.ts';
import { Backoff } from '../backoff.ts';
import type { Connection } from '../connection.ts';
import { isTransient, type MillraceError } from '../errors.ts';
import type { RawBidiStream } from '../raw-stream.ts';
import {
  encodeClose,
  encodeOpen,
  readPublishAnswers,
  type AppendAnswer,
} from '../wire/publish-answers.ts';
import { BufferPool } from './buffer-pool.ts';

/** A publisher as its stream sees it. */
export interface StreamPublisher {
  readonly topic: string;
  readonly name: string;
  /** The stream is up: open a handle on it. */
  streamUp(): void;
  /** With an error: the broker will not have this stream, whatever is tried. */
  streamLost(error: MillraceError | undefined): void;
  handleOpened(opened: PublisherOpened): void;
  answered(answer: AppendAnswer): void;
  /** Called once after `atTurnEnd`: seal and send what is there. */
  turnEnded(): void;
}

interface Handle {
  readonly publisher: StreamPublisher;
  unansweredBytes: number;
}

type State = 'idle' | 'up' | 'leaving' | 'down';

/** Appends smaller than this share a frame; a larger one is worth a frame, and no copy. */
const sharedAppendBytesMax = 16 * 1024;
const sharedFrameBytesMax = 64 * 1024;

export class PublishStream {
  /** Bytes of records that all publishers of this client hold. */
  heldBytes = 0;
  readonly buffers = new BufferPool();
  private readonly connection: Connection;
  private readonly publishers = new Set<StreamPublisher>();
  private readonly handles = new Map<number, Handle>();
  private readonly atEnd = new Set<StreamPublisher>();
  private readonly backoff: Backoff;
  private state: State = 'idle';
  private stream: RawBidiStream | undefined;
  private lastHandle = -1;
  private windowBytes = 0;
  private unansweredBytes = 0;
  private outputFull = false;
  private isReceiving = false;
  private isScheduled = false;
  private shared: Buffer[] = [];
  private sharedBytes = 0;
  private retryTimer: NodeJS.Timeout | undefined;

  constructor(connection: Connection) {
    this.connection = connection;
    this.backoff = new Backoff(Math.random);
  }

  /** Handles can be opened. */
  get isUp(): boolean {
    return this.state === 'up';
  }

  /** Nothing can be published any more. */
  get isClosed(): boolean {
    return this.connection.isClosed;
  }

  add(publisher: StreamPublisher): void {
    this.publishers.add(publisher);
    if (this.state === 'idle') this.connect();
    else if (this.state === 'up') publisher.streamUp();
  }

  remove(publisher: StreamPublisher): void {
    this.publishers.delete(publisher);
    this.atEnd.delete(publisher);
    if (this.publishers.size > 0) return;
    clearTimeout(this.retryTimer);
    this.flush();
    const { stream } = this;
    this.forget();
    this.state = 'idle';
    stream?.halfClose();
  }

  /** Opens the publisher under a handle of its own; `handleOpened` follows. */
  open(publisher: StreamPublisher, epoch: number): number {
    const handle = ++this.lastHandle;
    this.handles.set(handle, { publisher, unansweredBytes: 0 });
    this.share(encodeOpen(handle, publisher.topic, publisher.name, epoch));
    return handle;
  }

  /** Answers still owed to the handle are dropped. */
  close(handle: number): void {
    if (this.forgetHandle(handle)) this.share(encodeClose(handle));
  }

  /** An append of so many bytes may be sent now; if not, the next turn end says when to try again. */
  admits(bytes: number, publisher: StreamPublisher): boolean {
    const fits = this.unansweredBytes === 0 || this.unansweredBytes + bytes <= this.windowBytes;
    if (this.state === 'up' && fits && !this.outputFull) return true;
    this.atEnd.add(publisher);
    return false;
  }

  /** Sends the frame of one append of a batch of `bytes`. */
  append(handle: number, frame: Buffer, bytes: number): void {
    this.owe(handle, bytes);
    if (frame.length <= sharedAppendBytesMax) this.share(frame);
    else {
      this.flush();
      this.write(frame);
    }
  }

  /** An append of so many bytes was answered. */
  landed(handle: number, bytes: number): void {
    this.owe(handle, -bytes);
  }

  /** Calls the publisher's `turnEnded` when the present turn of the event loop is over. */
  atTurnEnd(publisher: StreamPublisher): void {
    this.atEnd.add(publisher);
    this.schedule();
  }

  private connect(): void {
    this.state = 'up';
    this.outputFull = false;
    this.lastHandle = -1;
    const stream = this.connection.openBidi(PublishService.method.publishStream, {
      onFrame: (frame) => {
        if (stream === this.stream) this.receive(frame);
      },
      onDrain: () => {
        this.outputFull = false;
        this.schedule();
      },
      onEnd: (error) => {
        if (stream === this.stream) this.lost(error);
      },
    });
    this.stream = stream;
    for (const publisher of this.publishers) publisher.streamUp();
  }

  private lost(error: MillraceError | undefined): void {
    this.forget();
    this.state = 'down';
    const fatal = error !== undefined && isFatal(error) ? error : undefined;
    for (const publisher of this.publishers) publisher.streamLost(fatal);
    if (this.connection.isClosed) return;
    const waitMs = this.backoff.nextMs(error?.retryAfterMs);
    this.retryTimer = setTimeout(() => this.connect(), waitMs);
  }

  private owe(handle: number, bytes: number): void {
    const known = this.handles.get(handle);
    if (known === undefined) return;
    known.unansweredBytes += bytes;
    this.unansweredBytes += bytes;
  }

  private forgetHandle(handle: number): boolean {
    this.owe(handle, -(this.handles.get(handle)?.unansweredBytes ?? 0));
    return this.handles.delete(handle);
  }

  private forget(): void {
    this.stream = undefined;
    this.handles.clear();
    this.shared = [];
    this.sharedBytes = 0;
    this.unansweredBytes = 0;
    this.windowBytes = 0;
  }

  private receive(frame: Buffer): void {
    this.isReceiving = true;
    try {
      readPublishAnswers(frame, {
        opened: (opened) => this.opened(opened),
        appended: (answer) => this.handles.get(answer.handle)?.publisher.answered(answer),
        noticed: (notice) => this.noticed(notice),
      });
    } finally {
      this.isReceiving = false;
    }
    this.leaveWhenAnswered();
    if (this.atEnd.size > 0) this.schedule();
  }

  private opened(opened: PublisherOpened): void {
    if (opened.error === undefined) {
      this.backoff.reset();
      this.windowBytes = opened.windowBytes;
    }
    const handle = this.handles.get(opened.handle);
    if (opened.error !== undefined) this.handles.delete(opened.handle);
    handle?.publisher.handleOpened(opened);
  }

  private noticed(notice: Notice): void {
    // What was sent is still answered; the rest goes over the next stream.
    if (notice.kind === NoticeKind.CLOSING && this.state === 'up') this.state = 'leaving';
  }

  private leaveWhenAnswered(): void {
    if (this.state === 'leaving' && this.unansweredBytes === 0) this.stream?.halfClose();
  }

  private schedule(): void {
    // After a frame has been read whole: then every promise that it settles runs before its turn is over.
    if (this.isScheduled || this.isReceiving) return;
    this.isScheduled = true;
    // A tick that is asked for by a microtask comes after all microtasks: after what the application does with the
    // confirmations of this turn. What it publishes then goes out together.
    queueMicrotask(() => process.nextTick(() => this.turnEnded()));
  }

  private turnEnded(): void {
    this.isScheduled = false;
    const publishers = [...this.atEnd];
    this.atEnd.clear();
    for (const publisher of publishers) publisher.turnEnded();
    this.flush();
  }

  private share(frame: Buffer): void {
    if (this.sharedBytes + frame.length > sharedFrameBytesMax) this.flush();
    this.shared.push(frame);
    this.sharedBytes += frame.length;
    this.schedule();
  }

  private flush(): void {
    const { shared, sharedBytes } = this;
    if (shared.length === 0) return;
    this.shared = [];
    this.sharedBytes = 0;
    const [only] = shared;
    this.write(
      shared.length === 1 && only !== undefined ? only : Buffer.concat(shared, sharedBytes),
    );
  }

  private write(frame: Buffer): void {
    if (this.stream !== undefined && !this.stream.write(frame)) this.outputFull = true;
  }
}

/** Not a matter of time: rights, or another protocol. INTERNAL is how grpc-js reports some broken connections. */
function isFatal(error: MillraceError): boolean {
  const { kind, code } = error;
  if (isTransient(error)) return false;
  return kind === 'denied' || kind === 'invalid' || code === status.UNIMPLEMENTED;
}
