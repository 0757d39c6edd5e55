// The manifest of one partition: where its cold records are. Pure; the durable truth is the shard's journal.
//
//   pages (pointers; their rows are immutable objects)  →  newest rows (in memory, in the journal)
//
// Invariants:
// - Pages, then rows, are in the order of their offsets; each begins where the one before it ended, except where
//   everything between was expired before it was offloaded.
// - `endOffset` only rises, also when all rows have expired: what is below it was offloaded or expired.
// - A page is dropped when it is expired as a whole; a row of the newest ones when it is.
import { assert } from '../core/assert.ts';
import { tenantId, type Offset, type TenantId } from '../core/ids.ts';
import type { ObjectId } from './object-names.ts';
import { SegmentRows, type SegmentRow } from './segment-rows.ts';

/** A page of rows in the object store. */
export interface ManifestPagePointer {
  readonly object: ObjectId;
  readonly firstOffset: Offset;
  readonly lastOffset: Offset;
  readonly firstTimeMs: number;
  readonly lastTimeMs: number;
  readonly rows: number;
  /** Stored bytes of its segments. */
  readonly bytes: number;
}

/** Where to look next for an offset or a time. */
export type ManifestPlace =
  | { readonly in: 'row'; readonly row: SegmentRow }
  | { readonly in: 'page'; readonly page: ManifestPagePointer };

export class Manifest {
  /** Whose objects they are; told by the catalog, or by the journal. */
  tenant: TenantId = tenantId(0);
  private pagePointers: ManifestPagePointer[] = [];
  private newest = new SegmentRows();
  private end: Offset = 0;

  get pages(): readonly ManifestPagePointer[] {
    return this.pagePointers;
  }

  /** The newest rows; those before them are in pages. */
  get rows(): SegmentRows {
    return this.newest;
  }

  /** First offset that is not offloaded. */
  get endOffset(): Offset {
    return this.end;
  }

  /** First offset that is in the store; the end when nothing is. */
  get firstOffset(): Offset {
    if (this.pagePointers.length > 0)
      return (this.pagePointers[0] as ManifestPagePointer).firstOffset;
    return this.newest.count > 0 ? this.newest.at(0).firstOffset : this.end;
  }

  get isEmpty(): boolean {
    return this.pagePointers.length === 0 && this.newest.count === 0;
  }

  /** Stored bytes of all segments, also of expired records that share one with others. */
  get bytes(): number {
    let bytes = 0;
    for (const page of this.pagePointers) bytes += page.bytes;
    for (const row of this.newest) bytes += row.bytes;
    return bytes;
  }

  restore(pages: readonly ManifestPagePointer[], rows: SegmentRows, endOffset: Offset): void {
    this.pagePointers = [...pages];
    this.newest = rows;
    this.end = endOffset;
  }

  add(row: SegmentRow): void {
    assert(row.firstOffset >= this.end, 'segments are added in the order of their offsets');
    this.newest.add(row);
    this.end = row.lastOffset + 1;
  }

  /** The newest rows up to the pointer's last offset are in that page now. */
  page(pointer: ManifestPagePointer): void {
    const last = this.newest.indexOf(pointer.lastOffset);
    const isExpired =
      last === this.newest.count || this.newest.at(last).firstOffset > pointer.lastOffset;
    // Trimmed while the page was written: nothing of it is left.
    if (isExpired) return;
    assert(this.newest.at(last).lastOffset === pointer.lastOffset, 'a page ends with a row');
    this.newest.dropFirst(last + 1);
    this.pagePointers.push(pointer);
  }

  /** Forgets what ends before the offset. */
  trim(startOffset: Offset): void {
    let expired = 0;
    while ((this.pagePointers[expired]?.lastOffset ?? Infinity) < startOffset) expired++;
    this.pagePointers.splice(0, expired);
    if (this.pagePointers.length > 0) return;
    this.newest.dropFirst(this.newest.indexOf(startOffset));
  }

  /** Where the offset is; undefined when it is not in the store. */
  find(offset: Offset): ManifestPlace | undefined {
    const page = this.pagePointers.find(({ lastOffset }) => lastOffset >= offset);
    if (page !== undefined) return page.firstOffset <= offset ? { in: 'page', page } : undefined;
    const index = this.newest.indexOf(offset);
    if (index === this.newest.count) return undefined;
    const row = this.newest.at(index);
    return row.firstOffset <= offset ? { in: 'row', row } : undefined;
  }

  /** Where the first record with an append time at or after the given one is; undefined when all are older. */
  findTime(timeMs: number): ManifestPlace | undefined {
    const page = this.pagePointers.find(({ lastTimeMs }) => lastTimeMs >= timeMs);
    if (page !== undefined) return { in: 'page', page };
    const index = this.newest.indexOfTime(timeMs);
    return index === this.newest.count ? undefined : { in: 'row', row: this.newest.at(index) };
  }

  /** Where the newest so many bytes begin; undefined when that is behind all segments. */
  findTailOfBytes(bytes: number): ManifestPlace | undefined {
    let left = bytes;
    let place: ManifestPlace | undefined;
    for (let i = this.newest.count - 1; i >= 0 && left > 0; i--) {
      const row = this.newest.at(i);
      left -= row.bytes;
      place = { in: 'row', row };
    }
    for (let i = this.pagePointers.length - 1; i >= 0 && left > 0; i--) {
      const page = this.pagePointers[i] as ManifestPagePointer;
      left -= page.bytes;
      place = { in: 'page', page };
    }
    return place;
  }
}

/** The pointer to a page with these rows. */
export function pagePointer(object: ObjectId, rows: SegmentRows): ManifestPagePointer {
  const first = rows.at(0);
  const last = rows.at(rows.count - 1);
  let bytes = 0;
  for (const row of rows) bytes += row.bytes;
  return {
    object,
    firstOffset: first.firstOffset,
    lastOffset: last.lastOffset,
    firstTimeMs: first.firstTimeMs,
    lastTimeMs: last.lastTimeMs,
    rows: rows.count,
    bytes,
  };
}
