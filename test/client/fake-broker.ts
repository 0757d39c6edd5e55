// A broker that says what a test scripts: for what a real one says rarely, or never. Speaks through generated code.
import { create, fromBinary, toBinary, type MessageInitShape } from '@bufbuild/protobuf';
import {
  Server,
  ServerCredentials,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
} from '@grpc/grpc-js';
import { BrokerError, type ErrorReason } from '../../broker/core/errors.ts';
import { serviceError } from '../../broker/server/status.ts';
import {
  ConsumeStreamRequestSchema,
  ConsumeStreamResponseSchema,
  type ConsumeStreamRequest,
} from '../../proto/gen/millrace/v1/consume_pb.ts';
import {
  ReadRequestSchema,
  ReadResponseSchema,
  type ReadRequest,
} from '../../proto/gen/millrace/v1/read_pb.ts';
import {
  OffloadTopicRequestSchema,
  OffloadTopicResponseSchema,
  type OffloadTopicRequest,
} from '../../proto/gen/millrace/v1/topic_pb.ts';

/** One Read as the fake broker sees it. */
export interface FakeRead {
  readonly request: ReadRequest;
  send(response: MessageInitShape<typeof ReadResponseSchema>): boolean;
  sendBytes(frame: Buffer): void;
  end(): void;
  fail(reason: ErrorReason): void;
}

/** One ConsumeStream as the fake broker sees it. */
export interface FakeConsume {
  /** Everything that the client said, in order. */
  readonly said: ConsumeStreamRequest[];
  /** The client has half-closed, or is gone. */
  isLeft: boolean;
  send(response: MessageInitShape<typeof ConsumeStreamResponseSchema>): void;
  end(): void;
  fail(reason: ErrorReason): void;
}

export class FakeBroker implements AsyncDisposable {
  /** host:port. */
  server = '';
  readonly reads: FakeRead[] = [];
  readonly consumes: FakeConsume[] = [];
  /** Called for each Read, with its number from 0. */
  onRead: (read: FakeRead, number: number) => void = () => {};
  /** Called for each message of a consumer, with the number of its stream from 0. */
  onConsume: (stream: FakeConsume, said: ConsumeStreamRequest, number: number) => void = () => {};
  /** Answers OffloadTopic, when it resolves. */
  onOffload: (
    request: OffloadTopicRequest,
  ) => Promise<MessageInitShape<typeof OffloadTopicResponseSchema>> = () => Promise.resolve({});
  private readonly grpc = new Server();

  static async start(): Promise<FakeBroker> {
    const broker = new FakeBroker();
    broker.addServices();
    const port = await new Promise<number>((resolve, reject) => {
      broker.grpc.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    broker.server = `127.0.0.1:${port}`;
    return broker;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.grpc.forceShutdown();
    await Promise.resolve();
  }

  private addServices(): void {
    const asIs = (bytes: Buffer): Buffer => bytes;
    const raw = {
      requestSerialize: asIs,
      requestDeserialize: asIs,
      responseSerialize: asIs,
      responseDeserialize: asIs,
      responseStream: true,
    };
    this.grpc.addService(
      {
        read: { ...raw, path: '/millrace.v1.ReadService/Read', requestStream: false },
        consume: {
          ...raw,
          path: '/millrace.v1.ConsumeService/ConsumeStream',
          requestStream: true,
        },
        offload: {
          ...raw,
          path: '/millrace.v1.TopicService/OffloadTopic',
          requestStream: false,
          responseStream: false,
        },
      },
      {
        offload: (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) =>
          void this.offload(call.request, answer),
        read: (call: ServerWritableStream<Buffer, Buffer>) => this.read(call),
        consume: (call: ServerDuplexStream<Buffer, Buffer>) => this.consume(call),
      },
    );
  }

  private read(call: ServerWritableStream<Buffer, Buffer>): void {
    const read: FakeRead = {
      request: fromBinary(ReadRequestSchema, call.request),
      send: (response) =>
        call.write(encode(ReadResponseSchema, create(ReadResponseSchema, response))),
      sendBytes: (frame) => void call.write(frame),
      end: () => void call.end(),
      fail: (reason) => void call.emit('error', serviceError(new BrokerError(reason, 'scripted'))),
    };
    this.reads.push(read);
    this.onRead(read, this.reads.length - 1);
  }

  private async offload(request: Buffer, answer: sendUnaryData<Buffer>): Promise<void> {
    const response = await this.onOffload(fromBinary(OffloadTopicRequestSchema, request));
    answer(null, encode(OffloadTopicResponseSchema, create(OffloadTopicResponseSchema, response)));
  }

  private consume(call: ServerDuplexStream<Buffer, Buffer>): void {
    const stream: FakeConsume = {
      said: [],
      isLeft: false,
      send: (response) => {
        const message = create(ConsumeStreamResponseSchema, response);
        call.write(encode(ConsumeStreamResponseSchema, message));
      },
      end: () => void call.end(),
      fail: (reason) => void call.emit('error', serviceError(new BrokerError(reason, 'scripted'))),
    };
    const number = this.consumes.push(stream) - 1;
    call.on('data', (frame: Buffer) => {
      const said = fromBinary(ConsumeStreamRequestSchema, frame);
      stream.said.push(said);
      this.onConsume(stream, said, number);
    });
    const left = (): void => {
      stream.isLeft = true;
    };
    call.on('end', left);
    call.on('cancelled', left);
    call.on('error', left);
  }
}

function encode(...args: Parameters<typeof toBinary>): Buffer {
  return Buffer.from(toBinary(...args));
}
