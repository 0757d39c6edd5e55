// One partition as one ordered sequence of batches over journal and object store: appends, publishers, start and end.
//
// Invariants:
// - Offsets are dense: a batch begins where the one before it ended.
// - `endOffset` is durable: nothing at or past it is visible to anyone. `nextOffset` is where the next append goes.
// - Append times never go back, whatever the clock does.
// - The store's part, the manifest, changes by entries of the journal only, like everything else here.
import { crc32 } from 'node:zlib';
import { flagCompressed, flagKeyed, type StoredHeader } from '../batch/stored-header.ts';
import { entryTypes } from '../core/entry-types.ts';
import { BrokerError } from '../core/errors.ts';
import { publisherId, type Offset, type PartitionId, type TenantId } from '../core/ids.ts';
import { limits } from '../core/limits.ts';
import type { OffsetRun } from '../core/run-index.ts';
import type { Journal } from '../journal/journal.ts';
import type { ColdReader } from '../tier/cold-reader.ts';
import { Manifest, type ManifestPagePointer } from '../tier/manifest.ts';
import type { SegmentRow } from '../tier/segment-rows.ts';
import { AppendEntry, type WhenDurable } from './append-entry.ts';
import { BatchMarks, type DueRun, type MarkBudget } from './batch-marks.ts';
import { plainTerms, type DeliveryTerms } from './delivery-terms.ts';
import {
  encodeCancelled,
  encodePartitionCheckpoint,
  encodePublisherOpened,
  encodeTrimmed,
  type Cancelled,
  type PartitionCheckpoint,
  type PublisherOpened,
} from './entries.ts';
import type { BatchMark } from './mark-chunk.ts';
import { PartitionReader } from './partition-reader.ts';
import { PublishersState, type Publisher } from './publishers-state.ts';
import type { StoredBatch } from './stored-batch.ts';

/** What a publisher asks for; the batch has been scanned. */
export interface AppendRequest {
  /** Undefined: not counted. `mayLeaveGaps`: see PublishersState. */
  readonly publisher:
    { readonly name: string; readonly epoch: number; readonly mayLeaveGaps?: boolean } | undefined;
  readonly sequence: number;
  readonly expectedOffset: Offset | undefined;
  readonly body: Uint8Array;
  readonly recordCount: number;
  readonly compressed: boolean;
  readonly keyed: boolean;
  /** Default: delivered at once, to everybody. */
  readonly terms?: DeliveryTerms;
}

/** Learns what becomes of records that were held back. */
export interface MarkListener {
  /** Their time has come. */
  released(runs: readonly DueRun[]): void;
  /** They were taken back: nobody gets them. */
  cancelled(runs: readonly OffsetRun[]): void;
}

/** What logs of one shard share. */
export interface LogContext {
  /** Logs are made while their journal still replays. */
  journal(): Journal;
  readonly cold: ColdReader;
  readonly epoch: number;
  /** Called for each batch that became durable; it gathers the logs to announce after a commit. */
  onGrown(log: PartitionLog): void;
  /** Called for each batch that is held back until `dueMs`. */
  onHeld(log: PartitionLog, dueMs: number): void;
  /** What batches with terms may take in memory. */
  readonly marks: MarkBudget;
}

export class PartitionLog {
  readonly id: PartitionId;
  readonly publishers = new PublishersState();
  /** What of the partition is in the object store. */
  readonly manifest = new Manifest();
  /** What queues hold back or prefer. */
  readonly marks: BatchMarks;
  startOffset: Offset = 0;
  endOffset: Offset = 0;
  nextOffset: Offset = 0;
  lastAppendTimeMs = 0;
  private readonly context: LogContext;
  private readonly reader: PartitionReader;
  private readonly listeners = new Set<() => void>();
  private readonly markListeners = new Set<MarkListener>();
  /** Start as appended to the journal: a checkpoint behind that entry must not say an older one. */
  private trimmedTo: Offset = 0;
  private isDropped = false;

