// Publishes records to one topic, each confirmed when it is durable.
//
// Invariants:
// - Records of a partition are stored in the order in which they were handed over, each at most once per publisher
//   name, whatever happens to connections and brokers.
// - Every record is settled once: confirmed, or failed with a reason.
// - What is held is counted until it is settled; nothing is accepted beyond `publishLimits.heldBytesMax`.
import { randomBytes } from 'node:crypto';
import { clientError, toMillraceError, type MillraceError } from '../errors.ts';
import { RecordEncoder, recordLimits } from '../records/encode-record.ts';
import type { PublishRecord } from '../records/record.ts';
import { sameTerms, termsOf, type BatchTerms } from './batch-terms.ts';
import { encodeRecord, type EncodedRecord } from './encoded-record.ts';
import { waiterBytes } from './gathering-batch.ts';
import type { ExpiryError, Lane } from './lane.ts';
import { Ledger } from './ledger.ts';
import {
  publisherSettings,
  publishLimits,
  type PublisherOptions,
  type PublisherSettings,
} from './options.ts';
import type { Published, Waiter } from './outgoing-batch.ts';
import { partitionOutOfRange, publisherClosed, PublisherLanes } from './publisher-lanes.ts';
import type { PublishStream } from './publish-stream.ts';
import type { ValueEncoding } from './value-encoding.ts';

/** A run of records that follow each other in one batch. */
export interface PublishedBatch {
  readonly partition: number;
  /** Offset of the first record of the run. */
  readonly baseOffset: number;
  readonly recordCount: number;
}

export interface PublishBatchOptions {
  /** All records go there, instead of where their keys say. */
  readonly partition?: number;
  /**
   * Stored only if the first record gets this offset, else refused with OFFSET_MISMATCH. Needs `partition` (or a topic
   * with one), and records that fit one batch.
   */
  readonly expectedOffset?: number;
}

/** Records that wait for the partition count. */
interface EarlyRecords {
  readonly heldBytes: number;
  readonly createdAtMs: number;
  readonly place: () => void;
  readonly fail: (error: MillraceError) => void;
}

export class Publisher<T = string | Uint8Array> implements AsyncDisposable {
  readonly topic: string;
  /** As the broker knows it. */
  readonly name: string;
  private readonly settings: PublisherSettings;
  private readonly stream: PublishStream;
  private readonly ledger: Ledger;
  private readonly route: PublisherLanes;
  private readonly encodeValue: ValueEncoding<T>;
  private readonly encoder = new RecordEncoder();
  private readonly onClosed: (publisher: Publisher<T>) => void;
  private readonly expiryTimer: NodeJS.Timeout | undefined;
  /** Handed over before the broker said how many partitions there are. */
  private early: EarlyRecords[] = [];
  private whenPlaced: (() => void)[] = [];
  /** Where records without a key go until the batch is sealed. */
  private stickyPartition = 0;
  /** Why nothing is accepted any more. */
  private ended: MillraceError | undefined;
  private closing: Promise<void> | undefined;

  constructor(
    stream: PublishStream,
    topic: string,
    options: PublisherOptions,
    encodeValue: ValueEncoding<T>,
    onClosed: (publisher: Publisher<T>) => void,
  ) {
    this.topic = topic;
    this.name = options.publisher ?? `sdk-${randomBytes(12).toString('hex')}`;
    this.settings = publisherSettings(options);
    this.encodeValue = encodeValue;
    this.onClosed = onClosed;
    this.stream = stream;
    this.ledger = new Ledger(this.settings, stream);
    this.route = new PublisherLanes(stream, this.ledger, topic, this.name, this.settings, {
      onOpened: () => this.placeEarly(),
      onFailed: (error, isFinal) => this.failed(error, isFinal),
    });
    const { deliveryTimeoutMs } = this.settings;
    if (deliveryTimeoutMs === Infinity) return;
    const everyMs = Math.max(10, Math.min(1_000, deliveryTimeoutMs / 4));
    this.expiryTimer = setInterval(() => this.expire(), everyMs).unref();
  }

  /**
   * Hands over a record; resolves when it is durable, with its place. Rejects with what the broker refused, or
   * RECORD_INVALID, CLIENT_BUFFER_FULL, DELIVERY_TIMEOUT, CLIENT_CLOSED.
   *
   * ```ts
   * const { partition, offset } = await publisher.publish({ key: 'order-7', value: '{"total": 12}' });
   * ```
   */
  publish(record: PublishRecord<T>): Promise<Published> {
    return new Promise((resolve, reject) => {
      this.give(record, { resolve, reject });
    });
  }

  /**
   * Hands over a record without a promise: several times faster. Throws what is known at once (RECORD_INVALID,
   * CLIENT_BUFFER_FULL, CLIENT_CLOSED, PUBLISHER_FENCED); later failures are told by `flush()` and `onError`.
   */
  send(record: PublishRecord<T>): void {
    this.give(record, undefined);
  }

