// Reads a topic without a subscription, from any position; goes on by itself after the connection was lost.
//
//   opening ──▶ reading ──lost──▶ waiting (back-off) ──▶ opening …; ──end reached, closed, failed for good──▶ ended
//
// Invariants:
// - Offsets of a partition rise without a gap that `onGap` was not told of, also over a reconnect.
// - At most about `bufferBytesMax` wait for the application; beyond, the stream is paused and flow control holds the
//   broker.
import { ReadService } from '../../../proto/gen/millrace/v1/read_pb.ts';
import { NoticeKind } from '../../../proto/gen/millrace/v1/stream_pb.ts';
import { AsyncPull } from '../async-pull.ts';
import { Backoff } from '../backoff.ts';
import { integerWithin } from '../checked-number.ts';
import type { Connection } from '../connection.ts';
import { isTransient, toMillraceError, type MillraceError } from '../errors.ts';
import { Fifo } from '../fifo.ts';
import { encodeMessage } from '../grpc-method.ts';
import { gapFromProto, positionToProto, type GapRange, type PositionLike } from '../positions.ts';
import type { RawServerStream } from '../raw-stream.ts';
import type { Decoder } from '../records/codec.ts';
import type { ReceivedRecord } from '../records/record.ts';
import { readReadResponse } from '../wire/deliveries.ts';
import { ReceivedBatch } from './received-batch.ts';

export interface ReaderOptions {
  /** Where to start in every partition. Default `latest`. */
  readonly from?: PositionLike;
  /** Only these partitions, each from its own position. Default: all, also those that the topic gets later. */
  readonly fromPartitions?: ReadonlyMap<number, PositionLike>;
  /** End when everything that was there at the start has been read. Default false: wait for more. */
  readonly stopAtEnd?: boolean;
  /** End after so many records, at least 1. Default: no limit. */
  readonly recordsMax?: number;
  /** Told of offsets that will never come. It must not throw. */
  readonly onGap?: (gap: GapRange) => void;
}

/** Bytes of batches that wait for the application. */
const bufferBytesMax = 4 * 1024 * 1024;

export class Reader<T = Buffer> implements AsyncIterable<ReceivedRecord<T>>, AsyncDisposable {
  readonly topic: string;
  private readonly connection: Connection;
  private readonly options: ReaderOptions;
  private readonly onClosed: (reader: Reader<T>) => void;
  private readonly backoff = new Backoff(Math.random);
  private readonly decoder: Decoder<T>;
  private readonly pull: AsyncPull<ReceivedBatch<T>>;
  private readonly buffered = new Fifo<ReceivedBatch<T>>();
  /** Where to go on, once the broker has said where each partition starts. */
  private readonly next = new Map<number, { offset: number; epoch: number }>();
  /** With `stopAtEnd`: the end of each partition when it was opened first. */
  private readonly ends = new Map<number, number>();
  private stream: RawServerStream | undefined;
  private bufferedBytes = 0;
  private recordsLeft: number;
  private isPaused = false;
  private isClosed = false;
  private retryTimer: NodeJS.Timeout | undefined;

  /** Throws ARGUMENT_INVALID. */
  constructor(
    connection: Connection,
    topic: string,
    options: ReaderOptions,
    decoder: Decoder<T>,
    onClosed: (reader: Reader<T>) => void,
  ) {
    this.connection = connection;
    this.onClosed = onClosed;
    this.topic = topic;
    this.options = options;
    this.decoder = decoder;
    this.recordsLeft =
      options.recordsMax === undefined
        ? Infinity
        : integerWithin('recordsMax', options.recordsMax, 1, Number.MAX_SAFE_INTEGER);
    this.pull = new AsyncPull(
      () => this.take(),
      () => this.close(),
    );
    this.open();
  }

