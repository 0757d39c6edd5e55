// One streaming call whose frames are raw bytes, both ways.
//
//   open ──broker ends, error, connection lost, cancel──▶ ended
//
// Invariants:
// - `onEnd` is called exactly once, after the last `onFrame`; without an error when the broker ended with OK.
// - Nothing is called in the turn that opened the stream.
import type { ClientDuplexStream, ClientReadableStream } from '@grpc/grpc-js';
import { toMillraceError, type MillraceError } from './errors.ts';

export interface StreamEvents {
  /** One message, as bytes. A throw ends the stream with what was thrown. */
  readonly onFrame: (frame: Buffer) => void;
  readonly onEnd: (error: MillraceError | undefined) => void;
  /** Writing may go on after `write` answered false. */
  readonly onDrain?: () => void;
}

/** A stream that the broker writes. */
export class RawServerStream {
  private readonly call: ClientReadableStream<Buffer>;
  private readonly events: StreamEvents;
  private ended = false;

  constructor(call: ClientReadableStream<Buffer>, events: StreamEvents) {
    this.call = call;
    this.events = events;
    call.on('data', (frame: Buffer) => this.receive(frame));
    call.on('error', (error: unknown) => this.end(toMillraceError(error)));
    call.on('end', () => this.end(undefined));
  }

  get isEnded(): boolean {
    return this.ended;
  }

  /** Holds frames back; HTTP/2 flow control then holds the broker back. */
  pause(): void {
    this.call.pause();
  }

  resume(): void {
    this.call.resume();
  }

  /** Ends the stream from here; `onEnd` follows with `error`. */
  cancel(error?: MillraceError): void {
    if (this.ended) return;
    this.call.cancel();
    queueMicrotask(() => this.end(error));
  }

  private receive(frame: Buffer): void {
    if (this.ended) return;
    try {
      this.events.onFrame(frame);
    } catch (error) {
      this.call.cancel();
      this.end(toMillraceError(error));
    }
  }

  private end(error: MillraceError | undefined): void {
    if (this.ended) return;
    this.ended = true;
    this.events.onEnd(error);
  }
}

/** A stream that both sides write. */
export class RawBidiStream extends RawServerStream {
  private readonly duplex: ClientDuplexStream<Buffer, Buffer>;

  constructor(call: ClientDuplexStream<Buffer, Buffer>, events: StreamEvents) {
    super(call, events);
    this.duplex = call;
    call.on('drain', () => {
      if (!this.isEnded) events.onDrain?.();
    });
  }

  /** False: stop writing until `onDrain`. The bytes must stay as they are until the broker answered them. */
  write(frame: Buffer): boolean {
    return this.isEnded || this.duplex.write(frame);
  }

  /** No more frames from here; the broker answers what it still owes and ends the stream. */
  halfClose(): void {
    if (!this.isEnded) this.duplex.end();
  }
}
