// Records that gather for one partition, encoded one behind the other as they come.
import type { RecordEncoder } from '../records/encode-record.ts';
import { headroomBytes, type BatchBody } from '../wire/append-frame.ts';
import type { BatchTerms } from './batch-terms.ts';
import type { BufferPool } from './buffer-pool.ts';
import type { Barrier, Waiter } from './outgoing-batch.ts';

/** A promise and its callbacks take about so much memory; it counts so that small records are bounded too. */
export const waiterBytes = 128;

export class GatheringBatch {
  readonly createdAtMs: number;
  readonly terms: BatchTerms | undefined;
  readonly waiters: Waiter[] = [];
  readonly waiterIndexes: number[] = [];
  readonly barriers: Barrier[] = [];
  recordCount = 0;
  /** Records that nobody waits for. */
  sentCount = 0;
  private readonly pool: BufferPool;
  private readonly capacityBytesMax: number;
  private buffer: Buffer;
  private end = headroomBytes;

  /** The buffer grows up to `capacityBytesMax`, and beyond only for a record that is larger. */
  constructor(
    pool: BufferPool,
    capacityBytes: number,
    capacityBytesMax: number,
    nowMs: number,
    terms: BatchTerms | undefined,
  ) {
    this.pool = pool;
    this.capacityBytesMax = capacityBytesMax;
    this.buffer = pool.take(headroomBytes + capacityBytes);
    this.createdAtMs = nowMs;
    this.terms = terms;
  }

  /** Its buffer has one of the sizes that are asked for again. */
  get isReusable(): boolean {
    return this.buffer.length <= headroomBytes + this.capacityBytesMax;
  }

  get byteLength(): number {
    return this.end - headroomBytes;
  }

  /** What it counts for in buffers. */
  get heldBytes(): number {
    return this.byteLength + this.waiters.length * waiterBytes;
  }

  /** Adds the record that the encoder has measured as so many bytes. */
  add(encoder: RecordEncoder, bytes: number): void {
    this.reserve(bytes);
    this.end = encoder.encode(this.buffer, this.end);
    this.recordCount++;
  }

  addEncoded(record: Buffer): void {
    this.reserve(record.length);
    record.copy(this.buffer, this.end);
    this.end += record.length;
    this.recordCount++;
  }

  /** `waiter` is told about the record that was added last. */
  wait(waiter: Waiter): void {
    this.waiters.push(waiter);
    this.waiterIndexes.push(this.recordCount - 1);
  }

  body(): BatchBody {
    return { buffer: this.buffer, start: headroomBytes, end: this.end };
  }

  private reserve(bytes: number): void {
    const needed = this.end + bytes;
    if (needed <= this.buffer.length) return;
    let capacityBytes = this.buffer.length - headroomBytes;
    while (capacityBytes < needed - headroomBytes && capacityBytes < this.capacityBytesMax) {
      capacityBytes = Math.min(capacityBytes * 2, this.capacityBytesMax);
    }
    const grown = this.pool.take(Math.max(needed, headroomBytes + capacityBytes));
    this.buffer.copy(grown, headroomBytes, headroomBytes, this.end);
    this.pool.give(this.buffer);
    this.buffer = grown;
  }
}
