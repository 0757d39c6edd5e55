// Reads one partition: from journal pages where it is hot, from the object store where it is not.
//
//   find ──in a cached page──▶ batch          hot wins while it is there: it is nearer
//     └────in a cached block──▶ batch
//     └────neither──▶ load, then find again
//
// Invariants:
// - A batch is only handed out when its header names this partition and the offset that was asked for, and its bytes
//   have the CRCs that were stored with them.
// - What leaves the journal between a look and a load is found in the store: a dropped generation is never damage.
import { bodyIsIntact, decodeStoredHeader, storedHeaderBytes } from '../batch/stored-header.ts';
import { BrokerError } from '../core/errors.ts';
import type { Offset, PartitionId } from '../core/ids.ts';
import { limits } from '../core/limits.ts';
import { frameHeaderBytes } from '../journal/format.ts';
import type { Journal } from '../journal/journal.ts';
import type { ColdReader } from '../tier/cold-reader.ts';
import type { Manifest } from '../tier/manifest.ts';
import { StoredBatch } from './stored-batch.ts';

export class PartitionReader {
  readonly id: PartitionId;
  readonly manifest: Manifest;
  private readonly journalOf: () => Journal;
  private readonly cold: ColdReader;
  private damaged: { readonly offset: Offset; readonly message: string } | undefined;

  constructor(id: PartitionId, manifest: Manifest, journalOf: () => Journal, cold: ColdReader) {
    this.id = id;
    this.manifest = manifest;
    this.journalOf = journalOf;
    this.cold = cold;
  }

  /** What a read has found to be damaged and no later one readable, from the offset on; empty when nothing is. */
  damageFrom(startOffset: Offset): string {
    return this.damaged !== undefined && this.damaged.offset >= startOffset
      ? this.damaged.message
      : '';
  }

  /**
   * Batches from the one that holds `offset` on, as far as they are in memory, below `end`, at least one and at most
   * about `bytesMax`. Undefined: await `load(offset)` first. Throws DATA_LOSS.
   */
  read(offset: Offset, end: Offset, bytesMax: number): StoredBatch[] | undefined {
    const batches: StoredBatch[] = [];
    let bytes = 0;
    let at = offset;
    while (at < end && bytes < bytesMax) {
      const batch = this.tryFind(at, batches.length > 0);
      if (batch === undefined) break;
      if (batches.length > 0 && bytes + batch.header.bodyBytes > bytesMax) break;
      batches.push(batch);
      bytes += batch.header.bodyBytes;
      at = batch.lastOffset + 1;
    }
    if (this.damaged !== undefined && this.damaged.offset >= offset && this.damaged.offset < at) {
      this.damaged = undefined;
    }
    return batches.length > 0 ? batches : undefined;
  }

  /** Brings the batch that holds the offset, and some that follow it, into memory. Throws DATA_LOSS, STORE_FAILED. */
  async load(offset: Offset): Promise<void> {
    const { index, pages } = this.journal;
    const numbers = index.pagesFrom(this.id, offset, limits.readAheadPages);
    try {
      if (numbers.length === 0) await this.loadCold(offset);
      else {
        const isForward = this.isInMemory(offset - 1);
        const [first] = await pages.load(numbers);
        if (isForward && first !== undefined) first.isAhead = true;
      }
    } catch (error) {
      // Dropped from the journal meanwhile: it was offloaded before.
      if (numbers.length > 0 && index.find(this.id, offset) === undefined) return;
      this.noteDamage(offset, error);
      throw error;
    }
  }

  /** First offset that the journal has; undefined when it has nothing of the partition. */
  get hotStart(): Offset | undefined {
    return this.journal.index.firstOffset(this.id);
  }

  /** Stored bytes in the journal from the offset on. */
  hotBytesFrom(offset: Offset): number {
    return this.journal.index.bytesFrom(this.id, offset);
  }

  /** First offset with an append time at or after the given one; undefined when all are older. */
  async offsetAtTime(timeMs: number): Promise<Offset | undefined> {
    const hot = this.journal.index.findTime(this.id, timeMs)?.firstOffset;
    if (!this.isColdBefore(hot)) return hot;
    return (await this.cold.offsetAtTime(this, timeMs)) ?? hot;
  }

  /** As `offsetAtTime`, but in the store no finer than a segment, and never later. */
  async segmentAtTime(timeMs: number): Promise<Offset | undefined> {
    const hot = this.journal.index.findTime(this.id, timeMs)?.firstOffset;
    if (!this.isColdBefore(hot)) return hot;
    return (await this.cold.manifests.rowOfTime(this, timeMs))?.firstOffset ?? hot;
  }

