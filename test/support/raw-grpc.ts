// A gRPC client that sends bytes as they are, right or wrong, and tells what becomes of the call.
import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type MessageInitShape,
} from '@bufbuild/protobuf';
import {
  Client,
  credentials,
  Metadata,
  status,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ServiceError,
} from '@grpc/grpc-js';
import { ErrorInfoSchema } from '../../proto/gen/google/rpc/error_details_pb.ts';
import { StatusSchema } from '../../proto/gen/google/rpc/status_pb.ts';

/** How a call ended. `reason` is that of ErrorInfo in grpc-status-details-bin, '' when there is none. */
export interface CallEnd {
  readonly code: status;
  readonly reason: string;
  readonly message: string;
}

export type UnaryOutcome =
  | { readonly kind: 'answer'; readonly bytes: Buffer }
  | { readonly kind: 'failed'; readonly end: CallEnd };

const asIs = (bytes: Buffer): Buffer => bytes;
/** A call that says nothing for so long hangs. */
const answerWithinMs = 10_000;

export function encode<Desc extends DescMessage>(
  schema: Desc,
  init: MessageInitShape<Desc>,
): Buffer {
  return Buffer.from(toBinary(schema, create(schema, init)));
}

export class RawGrpc implements Disposable {
  private readonly client: Client;
  private readonly metadata = new Metadata();

  /** A connection of its own, without a limit on what it sends or receives; `authorization`: sent with each call. */
  constructor(server: string, authorization?: string) {
    if (authorization !== undefined) this.metadata.set('authorization', authorization);
    this.client = new Client(server, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.max_send_message_length': -1,
      'grpc.max_receive_message_length': -1,
    });
  }

  /** `path` as `PublishService/Publish`. */
  unary(path: string, request: Buffer): Promise<UnaryOutcome> {
    return new Promise((resolve) => {
      this.client.makeUnaryRequest(
        fullPath(path),
        asIs,
        asIs,
        request,
        this.metadata,
        { deadline: Date.now() + answerWithinMs },
        (error, bytes) => {
          if (error !== null) resolve({ kind: 'failed', end: endOf(error) });
          else resolve({ kind: 'answer', bytes: bytes ?? Buffer.alloc(0) });
        },
      );
    });
  }

  /** How the call ends that must not be answered. */
  async refusal(path: string, request: Buffer): Promise<CallEnd> {
    const outcome = await this.unary(path, request);
    if (outcome.kind === 'failed') return outcome.end;
    throw new Error(`${path} was answered with ${outcome.bytes.toString('hex')}`);
  }

  duplex(path: string): RawStream {
    const call = this.client.makeBidiStreamRequest(fullPath(path), asIs, asIs, this.metadata);
    return new RawStream(call, (bytes) => void call.write(bytes));
  }

  serverStream(path: string, request: Buffer): RawStream {
    const { client, metadata } = this;
    const call = client.makeServerStreamRequest(fullPath(path), asIs, asIs, request, metadata);
    return new RawStream(call);
  }

  [Symbol.dispose](): void {
    this.client.close();
  }
}

/** One stream; every wait has a deadline. */
export class RawStream {
  private readonly call: ClientReadableStream<Buffer> | ClientDuplexStream<Buffer, Buffer>;
  private readonly send: ((bytes: Buffer) => void) | undefined;
  private readonly received: Buffer[] = [];
  private finished: CallEnd | undefined;
  private wake: (() => void) | undefined;

  constructor(
    call: ClientReadableStream<Buffer> | ClientDuplexStream<Buffer, Buffer>,
    send?: (bytes: Buffer) => void,
  ) {
    this.call = call;
    this.send = send;
    call.on('data', (bytes: Buffer) => {
      this.received.push(bytes);
      this.wake?.();
    });
    call.on('error', (error: ServiceError) => {
      this.finished ??= endOf(error);
      this.wake?.();
    });
    call.on('end', () => {
      // An error, if there is one, is told right after.
      setImmediate(() => {
        this.finished ??= { code: status.OK, reason: '', message: '' };
        this.wake?.();
      });
    });
  }

  write(bytes: Buffer): this {
    this.send?.(bytes);
    return this;
  }

  /** The next message. Throws when the stream ends instead. */
  async next(): Promise<Buffer> {
    await this.until(() => this.received.length > 0 || this.finished !== undefined);
    const bytes = this.received.shift();
    if (bytes !== undefined) return bytes;
    throw new Error(`the stream ended: ${JSON.stringify(this.finished)}`);
  }

  /** How the stream ends; messages before it are left out. */
  async end(): Promise<CallEnd> {
    await this.until(() => this.finished !== undefined);
    return this.finished ?? { code: status.UNKNOWN, reason: '', message: '' };
  }

  cancel(): void {
    this.call.cancel();
  }

  private async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve, reject) => {
        const giveUp = setTimeout(() => {
          reject(new Error(`nothing came within ${answerWithinMs} ms`));
        }, answerWithinMs);
        this.wake = () => {
          clearTimeout(giveUp);
          resolve();
        };
      });
    }
  }
}

function fullPath(path: string): string {
  return `/millrace.v1.${path}`;
}

function endOf(error: ServiceError): CallEnd {
  return { code: error.code, reason: reasonIn(error), message: error.details };
}

function reasonIn(error: ServiceError): string {
  const [trailer] = error.metadata.get('grpc-status-details-bin');
  if (!Buffer.isBuffer(trailer)) return '';
  for (const { typeUrl, value } of fromBinary(StatusSchema, trailer).details) {
    if (typeUrl.endsWith(ErrorInfoSchema.typeName))
      return fromBinary(ErrorInfoSchema, value).reason;
  }
  return '';
}
