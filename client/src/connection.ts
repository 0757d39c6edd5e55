// One connection to a broker: unary calls as messages, streams as raw frames.
//
// Invariants:
// - Lazy: nothing is sent before the first call. Lost connections come back with the next call.
// - Every unary call has a deadline. Only reads are repeated, and only when the broker could not be reached.
// - After `close()` every call fails with CLIENT_CLOSED.
import type {
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
  DescMessage,
} from '@bufbuild/protobuf';
import { Client as GrpcClient, credentials, type ClientUnaryCall } from '@grpc/grpc-js';
import { setTimeout as sleep } from 'node:timers/promises';
import { Backoff, backoffMs } from './backoff.ts';
import { bearer, type TokenSource } from './bearer.ts';
import { clientError, toMillraceError } from './errors.ts';
import { FreshChannel } from './fresh-channel.ts';
import { decodeMessage, encodeMessage, isRead, methodPath } from './grpc-method.ts';
import { RawBidiStream, RawServerStream, type StreamEvents } from './raw-stream.ts';
import { TlsCredentials, type TlsOptions } from './tls.ts';

const MiB = 1024 * 1024;

export const connectionLimits = {
  /** Time for one unary call with its repeats. */
  unaryDeadlineMs: 30_000,
  /** Larger than the largest delivery: a batch of 3 MiB, or a frame of many small ones. */
  responseBytesMax: 8 * MiB,
  /** HTTP/2 receive window: gRPC's 64 KiB would bound a stream to one window per round trip. */
  receiveWindowBytes: 8 * MiB,
  /** A broker that died without closing its sockets is noticed after the sum of these two. */
  keepaliveIntervalMs: 5_000,
  keepaliveTimeoutMs: 5_000,
} as const;

export interface CallOptions {
  /** Aborting cancels the call; it then rejects with CANCELLED. */
  readonly signal?: AbortSignal;
  /** Instead of the connection's time for a call. */
  readonly timeoutMs?: number;
}

export class Connection {
  readonly server: string;
  private readonly channel: FreshChannel;
  private readonly callTimeoutMs: number;
  private closed = false;

  /** `name` is told to the broker as the user agent. */
  constructor(
    server: string,
    name: string,
    callTimeoutMs: number = connectionLimits.unaryDeadlineMs,
    token?: TokenSource,
    tls?: TlsOptions,
  ) {
    this.server = server;
    this.callTimeoutMs = callTimeoutMs;
    const security =
      tls === undefined ? credentials.createInsecure() : new TlsCredentials(server, tls);
    const options = {
      'grpc.primary_user_agent': name,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.initial_reconnect_backoff_ms': backoffMs.min,
      'grpc.min_reconnect_backoff_ms': backoffMs.min,
      'grpc.max_reconnect_backoff_ms': backoffMs.max / 5,
      'grpc.keepalive_time_ms': connectionLimits.keepaliveIntervalMs,
      'grpc.keepalive_timeout_ms': connectionLimits.keepaliveTimeoutMs,
      'grpc.max_receive_message_length': connectionLimits.responseBytesMax,
      'grpc-node.flow_control_window': connectionLimits.receiveWindowBytes,
      ...(token === undefined ? {} : { interceptors: [bearer(token)] }),
    };
    this.channel = new FreshChannel(() => new GrpcClient(server, security, options));
  }

  get isClosed(): boolean {
    return this.closed;
  }

  /** Makes a call; a read is made again while the broker cannot be reached, until the deadline. */
  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): Promise<MessageShape<O>> {
    const bytes = encodeMessage(method.input, request);
    const deadline = new Date(Date.now() + (options.timeoutMs ?? this.callTimeoutMs));
    const backoff = new Backoff(Math.random);
    for (;;) {
      try {
        const answer = await this.callOnce(methodPath(method), bytes, deadline, options.signal);
        return decodeMessage(method.output, answer);
      } catch (thrown) {
        const error = toMillraceError(thrown);
        const waitMs = backoff.nextMs(error.retryAfterMs);
        const again =
          isRead(method) &&
          error.kind === 'unavailable' &&
          error.reason !== 'CANCELLED' &&
          error.reason !== 'DEADLINE_EXCEEDED' &&
          error.reason !== 'CLIENT_CLOSED' &&
          Date.now() + waitMs < deadline.getTime();
        if (!again) throw error;
        // When it is aborted meanwhile, the next try says so.
        await sleep(waitMs, undefined, { signal: options.signal }).catch(() => undefined);
      }
    }
  }

  /** Makes a call once and gives the answer as it came; it may take `extraMs` longer than others. */
  unaryFrame<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: { readonly extraMs: number; readonly signal: AbortSignal | undefined },
  ): Promise<Buffer> {
    const deadline = new Date(Date.now() + this.callTimeoutMs + options.extraMs);
    const bytes = encodeMessage(method.input, request);
    return this.callOnce(methodPath(method), bytes, deadline, options.signal);
  }

  openBidi(method: DescMethodBiDiStreaming, events: StreamEvents): RawBidiStream {
    this.checkOpen();
    const call = this.channel.get().makeBidiStreamRequest(methodPath(method), asIs, asIs);
    return new RawBidiStream(call, events);
  }

  openServerStream(
    method: DescMethodServerStreaming,
    request: Buffer,
    events: StreamEvents,
  ): RawServerStream {
    this.checkOpen();
    const call = this.channel
      .get()
      .makeServerStreamRequest(methodPath(method), asIs, asIs, request);
    return new RawServerStream(call, events);
  }

  /** Calls in flight fail; what uses the connection is closed first. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.channel.close();
  }

  private callOnce(
    path: string,
    request: Buffer,
    deadline: Date,
    signal: AbortSignal | undefined,
  ): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.checkOpen();
      const abort = (): void => call.cancel();
      const call: ClientUnaryCall = this.channel
        .get()
        .makeUnaryRequest<Buffer, Buffer>(
          path,
          asIs,
          asIs,
          request,
          { deadline },
          (error, response) => {
            signal?.removeEventListener('abort', abort);
            if (response !== undefined) resolve(response);
            else reject(toMillraceError(error));
          },
        );
      if (signal?.aborted === true) abort();
      else signal?.addEventListener('abort', abort, { once: true });
    });
  }

  private checkOpen(): void {
    if (!this.closed) return;
    throw clientError('CLIENT_CLOSED', `the client of ${this.server} is closed; connect again`);
  }
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}