  /** Whole batches: the fast path. Use either this or the records, once. */
  batches(): AsyncIterable<ReceivedBatch<T>> {
    return { [Symbol.asyncIterator]: () => this.pull };
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ReceivedRecord<T>> {
    try {
      for await (const batch of this.batches()) yield* batch.records();
    } finally {
      await this.close();
    }
  }

  /** Ends the reading; the iterator ends behind what was received. */
  close(): Promise<void> {
    clearTimeout(this.retryTimer);
    this.stream?.cancel();
    this.finish(undefined);
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private open(): void {
    this.isPaused = false;
    try {
      this.stream = this.connection.openServerStream(ReadService.method.read, this.request(), {
        onFrame: (frame) => this.receive(frame),
        onEnd: (error) => this.ended(error),
      });
    } catch (error) {
      this.finish(toMillraceError(error));
    }
  }

  private request(): Buffer {
    const { from = 'latest', fromPartitions, stopAtEnd = false } = this.options;
    const isResuming = this.next.size > 0;
    const positions: ReadonlyMap<number, PositionLike> = isResuming
      ? this.resumePositions()
      : (fromPartitions ?? new Map<number, PositionLike>());
    // A partition that came to the topic meanwhile is read from its beginning.
    const fromAll = isResuming ? (stopAtEnd ? undefined : 'earliest') : from;
    return encodeMessage(ReadService.method.read.input, {
      topic: this.topic,
      from: [...positions].map(([partition, position]) => ({
        partition,
        position: positionToProto(position),
      })),
      ...(fromPartitions !== undefined || fromAll === undefined
        ? {}
        : { fromAll: positionToProto(fromAll) }),
      stopAtEnd,
      recordsMax: this.recordsLeft === Infinity ? 0n : BigInt(this.recordsLeft),
    });
  }

  /** With `stopAtEnd`, partitions that were read to their end are left out. */
  private resumePositions(): ReadonlyMap<number, PositionLike> {
    const positions = new Map<number, PositionLike>();
    for (const [partition, { offset, epoch }] of this.next) {
      if (offset < (this.ends.get(partition) ?? Infinity)) {
        positions.set(partition, { offset, epoch });
      }
    }
    return positions;
  }

  /** The epoch of the record before where the reader begins, if the application named it. */
  private firstEpoch(partition: number, offset: number): number {
    const { from, fromPartitions } = this.options;
    const position = fromPartitions?.get(partition) ?? from;
    const isNamed = typeof position === 'object' && 'offset' in position;
    return isNamed && position.offset === offset ? (position.epoch ?? 0) : 0;
  }

  private receive(frame: Buffer): void {
    readReadResponse(frame, {
      opened: ({ partitions }) => {
        this.backoff.reset();
        for (const { partition, nextOffset, endOffset } of partitions) {
          if (!this.next.has(partition)) {
            const offset = Number(nextOffset);
            this.next.set(partition, { offset, epoch: this.firstEpoch(partition, offset) });
          }
          if (this.options.stopAtEnd === true && !this.ends.has(partition)) {
            this.ends.set(partition, Number(endOffset));
          }
        }
      },
      delivered: (delivery) => {
        const batch = new ReceivedBatch(this.topic, delivery, this.decoder);
        this.next.set(batch.partition, { offset: batch.lastOffset + 1, epoch: batch.epoch });
        this.recordsLeft -= batch.recordCount;
        this.bufferedBytes += batch.byteLength;
        this.buffered.push(batch);
        this.pull.wake();
      },
      gap: (gap) => {
        const range = gapFromProto(gap);
        this.next.set(range.partition, { offset: range.lastOffset + 1, epoch: 0 });
        this.options.onGap?.(range);
      },
      noticed: (notice) => {
        if (notice.kind === NoticeKind.CLOSING) this.stream?.cancel();
      },
    });
    this.flowControl();
  }

  private take(): ReceivedBatch<T> | undefined {
    const batch = this.buffered.shift();
    if (batch === undefined) return undefined;
    this.bufferedBytes -= batch.byteLength;
    this.flowControl();
    return batch;
  }

  private flowControl(): void {
    const hold = this.bufferedBytes >= bufferBytesMax;
    if (hold === this.isPaused) return;
    this.isPaused = hold;
    if (hold) this.stream?.pause();
    else this.stream?.resume();
  }

  private ended(error: MillraceError | undefined): void {
    if (this.isClosed) return;
    if (this.isComplete(error)) this.finish(undefined);
    else if (error !== undefined && !isTransient(error)) this.finish(error);
    else {
      const waitMs = this.backoff.nextMs(error?.retryAfterMs);
      this.retryTimer = setTimeout(() => this.open(), waitMs);
    }
  }

  /** The broker ended the stream because everything asked for was sent. */
  private isComplete(error: MillraceError | undefined): boolean {
    if (this.recordsLeft <= 0) return true;
    if (this.options.stopAtEnd !== true || this.next.size === 0) return false;
    const isAtEnd = this.resumePositions().size === 0;
    return isAtEnd && (error === undefined || isTransient(error));
  }

  private finish(error: MillraceError | undefined): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.pull.end(error);
    this.onClosed(this);
  }
}