  /**
   * First offset of the newest batches that together have at most so many bytes. Where only the store has them it is
   * that of the segment in which they begin, so never a later one.
   */
  async offsetAtTailBytes(bytes: number): Promise<Offset | undefined> {
    const { index } = this.journal;
    const hot = index.findTailOfBytes(this.id, bytes)?.firstOffset;
    if (!this.isColdBefore(hot)) return hot;
    const onlyHot = index.bytesFrom(this.id, this.manifest.endOffset);
    return (await this.cold.manifests.tailOfBytes(this, bytes - onlyHot)) ?? hot;
  }

  /** When the record was appended; of one that only the store has: the earliest that it can have been. */
  appendTimeOf(offset: Offset): number | undefined {
    const hot = this.journal.index.find(this.id, offset);
    if (hot !== undefined) return hot.timeMs;
    const cold = this.manifest.find(offset);
    if (cold === undefined) return undefined;
    return cold.in === 'row' ? cold.row.firstTimeMs : cold.page.firstTimeMs;
  }

  /** First offset of the batch, or in the store of the segment, that holds the given one. */
  async startOf(offset: Offset): Promise<Offset | undefined> {
    const hot = this.journal.index.find(this.id, offset);
    if (hot !== undefined) return hot.firstOffset;
    return (await this.cold.manifests.rowOf(this, offset))?.firstOffset;
  }

  private get journal(): Journal {
    return this.journalOf();
  }

  /** Whether the store has records that the journal has no more, and an answer in the journal may come too late. */
  private isColdBefore(hot: Offset | undefined): boolean {
    if (this.manifest.isEmpty) return false;
    const { hotStart } = this;
    return hotStart === undefined || (hot === hotStart && this.manifest.firstOffset < hotStart);
  }

  private async loadCold(offset: Offset): Promise<void> {
    if (this.manifest.find(offset) === undefined) throw this.missing(offset);
    await this.cold.load(this, offset);
  }

  /** The batch; undefined when it is not in memory, or when it is damaged and damage is not yet to be told. */
  private tryFind(offset: Offset, isLater: boolean): StoredBatch | undefined {
    try {
      return this.find(offset);
    } catch (error) {
      // Damage is told when it is reached: what stands before it is readable.
      if (isLater) return undefined;
      this.noteDamage(offset, error);
      throw error;
    }
  }

  private find(offset: Offset): StoredBatch | undefined {
    const location = this.journal.index.find(this.id, offset);
    if (location === undefined) return this.findCold(offset);
    const page = this.journal.pages.cached(location.page);
    if (page === undefined) return undefined;
    if (page.isAhead) {
      page.isAhead = false;
      this.readOn(offset);
    }
    const headerAt = location.at + frameHeaderBytes;
    const bodyAt = headerAt + storedHeaderBytes;
    const header = decodeStoredHeader(page.bytes, headerAt);
    if (header === undefined) throw this.damagedHot(offset, 'has a damaged header');
    if (!page.isVerified(location.at)) {
      if (!bodyIsIntact(header, page.bytes, bodyAt)) {
        throw this.damagedHot(offset, 'has damaged bytes');
      }
      page.markVerified(location.at);
    }
    const { partitionId: stored, baseOffset, recordCount } = header;
    if (stored !== this.id || offset < baseOffset || offset >= baseOffset + recordCount) {
      throw this.damagedHot(
        offset,
        `stands where offset ${baseOffset} of partition id ${stored} is`,
      );
    }
    return new StoredBatch(header, page.bytes, bodyAt);
  }

  private isInMemory(offset: Offset): boolean {
    const location = this.journal.index.find(this.id, offset);
    return location !== undefined && this.journal.pages.cached(location.page) !== undefined;
  }

  /** Fetches the pages behind those that a reader has just reached, so that it need not wait for them. */
  private readOn(offset: Offset): void {
    const { index, pages } = this.journal;
    const numbers = index
      .pagesFrom(this.id, offset, 2 * limits.readAheadPages)
      .filter((number) => pages.cached(number) === undefined);
    if (numbers.length === 0) return;
    pages.load(numbers).then(
      ([first]) => {
        if (first !== undefined) first.isAhead = true;
      },
      () => {
        // The reader finds the same failure when it gets there, and is told.
      },
    );
  }

  private findCold(offset: Offset): StoredBatch | undefined {
    const batch = this.cold.find(this, offset);
    return batch && new StoredBatch(batch.header, batch.bytes, batch.bodyAt);
  }

  private noteDamage(offset: Offset, error: unknown): void {
    if (!(error instanceof BrokerError) || error.kind !== 'corrupt') return;
    this.damaged = { offset, message: error.message };
  }

  private missing(offset: Offset): BrokerError {
    return this.damagedHot(offset, 'is missing');
  }

  private damagedHot(offset: Offset, what: string): BrokerError {
    return new BrokerError(
      'DATA_LOSS',
      `offset ${offset} of partition id ${this.id} ${what}; restore the volume from a backup, or seek past it`,
      { metadata: { partition_id: String(this.id), offset: String(offset) } },
    );
  }
}
