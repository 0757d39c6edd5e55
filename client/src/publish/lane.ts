// The way of a publisher's records to one partition: gathered, sealed into batches, compressed, sent in order,
// settled. The decisions are PartitionQueueState's.
//
// Invariants:
// - With fewer than `eagerBatches` on their way, what was gathered goes at the end of the turn; otherwise it gathers
//   until `batchBytes`, an answer, or the linger.
// - Every batch is settled exactly once: stored, failed, or failed by its owner.
import { Backoff } from '../backoff.ts';
import { clientError, isTransient, MillraceError } from '../errors.ts';
import { compressBatch, type CompressionName } from '../records/compress.ts';
import { recordLimits, type RecordEncoder } from '../records/encode-record.ts';
import { copyBody, frameAppend } from '../wire/append-frame.ts';
import type { AppendAnswer } from '../wire/publish-answers.ts';
import { sameTerms, type BatchTerms } from './batch-terms.ts';
import type { BufferPool } from './buffer-pool.ts';
import { GatheringBatch } from './gathering-batch.ts';
import type { OutgoingBatch, Waiter } from './outgoing-batch.ts';
import { PartitionQueueState, type Refusal } from './partition-queue-state.ts';

/** One is being committed by the broker, one waits for the next commit: a third would only make frames smaller. */
const eagerBatches = 2;

/** Smallest buffer of a batch; the next ones begin as large as the batch before became. */
const capacityBytesMin = 1024;

/** Makes the error of a record that took too long, with what the broker said last, if it said something. */
export type ExpiryError = (
  effect: 'none' | 'unknown',
  lastRefusal: MillraceError | undefined,
) => MillraceError;

/** What a lane needs of its publisher. */
export interface LaneOwner {
  readonly pool: BufferPool;
  readonly batchBytes: number;
  readonly batchBytesMax: number;
  readonly lingerMs: number;
  readonly compression: CompressionName;
  /** Something to seal or send: call `turnEnded` when the turn is over. */
  wake(lane: Lane): void;
  /** False: not now; the owner calls `send` again. */
  admits(bytes: number): boolean;
  append(frameOf: (handle: number) => Buffer, bytes: number): void;
  gathered(bytes: number): void;
  sealed(batch: OutgoingBatch): void;
  /** It is no longer in flight. */
  landed(batch: OutgoingBatch): void;
  stored(batch: OutgoingBatch, baseOffset: number): void;
  failed(batch: OutgoingBatch, error: MillraceError): void;
  /** Those who wait are told; the batch stays on its way, because it may be stored. */
  timedOut(batch: OutgoingBatch, error: MillraceError): void;
}

export class Lane {
  readonly partition: number;
  private readonly owner: LaneOwner;
  private readonly queue = new PartitionQueueState<OutgoingBatch>();
  private readonly backoff = new Backoff(Math.random);
  private gathering: GatheringBatch | undefined;
  private capacityBytes = capacityBytesMin;
  private lingerTimer: NodeJS.Timeout | undefined;
  private resumeTimer: NodeJS.Timeout | undefined;
  /** Why the broker did not store something yet, last. */
  private lastRefusal: MillraceError | undefined;

  constructor(owner: LaneOwner, partition: number) {
    this.owner = owner;
    this.partition = partition;
  }

  get needsNewEpoch(): boolean {
    return this.queue.needsNewEpoch;
  }

  get owed(): number {
    return this.queue.owed;
  }

  /** Takes the record that the encoder has measured. Throws BATCH_TOO_LARGE. */
  add(
    encoder: RecordEncoder,
    bytes: number,
    waiter: Waiter | undefined,
    terms: BatchTerms | undefined,
  ): void {
    const gathering = this.roomFor(bytes, terms);
    const before = gathering.heldBytes;
    gathering.add(encoder, bytes);
    this.added(gathering, before, waiter);
  }

  /** Takes a record that was encoded before; `isSent`: nobody waits for it. Throws BATCH_TOO_LARGE. */
  addEncoded(
    record: Buffer,
    waiter: Waiter | undefined,
    isSent: boolean,
    terms: BatchTerms | undefined,
  ): void {
    const gathering = this.roomFor(record.length, terms);
    const before = gathering.heldBytes;
    gathering.addEncoded(record);
    this.added(gathering, before, waiter, isSent);
  }