  /** Back-pressure: undefined means go on; otherwise wait for the promise before you hand over more. */
  ready(): Promise<void> | undefined {
    return this.ended === undefined ? this.ledger.ready() : undefined;
  }

  /**
   * Hands over several records; resolves when all are durable, with the runs they were stored as, in the order in which
   * they were given. Not atomic: records for several partitions, or for more than one batch, may fail in part.
   */
  async publishBatch(
    records: readonly PublishRecord<T>[],
    options: PublishBatchOptions = {},
  ): Promise<PublishedBatch[]> {
    this.checkAccepts();
    const { partition, expectedOffset } = options;
    const encoded = records.map((record) => ({
      ...encodeRecord(this.encoder, this.encodeValue(record)),
      partition: partition ?? record.partition,
    }));
    if (encoded.length === 0) return [];
    return new Promise((resolve, reject) => {
      const place = (): void => {
        const runs =
          expectedOffset === undefined
            ? this.placeRuns(encoded)
            : [this.placeAlone(encoded, partition, expectedOffset)];
        Promise.all(runs).then(resolve, reject);
      };
      this.placeOrKeep({
        heldBytes: bytesOf(encoded),
        createdAtMs: performance.now(),
        place,
        fail: reject,
      });
    });
  }

  /**
   * Sends what has been gathered and resolves when everything handed over so far is settled. Rejects with the first
   * failure, since the last flush, of a record given to `send`.
   */
  async flush(): Promise<void> {
    while (this.early.length > 0) {
      await new Promise<void>((resolve) => this.whenPlaced.push(resolve));
    }
    this.route.seal();
    await this.ledger.barrier();
    const failure = this.ledger.takeFailure();
    if (failure !== undefined) throw failure;
  }

  /** Highest offset that was confirmed, by partition. */
  lastOffsets(): ReadonlyMap<number, number> {
    return this.ledger.lastOffsets;
  }

