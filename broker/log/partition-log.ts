// One partition as one ordered sequence of batches: appends, reads, publishers, start and end.
//
// Invariants:
// - Offsets are dense: a batch begins where the one before it ended.
// - `endOffset` is durable: nothing at or past it is visible to anyone. `nextOffset` is where the next append goes.
// - Append times never go back, whatever the clock does.
// - A batch is only handed out when its header names this partition and the offset that was asked for, and its body
//   has the CRC that the header states.
import { crc32 } from 'node:zlib';
import {
  bodyIsIntact,
  decodeStoredHeader,
  flagCompressed,
  flagKeyed,
  storedHeaderBytes,
  type StoredHeader,
} from '../batch/stored-header.ts';
import { entryTypes } from '../core/entry-types.ts';
import { BrokerError } from '../core/errors.ts';
import { publisherId, type Offset, type PartitionId } from '../core/ids.ts';
import { limits } from '../core/limits.ts';
import { frameHeaderBytes } from '../journal/format.ts';
import type { Journal } from '../journal/journal.ts';
import { AppendEntry, type WhenDurable } from './append-entry.ts';
import {
  encodePartitionCheckpoint,
  encodePublisherOpened,
  encodeTrimmed,
  type PartitionCheckpoint,
  type PublisherOpened,
} from './entries.ts';
import { PublishersState, type Publisher } from './publishers-state.ts';
import { StoredBatch } from './stored-batch.ts';

/** What a publisher asks for; the batch has been scanned. */
export interface AppendRequest {
  /** Undefined: not counted. */
  readonly publisher: { readonly name: string; readonly epoch: number } | undefined;
  readonly sequence: number;
  readonly expectedOffset: Offset | undefined;
  readonly body: Uint8Array;
  readonly recordCount: number;
  readonly compressed: boolean;
  readonly keyed: boolean;
}

export class PartitionLog {
  readonly id: PartitionId;
  readonly publishers = new PublishersState();
  startOffset: Offset = 0;
  endOffset: Offset = 0;
  nextOffset: Offset = 0;
  lastAppendTimeMs = 0;
  /** Why records cannot be read, once a read has found damage; empty otherwise. */
  damage = '';
  private readonly journalOf: () => Journal;
  private readonly epoch: number;
  private readonly onGrown: (log: PartitionLog) => void;
  private readonly listeners = new Set<() => void>();
  /** Start as appended to the journal: a checkpoint behind that entry must not say an older one. */
  private trimmedTo: Offset = 0;

  /**
   * `journalOf`: logs are made while their journal still replays. `onGrown` is called for each batch that became
   * durable; it gathers the logs to announce after a commit.
   */
  constructor(
    id: PartitionId,
    journalOf: () => Journal,
    epoch: number,
    onGrown: (log: PartitionLog) => void,
  ) {
    this.id = id;
    this.journalOf = journalOf;
    this.epoch = epoch;
    this.onGrown = onGrown;
  }