  /** Takes records as one batch of their own, stored only if the first one gets that offset. */
  addAlone(
    records: readonly Buffer[],
    waiter: Waiter,
    expectedOffset: number | undefined,
    terms: BatchTerms | undefined,
  ): void {
    const bytes = records.reduce((sum, record) => sum + record.length, 0);
    this.checkFits(bytes);
    this.seal();
    const gathering = new GatheringBatch(this.owner.pool, bytes, 0, performance.now(), terms);
    records.forEach((record, index) => {
      gathering.addEncoded(record);
      if (index === 0) gathering.wait(waiter);
    });
    this.gathering = gathering;
    this.owner.gathered(gathering.heldBytes);
    this.seal(expectedOffset);
  }

  /** Whether a record of so many bytes begins a new batch. */
  beginsBatch(bytes: number, terms: BatchTerms | undefined): boolean {
    return this.gathering === undefined || !this.fits(this.gathering, bytes, terms);
  }

  /** What was gathered is a batch now, and on its way. */
  seal(expectedOffset?: number): void {
    const { gathering } = this;
    if (gathering === undefined) return;
    this.gathering = undefined;
    clearTimeout(this.lingerTimer);
    this.lingerTimer = undefined;
    this.capacityBytes = capacityFor(gathering.byteLength, this.owner.batchBytes);
    const { recordCount, heldBytes, waiters, waiterIndexes, sentCount, createdAtMs, barriers } =
      gathering;
    const batch: OutgoingBatch = {
      partition: this.partition,
      recordCount,
      body: gathering.body(),
      isReusable: gathering.isReusable,
      heldBytes,
      expectedOffset,
      terms: gathering.terms,
      waiters,
      waiterIndexes,
      sentCount,
      createdAtMs,
      barriers,
      isTimedOut: false,
    };
    this.owner.sealed(batch);
    this.compress(batch);
    this.queue.enqueue(batch);
    this.owner.wake(this);
  }

  /** The turn of the event loop is over: sends what may go. False: the stream has no room. */
  turnEnded(): boolean {
    if (this.owner.lingerMs === 0 && this.queue.size < eagerBatches) this.seal();
    return this.send();
  }

  opened(lastStored: number, isNewEpoch: boolean): void {
    this.queue.opened(lastStored, isNewEpoch);
    this.owner.wake(this);
  }

  disconnected(): void {
    clearTimeout(this.resumeTimer);
    this.queue.disconnected();
  }

  /** An append of this lane was answered. */
  answered(answer: AppendAnswer): void {
    const { sequence, error } = answer;
    if (error !== undefined) {
      this.refused(sequence, error);
      return;
    }
    const batch = this.queue.stored(sequence);
    if (batch === undefined) return;
    this.backoff.reset();
    this.lastRefusal = undefined;
    this.owner.landed(batch);
    if (batch.isReusable && batch.body !== undefined) this.owner.pool.give(batch.body.buffer);
    this.owner.stored(batch, answer.baseOffset);
    this.owner.wake(this);
  }

  /** Fails everything that is here. */
  fail(error: MillraceError): void {
    this.seal();
    clearTimeout(this.resumeTimer);
    for (const { batch, mayBeStored } of this.queue.clear()) {
      this.owner.failed(batch, mayBeStored ? withUnknownEffect(error) : error);
    }
  }

  /** Fails what was handed over before the given time: for good if it was never sent, else for those who wait. */
  expire(beforeMs: number, errorOf: ExpiryError): void {
    if (this.gathering !== undefined && this.gathering.createdAtMs < beforeMs) this.seal();
    const isOld = (batch: OutgoingBatch): boolean => batch.createdAtMs < beforeMs;
    for (const batch of this.queue.dropUnsent(isOld)) {
      this.owner.failed(batch, errorOf('none', this.lastRefusal));
    }
    for (const batch of this.queue.batches()) {
      if (batch.isTimedOut || !isOld(batch)) continue;
      this.owner.timedOut(batch, errorOf('unknown', this.lastRefusal));
    }
  }

  private fits(gathering: GatheringBatch, bytes: number, terms: BatchTerms | undefined): boolean {
    const { batchBytes } = this.owner;
    return (
      gathering.recordCount < recordLimits.recordsPerBatchMax &&
      gathering.byteLength + bytes <= batchBytes &&
      sameTerms(gathering.terms, terms)
    );
  }