  constructor(id: PartitionId, context: LogContext) {
    this.id = id;
    this.context = context;
    this.marks = new BatchMarks(context.marks);
    this.reader = new PartitionReader(id, this.manifest, () => this.journal, context.cold);
  }

  private get journal(): Journal {
    return this.context.journal();
  }

  /** Why records cannot be read, once a read has found damage; empty otherwise. */
  get damage(): string {
    return this.reader.damageFrom(this.startOffset);
  }

  /**
   * Gives the batch its offsets and puts it into the next commit; `whenDurable` is called after it, in order.
   * Throws what the publisher did wrong; then nothing was stored.
   */
  append(request: AppendRequest, nowMs: number, whenDurable: WhenDurable): void {
    const publisher = this.publisherOf(request);
    if (publisher !== undefined) {
      const repeat = this.checkSequence(publisher, request, whenDurable);
      if (repeat) return;
    }
    const { expectedOffset, recordCount, body } = request;
    if (expectedOffset !== undefined && expectedOffset !== this.nextOffset) {
      throw new BrokerError(
        'OFFSET_MISMATCH',
        `the next offset is ${this.nextOffset}, not ${expectedOffset}; read up to it and decide again`,
        { metadata: { next_offset: String(this.nextOffset) } },
      );
    }
    const appendTimeMs = Math.max(nowMs, this.lastAppendTimeMs);
    const terms = this.termsOf(request, nowMs);
    const baseOffset = this.nextOffset;
    const header = {
      flags: (request.compressed ? flagCompressed : 0) | (request.keyed ? flagKeyed : 0),
      bodyBytes: body.length,
      bodyCrc: crc32(body),
      partitionId: this.id,
      epoch: this.context.epoch,
      baseOffset,
      recordCount,
      publisherId: publisher?.id ?? publisherId(0),
      publisherEpoch: request.publisher?.epoch ?? 0,
      sequence: request.sequence,
      appendTimeMs,
      ...terms,
    };
    this.journal.append(
      new AppendEntry(header, body, (entry) => {
        this.endOffset = entry.firstOffset + entry.recordCount;
        whenDurable(entry.firstOffset, entry.recordCount, false);
        this.context.onGrown(this);
      }),
    );
    this.mark(baseOffset, recordCount, terms);
    this.nextOffset = baseOffset + recordCount;
    this.lastAppendTimeMs = appendTimeMs;
    if (publisher !== undefined) {
      this.publishers.record(publisher, request.sequence, baseOffset, recordCount, nowMs);
    }
  }

  /** Resolves when everything appended so far is durable. */
  behindAppends(): Promise<void> {
    return this.journal.barrier();
  }

  /** Gives a publisher its epoch in this partition; resolves when that is durable. */
  async openPublisher(name: string, epoch: number, nowMs: number): Promise<Publisher> {
    const known = this.publishers.named(name);
    if (known !== undefined && known.epoch > epoch) throw fenced(name, known.epoch);
    if (known === undefined && !this.publishers.makeRoom()) {
      throw new BrokerError(
        'LIMIT_REACHED',
        `a partition remembers at most ${limits.publishersPerPartitionMax} publishers and all of them are connected; ` +
          'use fewer publisher names',
        { metadata: { limit: 'publishersPerPartitionMax' } },
      );
    }
    const changed = known === undefined || known.epoch < epoch;
    const publisher = this.publishers.open(name, epoch, nowMs);
    publisher.openCount++;
    if (changed) {
      const opened = { partition: this.id, id: publisher.id, name, epoch, atMs: nowMs };
      await this.journal.write(entryTypes.publisherOpened, encodePublisherOpened(opened));
    }
    return publisher;
  }

  /** A stream no longer holds the publisher open. */
  closePublisher(name: string): void {
    const publisher = this.publishers.named(name);
    if (publisher !== undefined && publisher.openCount > 0) publisher.openCount--;
  }

  /**
   * Batches from the one that holds `offset` on, as far as they are in memory, at least one and at most about
   * `bytesMax`. Undefined: await `load(offset)` first. `offset` must be in [startOffset, endOffset). Throws DATA_LOSS.
   */
  read(offset: Offset, bytesMax: number): StoredBatch[] | undefined {
    return this.reader.read(offset, this.endOffset, bytesMax);
  }