  private get journal(): Journal {
    return this.journalOf();
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
    const baseOffset = this.nextOffset;
    const header = {
      flags: (request.compressed ? flagCompressed : 0) | (request.keyed ? flagKeyed : 0),
      bodyBytes: body.length,
      bodyCrc: crc32(body),
      partitionId: this.id,
      epoch: this.epoch,
      baseOffset,
      recordCount,
      publisherId: publisher?.id ?? publisherId(0),
      publisherEpoch: request.publisher?.epoch ?? 0,
      sequence: request.sequence,
      appendTimeMs,
      deliverAtMs: 0,
    };
    this.journal.append(
      new AppendEntry(header, body, (entry) => {
        this.endOffset = entry.firstOffset + entry.recordCount;
        whenDurable(entry.firstOffset, entry.recordCount, false);
        this.onGrown(this);
      }),
    );
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
   * `bytesMax`. Undefined: await `load(offset)` first. `offset` must be in [startOffset, endOffset).
   */
  read(offset: Offset, bytesMax: number): StoredBatch[] | undefined {
    const batches: StoredBatch[] = [];
    let bytes = 0;
    let at = offset;
    while (at < this.endOffset && bytes < bytesMax) {
      const batch = this.batchAt(at);
      if (batch === undefined) break;
      if (typeof batch === 'string') {
        // Damage is told when it is reached: what stands before it is readable.
        if (batches.length > 0) break;
        throw this.damaged(at, batch);
      }
      if (batches.length > 0 && bytes + batch.header.bodyBytes > bytesMax) break;
      batches.push(batch);
      bytes += batch.header.bodyBytes;
      at = batch.lastOffset + 1;
    }
    return batches.length > 0 ? batches : undefined;
  }

  /** Brings the batch that holds the offset, and some that follow it, into memory. */
  async load(offset: Offset): Promise<void> {
    const pages = this.journal.index.pagesFrom(this.id, offset, limits.readAheadPages);
    if (pages.length === 0) throw this.damaged(offset, 'is missing');
    try {
      await this.journal.load(pages);
    } catch (error) {
      this.damage = error instanceof Error ? error.message : String(error);
      throw error;
    }
  }

  /** First offset with an append time at or after the given one; the end when there is none. */
  offsetAtTime(timeMs: number): Offset {
    const found = this.journal.index.findTime(this.id, timeMs);
    const offset = found?.firstOffset ?? this.endOffset;
    return Math.min(Math.max(offset, this.startOffset), this.endOffset);
  }

  /** First offset of the newest batches that together have at most so many stored bytes. */
  offsetAtTailBytes(bytes: number): Offset {
    const found = this.journal.index.findTailOfBytes(this.id, bytes);
    return Math.max(found?.firstOffset ?? this.endOffset, this.startOffset);
  }

  /** First offset of the batch that holds the given one; the end when it is there. */
  batchStart(offset: Offset): Offset {
    if (offset >= this.endOffset) return this.endOffset;
    return this.journal.index.find(this.id, offset)?.firstOffset ?? this.startOffset;
  }

  storedBytes(): number {
    if (this.startOffset >= this.endOffset) return 0;
    return this.journal.index.bytesFrom(this.id, this.startOffset);
  }

  /** Moves the start; readers are not told, they find a gap. Durable when it resolves. */
  async trim(startOffset: Offset): Promise<void> {
    if (startOffset <= this.trimmedTo) return;
    this.trimmedTo = startOffset;
    const entry = encodeTrimmed({ partition: this.id, startOffset });
    await this.journal.write(entryTypes.trimmed, entry);
    this.startOffset = Math.max(this.startOffset, startOffset);
  }

  /** Calls back after commits that made batches of this partition durable. Answers how to stop that. */
  onVisible(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
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

  replayTrimmed(startOffset: Offset): void {
    this.startOffset = Math.max(this.startOffset, startOffset);
    this.trimmedTo = this.startOffset;
  }

  // --- Inside --------------------------------------------------------------------------------------------

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

  /** The batch that holds the offset; undefined when its page is not in memory; a text says what is damaged. */
  private batchAt(offset: Offset): StoredBatch | string | undefined {
    const location = this.journal.index.find(this.id, offset);
    if (location === undefined) return 'is missing';
    const page = this.journal.cached(location.page);
    if (page === undefined) return undefined;
    const headerAt = location.at + frameHeaderBytes;
    const bodyAt = headerAt + storedHeaderBytes;
    const header = decodeStoredHeader(page.bytes, headerAt);
    if (header === undefined) return 'has a damaged header';
    if (!page.isVerified(location.at)) {
      if (!bodyIsIntact(header, page.bytes, bodyAt)) return 'has damaged bytes';
      page.markVerified(location.at);
    }
    const { partitionId: stored, baseOffset, recordCount } = header;
    const holds = offset >= baseOffset && offset < baseOffset + recordCount;
    if (stored !== this.id || !holds) {
      return `stands where offset ${baseOffset} of partition id ${stored} is`;
    }
    return new StoredBatch(header, page.bytes, bodyAt);
  }

  private damaged(offset: Offset, what: string): BrokerError {
    this.damage = `offset ${offset} ${what}`;
    return new BrokerError(
      'DATA_LOSS',
      `offset ${offset} of partition id ${this.id} ${what}; restore the volume from a backup, or seek past it`,
      { metadata: { partition_id: String(this.id), offset: String(offset) } },
    );
  }
}

function fenced(name: string, epoch: number): BrokerError {
  return new BrokerError(
    'PUBLISHER_FENCED',
    `publisher ${name} was opened again with epoch ${epoch}; this stream may no longer publish`,
    { metadata: { epoch: String(epoch) } },
  );
}
