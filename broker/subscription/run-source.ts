// Takes runs of records out of the log for a dispatcher: the batch that holds the first record, cut to the run.
//
// Invariant: nothing of a page is kept between two calls, only numbers: an idle dispatcher pins no memory.
import { statedKeyHashes } from '../batch/compressed-batch.ts';
import { keyHashes, RecordCursor } from '../batch/records.ts';
import { flagCompressed, flagKeyed } from '../batch/stored-header.ts';
import type { PartitionLog } from '../log/partition-log.ts';
import type { StoredBatch } from '../log/stored-batch.ts';

export interface CutBatch {
  /** Offset of the first record in `batch`: the run's, or for a compressed batch its own. */
  readonly baseOffset: number;
  /** Inclusive pairs of record indexes, flattened; empty: all records of `batch`. */
  readonly selected: readonly number[];
  readonly batch: Uint8Array;
}

export interface TakenRun extends CutBatch {
  readonly firstOffset: number;
  readonly lastOffset: number;
  readonly appendTimeMs: number;
  readonly epoch: number;
  /** Not delivered from then on, wall clock; Infinity: never. */
  readonly expiresAtMs: number;
  /** As in DeliveryTerms. */
  readonly audience: number;
}

const none: readonly number[] = [];

export class RunSource {
  private readonly log: PartitionLog;
  /** The batch that was cut last, and how far. */
  private cutBase = -1;
  private cursor = new RecordCursor();

  constructor(log: PartitionLog) {
    this.log = log;
  }

  /** The records from `first` on that stand in one batch, up to `last`. Undefined: await `load(first)` first. */
  take(first: number, last: number): TakenRun | undefined {
    const batch = this.log.read(first, 1)?.[0];
    if (batch === undefined) return undefined;
    const lastOffset = Math.min(last, batch.lastOffset);
    const { appendTimeMs, epoch, deliverAtMs, timeToLiveMs, audience } = batch.header;
    const dueMs = Math.max(appendTimeMs, deliverAtMs);
    return {
      firstOffset: first,
      lastOffset,
      appendTimeMs,
      epoch,
      expiresAtMs: timeToLiveMs === 0 ? Infinity : dueMs + timeToLiveMs,
      audience,
      ...this.cutBatch(batch, first, lastOffset),
    };
  }

  /**
   * Key hashes of the records from `first` to the end of their batch, as murmur3-32; 0: no key. Undefined: await
   * `load(first)` first.
   */
  keys(first: number): Uint32Array | undefined {
    const batch = this.log.read(first, 1)?.[0];
    if (batch === undefined) return undefined;
    const { flags, baseOffset, recordCount } = batch.header;
    const fromIndex = first - baseOffset;
    if ((flags & flagKeyed) === 0) return new Uint32Array(recordCount - fromIndex);
    return (flags & flagCompressed) !== 0
      ? statedKeyHashes(batch.body, fromIndex, recordCount)
      : keyHashes(batch.body, fromIndex, recordCount);
  }

  /** The bytes to send for some records of a batch; a compressed one travels whole. */
  cutBatch(batch: StoredBatch, first: number, last: number): CutBatch {
    const { baseOffset, flags } = batch.header;
    if (first === baseOffset && last === batch.lastOffset) {
      return { baseOffset, selected: none, batch: batch.body };
    }
    if ((flags & flagCompressed) !== 0) {
      return { baseOffset, selected: [first - baseOffset, last - baseOffset], batch: batch.body };
    }
    return { baseOffset: first, selected: none, batch: this.cut(batch, first, last) };
  }

  load(offset: number): Promise<void> {
    return this.log.load(offset);
  }

  private cut(batch: StoredBatch, first: number, last: number): Uint8Array {
    const { baseOffset } = batch.header;
    const fromIndex = first - baseOffset;
    if (this.cutBase !== baseOffset || fromIndex < this.cursor.index) {
      this.cursor = new RecordCursor();
      this.cutBase = baseOffset;
    }
    const { body } = batch;
    const start = this.cursor.seek(body, fromIndex);
    const end = this.cursor.seek(body, last - baseOffset + 1);
    return body.subarray(start, end);
  }
}