  /** Brings the batch that holds the offset, and some that follow it, into memory. Throws DATA_LOSS, STORE_FAILED. */
  async load(offset: Offset): Promise<void> {
    try {
      await this.reader.load(offset);
    } catch (error) {
      // Retention was faster: who looks again finds the gap.
      if (offset >= this.startOffset) throw error;
    }
  }

  /** First offset with an append time at or after the given one; the end when there is none. */
  async offsetAtTime(timeMs: number): Promise<Offset> {
    return this.clip(await this.reader.offsetAtTime(timeMs));
  }

  /** What an age keeps: as `offsetAtTime`, but whole segments. */
  async keptFromTime(timeMs: number): Promise<Offset> {
    return this.clip(await this.reader.segmentAtTime(timeMs));
  }

  /** First offset of the newest so many stored bytes: whole batches inside, or the whole segment where they begin. */
  async keptFromBytes(bytes: number): Promise<Offset> {
    return this.clip(await this.reader.offsetAtTailBytes(bytes));
  }

  /** First offset of the batch or segment that holds the given one; the end when it is there. */
  async keptFromOffset(offset: Offset): Promise<Offset> {
    if (offset >= this.endOffset) return this.endOffset;
    return this.clip((await this.reader.startOf(offset)) ?? this.startOffset);
  }

  /** As PartitionReader; 0: there is no such record. */
  appendTimeOf(offset: Offset): number {
    const exists = offset >= this.startOffset && offset < this.endOffset;
    return exists ? (this.reader.appendTimeOf(offset) ?? 0) : 0;
  }

  storedBytes(): number {
    if (this.startOffset >= this.endOffset) return 0;
    const { manifest } = this;
    const hotFrom = Math.max(this.startOffset, manifest.endOffset);
    return manifest.bytes + this.reader.hotBytesFrom(hotFrom);
  }

  /** Stored bytes from the offset on; of what only the store has all of it, if the offset is there. */
  storedBytesFrom(offset: Offset): number {
    if (offset >= this.endOffset) return 0;
    const hotFrom = this.manifest.endOffset;
    const cold = offset < hotFrom ? this.manifest.bytes : 0;
    return cold + this.reader.hotBytesFrom(Math.max(offset, hotFrom));
  }

  /** First offset whose record is on the local disk. */
  get hotStartOffset(): Offset {
    return Math.max(this.startOffset, this.reader.hotStart ?? this.endOffset);
  }

  /** Stored bytes on the local disk, also of what is in the store too. */
  hotBytes(): number {
    return this.startOffset >= this.endOffset ? 0 : this.reader.hotBytesFrom(this.startOffset);
  }

  /** First offset that is only on the local disk: lost with it. */
  get offloadedEnd(): Offset {
    return Math.max(this.startOffset, this.manifest.endOffset);
  }

  /** Moves the start; readers are not told, they find a gap. Durable when it resolves. */
  async trim(startOffset: Offset): Promise<void> {
    // Behind the entry that drops the partition an entry of it would bring it back at the next start.
    if (this.isDropped || startOffset <= this.trimmedTo) return;
    this.trimmedTo = startOffset;
    const entry = encodeTrimmed({ partition: this.id, startOffset });
    await this.journal.write(entryTypes.trimmed, entry);
    this.moveStart(startOffset);
  }

  /** Its topic is deleted: who still holds the log changes nothing any more. */
  drop(): void {
    this.isDropped = true;
    this.marks.clear();
  }

  /** An entry of the journal has recorded the segment: the store has these records, whatever becomes of the disk. */
  addSegment(tenant: TenantId, row: SegmentRow): void {
    this.manifest.tenant = tenant;
    this.manifest.add(row);
    this.manifest.trim(this.startOffset);
  }

  /** An entry of the journal has recorded that rows of the manifest moved into the page. */
  pageManifest(page: ManifestPagePointer): void {
    this.manifest.page(page);
    this.manifest.trim(this.startOffset);
  }