  /** The batch that the next record of so many bytes goes into. */
  private roomFor(bytes: number, terms: BatchTerms | undefined): GatheringBatch {
    this.checkFits(bytes);
    if (this.gathering !== undefined) {
      if (this.fits(this.gathering, bytes, terms)) return this.gathering;
      this.seal();
    }
    const { pool, batchBytes } = this.owner;
    const capacityBytes = Math.max(capacityFor(bytes, batchBytes), this.capacityBytes);
    const nowMs = performance.now();
    this.gathering = new GatheringBatch(pool, capacityBytes, batchBytes, nowMs, terms);
    const { lingerMs } = this.owner;
    if (lingerMs > 0) {
      this.lingerTimer = setTimeout(() => this.seal(), lingerMs);
    }
    return this.gathering;
  }

  private checkFits(bytes: number): void {
    const { batchBytesMax } = this.owner;
    if (bytes <= batchBytesMax) return;
    throw clientError(
      'BATCH_TOO_LARGE',
      `${bytes} bytes are over the topic's largest batch of ${batchBytesMax}; ` +
        'send less at once, or raise batch_bytes_max of the topic',
      { metadata: { limit: String(batchBytesMax) } },
    );
  }

  private added(
    gathering: GatheringBatch,
    heldBefore: number,
    waiter: Waiter | undefined,
    isSent = waiter === undefined,
  ): void {
    if (waiter !== undefined) gathering.wait(waiter);
    if (isSent) gathering.sentCount++;
    this.owner.gathered(gathering.heldBytes - heldBefore);
    if (gathering.byteLength >= this.owner.batchBytes) this.seal();
    else if (gathering.recordCount === 1) this.owner.wake(this);
  }

  /** Sends what may go. False: the stream has no room. */
  private send(): boolean {
    for (;;) {
      const batch = this.queue.peek();
      const body = batch?.body;
      if (batch === undefined || body === undefined) return true;
      if (!this.owner.admits(body.end - body.start)) return false;
      const taken = this.queue.take();
      if (taken === undefined) return true;
      const { sequence, isRepeat } = taken;
      const { partition } = this;
      const { expectedOffset, terms } = batch;
      const mine = isRepeat ? copyBody(body) : body;
      if (isRepeat) batch.isReusable = false;
      this.owner.append(
        (handle) => frameAppend(mine, { handle, partition, sequence, expectedOffset, terms }),
        body.end - body.start,
      );
    }
  }

  private refused(sequence: number, error: MillraceError): void {
    const refusal = refusalOf(error);
    const batch = this.queue.refused(sequence, refusal);
    if (batch === undefined) return;
    this.owner.landed(batch);
    if (refusal.kind === 'never' || refusal.kind === 'unclear') {
      const mayBeStored = this.queue.mayBeStored(sequence);
      this.owner.failed(batch, mayBeStored ? withUnknownEffect(error) : error);
    }
    if (refusal.kind === 'later') {
      this.lastRefusal = error;
      clearTimeout(this.resumeTimer);
      this.resumeTimer = setTimeout(() => this.resume(), this.backoff.nextMs(error.retryAfterMs));
    }
    this.owner.wake(this);
  }

  private resume(): void {
    this.queue.resume();
    this.owner.wake(this);
  }

  private compress(batch: OutgoingBatch): void {
    const { compression } = this.owner;
    const { body: plain } = batch;
    if (compression === 'none' || plain === undefined) return;
    batch.body = undefined;
    void compressBatch(plain, batch.recordCount, compression).then(
      (compressed) => {
        const shrunk = compressed.end - compressed.start < plain.end - plain.start;
        batch.body = shrunk ? compressed : plain;
        if (shrunk) {
          if (batch.isReusable) this.owner.pool.give(plain.buffer);
          batch.isReusable = false;
        }
        this.owner.wake(this);
      },
      () => {
        // Out of memory, or too many threads: what cannot be made smaller still goes as it is.
        batch.body = plain;
        this.owner.wake(this);
      },
    );
  }
}

/** Powers of two, so that buffers fit again, and whole batches from half a batch on. */
function capacityFor(bytes: number, batchBytes: number): number {
  if (bytes > batchBytes / 2) return batchBytes;
  return Math.max(capacityBytesMin, 2 ** Math.ceil(Math.log2(bytes)));
}

function withUnknownEffect(error: MillraceError): MillraceError {
  const { kind, reason, message, metadata, code } = error;
  return new MillraceError(kind, reason, message, {
    effect: 'unknown',
    metadata,
    code,
    cause: error,
  });
}

function refusalOf(error: MillraceError): Refusal {
  if (error.reason === 'SEQUENCE_GAP') {
    return { kind: 'gap', lastStored: Number(error.metadata['last_sequence'] ?? 0) };
  }
  if (isTransient(error)) return { kind: 'later' };
  return { kind: error.effect === 'none' ? 'never' : 'unclear' };
}