  /**
   * Accepts nothing more, waits for confirmations up to `closeTimeoutMs`, then fails what is left with CLIENT_CLOSED.
   * Rejects as `flush()` does.
   */
  close(): Promise<void> {
    this.closing ??= this.closeOnce();
    return this.closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // --- Handing over --------------------------------------------------------------------------------------

  private give(given: PublishRecord<T>, waiter: Waiter | undefined): void {
    this.checkAccepts();
    const record = this.encodeValue(given);
    const { encoder } = this;
    const { lanes } = this.route;
    if (lanes.length === 0 || this.early.length > 0) {
      this.keep(encodeRecord(encoder, record), waiter);
      return;
    }
    const terms = termsOf(record);
    const bytes = encoder.measure(record);
    const lane = this.laneOf(record.partition, encoder.keyHash(), bytes, terms);
    lane.add(encoder, bytes, waiter, terms);
  }

  private keep(record: EncodedRecord, waiter: Waiter | undefined): void {
    const isSent = waiter === undefined;
    this.placeOrKeep({
      heldBytes: record.bytes.length + waiterBytes,
      createdAtMs: performance.now(),
      place: () => {
        const { bytes, partition, keyHash, terms } = record;
        const lane = this.laneOf(partition, keyHash, bytes.length, terms);
        lane.addEncoded(bytes, waiter, isSent, terms);
      },
      fail: (error) => this.ledger.recordFailed(waiter, isSent, error),
    });
  }

  private placeOrKeep(records: EarlyRecords): void {
    if (this.route.lanes.length > 0 && this.early.length === 0) {
      place(records);
      return;
    }
    this.ledger.hold(records.heldBytes);
    this.early.push(records);
    this.route.start();
  }

  private placeEarly(): void {
    const { early } = this;
    this.early = [];
    for (const records of early) {
      this.ledger.release(records.heldBytes);
      place(records);
    }
    this.wakePlaced();
  }

  /** Places records where their keys say; each run of neighbours in one batch is answered together. */
  private placeRuns(records: readonly EncodedRecord[]): Promise<PublishedBatch>[] {
    const runs: Promise<PublishedBatch>[] = [];
    let lastLane: Lane | undefined;
    let run: { recordCount: number } = { recordCount: 0 };
    for (const { bytes, partition, keyHash, terms } of records) {
      const lane = this.laneOf(partition, keyHash, bytes.length, terms);
      if (lane === lastLane && !lane.beginsBatch(bytes.length, terms)) {
        run.recordCount++;
        lane.addEncoded(bytes, undefined, false, terms);
        continue;
      }
      lastLane = lane;
      const begun = { recordCount: 1 };
      run = begun;
      const stored = Promise.withResolvers<PublishedBatch>();
      runs.push(stored.promise);
      const { reject } = stored;
      const resolve = (published: Published): void => {
        const { partition: storedIn, offset } = published;
        stored.resolve({ partition: storedIn, baseOffset: offset, recordCount: begun.recordCount });
      };
      try {
        lane.addEncoded(bytes, { resolve, reject }, false, terms);
      } catch (error) {
        reject(toMillraceError(error));
      }
    }
    return runs;
  }

  private placeAlone(
    records: readonly EncodedRecord[],
    partition: number | undefined,
    expectedOffset: number,
  ): Promise<PublishedBatch> {
    const { lanes } = this.route;
    if (partition === undefined && lanes.length > 1) {
      throw clientError('ARGUMENT_INVALID', 'expectedOffset needs the partition that it is of');
    }
    if (records.length > recordLimits.recordsPerBatchMax) {
      throw clientError(
        'BATCH_TOO_LARGE',
        `${records.length} records do not fit one batch of ${recordLimits.recordsPerBatchMax}`,
      );
    }
    const terms = records[0]?.terms;
    if (records.some((record) => !sameTerms(record.terms, terms))) {
      throw clientError(
        'ARGUMENT_INVALID',
        'records of one batch share delivery time, time to live and priority; publish them one by one',
      );
    }
    const lane = this.laneOf(partition ?? 0, undefined, 0, terms);
    const recordCount = records.length;
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        resolve: (published) =>
          resolve({ partition: published.partition, baseOffset: published.offset, recordCount }),
        reject,
      };
      lane.addAlone(
        records.map(({ bytes }) => bytes),
        waiter,
        expectedOffset,
        terms,
      );
    });
  }

  /** Where a record of so many bytes goes. Throws PARTITION_OUT_OF_RANGE. */
  private laneOf(
    partition: number | undefined,
    keyHash: number | undefined,
    bytes: number,
    terms: BatchTerms | undefined,
  ): Lane {
    const { lanes } = this.route;
    const count = lanes.length;
    if (partition === undefined && keyHash === undefined) {
      const sticky = lanes[this.stickyPartition % count];
      if (sticky?.beginsBatch(bytes, terms) === false) return sticky;
      sticky?.seal();
      this.stickyPartition = (this.stickyPartition + 1) % count;
    }
    const index = partition ?? (keyHash === undefined ? this.stickyPartition : keyHash % count);
    const lane = lanes[index];
    if (lane === undefined) throw partitionOutOfRange(this.topic, index, count);
    return lane;
  }

  private checkAccepts(): void {
    if (this.ended !== undefined) throw this.ended;
    if (this.stream.isClosed) throw publisherClosed(this.topic);
    if (!this.ledger.isFull) return;
    throw clientError(
      'CLIENT_BUFFER_FULL',
      `${publishLimits.heldBytesMax} bytes wait for the broker; wait for ready() before you hand over more`,
      { metadata: { limit: String(publishLimits.heldBytesMax) } },
    );
  }

  // --- Ending --------------------------------------------------------------------------------------------

  private failed(error: MillraceError, isFinal: boolean): void {
    if (isFinal) this.end(error);
    else this.failEarly(error);
  }

  private failEarly(error: MillraceError): void {
    this.failEach(this.early.splice(0), error);
  }

  private failEach(early: readonly EarlyRecords[], error: MillraceError): void {
    for (const { heldBytes, fail } of early) {
      this.ledger.release(heldBytes);
      fail(error);
    }
    if (this.early.length === 0) this.wakePlaced();
  }

  private wakePlaced(): void {
    for (const wake of this.whenPlaced.splice(0)) wake();
  }

  private expire(): void {
    const { deliveryTimeoutMs } = this.settings;
    const beforeMs = performance.now() - deliveryTimeoutMs;
    const errorOf: ExpiryError = (effect, cause) => {
      const said =
        cause === undefined ? '' : `; the broker last said ${cause.reason}: ${cause.message}`;
      return clientError(
        'DELIVERY_TIMEOUT',
        `not confirmed within ${deliveryTimeoutMs} ms${said}`,
        cause === undefined ? { effect } : { effect, cause },
      );
    };
    const isOld = ({ createdAtMs }: EarlyRecords): boolean => createdAtMs < beforeMs;
    const old = this.early.filter(isOld);
    this.early = this.early.filter((records) => !isOld(records));
    this.failEach(old, errorOf('none', undefined));
    this.route.expire(beforeMs, errorOf);
  }

  private async closeOnce(): Promise<void> {
    const closed = publisherClosed(this.topic);
    const wasEnded = this.ended !== undefined;
    this.ended ??= closed;
    try {
      if (!wasEnded) await this.flushWithin(this.settings.closeTimeoutMs);
    } finally {
      this.end(closed);
      this.onClosed(this);
    }
    const failure = this.ledger.takeFailure();
    if (failure !== undefined) throw failure;
  }

  private async flushWithin(timeoutMs: number): Promise<void> {
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, timeoutMs);
    try {
      await Promise.race([this.flush(), late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  private end(error: MillraceError): void {
    this.ended = error;
    clearInterval(this.expiryTimer);
    this.failEarly(error);
    this.route.end(error);
    this.ledger.end();
  }
}

function place(records: EarlyRecords): void {
  try {
    records.place();
  } catch (error) {
    records.fail(toMillraceError(error));
  }
}

function bytesOf(records: readonly EncodedRecord[]): number {
  return records.reduce((sum, { bytes }) => sum + bytes.length, waiterBytes);
}