  /** Calls back after commits that made batches of this partition durable. Answers how to stop that. */
  onVisible(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Tells of records that are held back no more, or were taken back. Answers how to stop that. */
  onMarks(listener: MarkListener): () => void {
    this.markListeners.add(listener);
    return () => this.markListeners.delete(listener);
  }

  /** Releases what is due, at most so many batches; answers how many that were. */
  releaseDue(nowMs: number, max: number): number {
    const runs = this.marks.due(nowMs, max);
    if (runs.length > 0) for (const listener of this.markListeners) listener.released(runs);
    return runs.length;
  }

  /**
   * Takes records back that are held back: no queue delivers them. Answers how many; durable when it resolves.
   * Throws LIMIT_REACHED.
   */
  async cancelHeld(first: Offset, last: Offset): Promise<number> {
    if (this.marks.cancelledCount >= limits.cancelledRangesMax) {
      throw new BrokerError(
        'LIMIT_REACHED',
        `a partition remembers at most ${limits.cancelledRangesMax} ranges of cancelled records; ` +
          'wait until retention removes the oldest',
        { metadata: { limit: 'cancelledRangesMax' } },
      );
    }
    const runs = this.marks.cancel(first, Math.min(last, this.endOffset - 1));
    if (runs.length === 0) return 0;
    for (const listener of this.markListeners) listener.cancelled(runs);
    await this.journal.write(entryTypes.cancelled, encodeCancelled({ partition: this.id, runs }));
    return runs.reduce((sum, run) => sum + run.last - run.first + 1, 0);
  }

  announce(): void {
    for (const listener of this.listeners) listener();
  }

  checkpoint(): Buffer {
    return encodePartitionCheckpoint({
      partition: this.id,
      startOffset: this.trimmedTo,
      nextOffset: this.nextOffset,
      lastAppendTimeMs: this.lastAppendTimeMs,
      publishers: [...this.publishers.all()],
      manifest: this.manifest,
      cancelled: [...this.marks.cancelledRuns()],
    });
  }

  // --- Recovery: the same changes as above, read back from the journal --------------------------------------

  restore(checkpoint: PartitionCheckpoint): void {
    this.startOffset = checkpoint.startOffset;
    this.trimmedTo = checkpoint.startOffset;
    this.nextOffset = checkpoint.nextOffset;
    this.endOffset = checkpoint.nextOffset;
    this.lastAppendTimeMs = checkpoint.lastAppendTimeMs;
    for (const publisher of checkpoint.publishers) this.publishers.restore(publisher);
    const { tenant, pages, rows, endOffset } = checkpoint.manifest;
    this.manifest.tenant = tenant;
    this.manifest.restore(pages, rows, endOffset);
    for (const run of checkpoint.cancelled) this.marks.restoreCancelled(run);
    // Made while a trim was under way it has the new start beside segments from before it.
    this.manifest.trim(this.startOffset);
  }

  replayBatch(header: StoredHeader): void {
    this.nextOffset = header.baseOffset + header.recordCount;
    this.endOffset = this.nextOffset;
    this.lastAppendTimeMs = header.appendTimeMs;
    const publisher = this.publishers.get(publisherId(header.publisherId));
    if (publisher === undefined) return;
    const { sequence, baseOffset, recordCount, appendTimeMs } = header;
    this.publishers.record(publisher, sequence, baseOffset, recordCount, appendTimeMs);
  }

  replayOpened(opened: PublisherOpened): void {
    this.publishers.open(opened.name, opened.epoch, opened.atMs, opened.id);
  }

  replayCancelled(runs: Cancelled['runs']): void {
    for (const run of runs) this.marks.restoreCancelled(run);
  }

  /** What all entries say together, ascending. What is due is held back no more: it has its place among the others. */
  restoreMarks(marks: Iterable<BatchMark>, nowMs: number): void {
    for (const mark of marks) {
      if (mark.first + mark.count <= this.startOffset) continue;
      const deliverAtMs = mark.deliverAtMs > nowMs ? mark.deliverAtMs : 0;
      this.mark(mark.first, mark.count, { deliverAtMs, priority: mark.priority });
    }
  }

  replayTrimmed(startOffset: Offset): void {
    this.moveStart(startOffset);
    this.trimmedTo = this.startOffset;
  }

  // --- Inside --------------------------------------------------------------------------------------------

  /** Throws LIMIT_REACHED. */
  private termsOf({ terms = plainTerms }: AppendRequest, nowMs: number): DeliveryTerms {
    const deliverAtMs = terms.deliverAtMs > nowMs ? terms.deliverAtMs : 0;
    if ((deliverAtMs > 0 || terms.priority > 0) && this.context.marks.left <= 0) {
      throw new BrokerError(
        'LIMIT_REACHED',
        `a broker holds at most ${limits.markedBatchesMax} batches with a delivery time or a priority; publish without ` +
          'one, put more records into a batch, or wait',
        { metadata: { limit: 'markedBatchesMax' } },
      );
    }
    return { ...terms, deliverAtMs };
  }

  private mark(
    first: Offset,
    count: number,
    { deliverAtMs, priority }: Pick<DeliveryTerms, 'deliverAtMs' | 'priority'>,
  ): void {
    if (deliverAtMs === 0 && priority === 0) return;
    this.marks.add({ first, count, deliverAtMs, priority });
    if (deliverAtMs > 0) this.context.onHeld(this, deliverAtMs);
  }

  private publisherOf(request: AppendRequest): Publisher | undefined {
    if (request.publisher === undefined) return undefined;
    const publisher = this.publishers.named(request.publisher.name);
    if (publisher !== undefined) return publisher;
    throw new BrokerError(
      'PUBLISHER_FENCED',
      `publisher ${request.publisher.name} is no longer known here; open it again`,
    );
  }

  /** True when the append repeats an earlier one, whose answer will be given; throws when it may not be stored. */
  private checkSequence(
    publisher: Publisher,
    request: AppendRequest,
    whenDurable: WhenDurable,
  ): boolean {
    const verdict = this.publishers.judge(
      publisher,
      request.publisher?.epoch ?? 0,
      request.sequence,
      request.publisher?.mayLeaveGaps,
    );
    switch (verdict.kind) {
      case 'append':
        return false;
      case 'repeat': {
        const { baseOffset, recordCount } = verdict;
        this.whenDurable(baseOffset, () => whenDurable(baseOffset, recordCount, true));
        return true;
      }
      case 'fenced':
        throw fenced(publisher.name, verdict.epoch);
      case 'gap':
        throw new BrokerError(
          'SEQUENCE_GAP',
          `sequence ${request.sequence} follows ${verdict.lastSequence}; send ${verdict.lastSequence + 1} first`,
          { metadata: { last_sequence: String(verdict.lastSequence) } },
        );
      case 'too_old':
        throw new BrokerError(
          'SEQUENCE_TOO_OLD',
          `sequence ${request.sequence} was stored more than ${limits.publisherAnswersKept} appends ago; ` +
            `go on after ${verdict.lastSequence}`,
          { metadata: { last_sequence: String(verdict.lastSequence) } },
        );
    }
  }

  /** At once when the offset is durable, else behind everything that was appended so far. */
  private whenDurable(offset: Offset, callback: () => void): void {
    if (offset < this.endOffset) callback();
    else void this.behindAppends().then(callback);
  }

  private moveStart(startOffset: Offset): void {
    this.startOffset = Math.max(this.startOffset, startOffset);
    this.manifest.trim(this.startOffset);
  }

  private clip(offset: Offset | undefined): Offset {
    return Math.min(Math.max(offset ?? this.endOffset, this.startOffset), this.endOffset);
  }
}

function fenced(name: string, epoch: number): BrokerError {
  return new BrokerError(
    'PUBLISHER_FENCED',
    `publisher ${name} was opened again with epoch ${epoch}; this stream may no longer publish`,
    { metadata: { epoch: String(epoch) } },
  );
}
