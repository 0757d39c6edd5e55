// Finds a partition's segment rows, also those in manifest pages and what an object's index says of a row.
//
// Invariant: a page or index that does not say what its pointer promised is damage (DATA_LOSS), never "not there".
import { crc32 } from 'node:zlib';
import { BrokerError } from '../core/errors.ts';
import type { Offset, PartitionId } from '../core/ids.ts';
import { limits } from '../core/limits.ts';
import type { ObjectKey } from '../objects/object-store.ts';
import { LruBytes } from './lru-bytes.ts';
import { decodeManifestPage } from './manifest-page.ts';
import type { Manifest, ManifestPagePointer, ManifestPlace } from './manifest.ts';
import { decodeBlockRow } from './segment-format.ts';
import type { SegmentRow, SegmentRows } from './segment-rows.ts';
import type { TierStore } from './tier-store.ts';

/** A partition as its manifest is read. */
export interface ColdPartition {
  readonly id: PartitionId;
  readonly manifest: Manifest;
}

/** The offsets that a damaged or missing object takes with it. */
export interface LostRange {
  readonly firstOffset: Offset;
  readonly lastOffset: Offset;
}

export class ManifestReader {
  private readonly store: TierStore;
  private readonly pages: LruBytes<SegmentRows>;
  private readonly sections: LruBytes<Buffer>;

  constructor(store: TierStore) {
    this.store = store;
    this.pages = new LruBytes(limits.manifestCacheBytes, (rows) => rows.encoded().length);
    this.sections = new LruBytes(limits.segmentIndexCacheBytes, (section) => section.length);
  }

  get usedBytes(): number {
    return this.pages.usedBytes + this.sections.usedBytes;
  }

  /** The segment that holds the offset; undefined when it is not in the store. Throws DATA_LOSS, STORE_FAILED. */
  async rowOf(partition: ColdPartition, offset: Offset): Promise<SegmentRow | undefined> {
    return this.rowAt(partition, partition.manifest.find(offset), (rows) => rows.indexOf(offset));
  }

  /** The first segment with a record at or after the time; undefined when all are older. */
  async rowOfTime(partition: ColdPartition, timeMs: number): Promise<SegmentRow | undefined> {
    const place = partition.manifest.findTime(timeMs);
    return this.rowAt(partition, place, (rows) => rows.indexOfTime(timeMs));
  }

  /** First offset of the segment in which the newest so many bytes begin; undefined when that is behind them all. */
  async tailOfBytes(partition: ColdPartition, bytes: number): Promise<Offset | undefined> {
    const { manifest } = partition;
    const place = manifest.findTailOfBytes(bytes);
    if (place?.in !== 'page') return place?.row.firstOffset;
    let left = bytes;
    for (const row of manifest.rows) left -= row.bytes;
    for (const later of manifest.pages.slice(manifest.pages.indexOf(place.page) + 1)) {
      left -= later.bytes;
    }
    const rows = await this.page(partition, place.page);
    let first: Offset | undefined;
    for (let i = rows.count - 1; i >= 0 && left > 0; i--) {
      left -= rows.at(i).bytes;
      first = rows.at(i).firstOffset;
    }
    return first;
  }

  /** All rows of a page. */
  page(partition: ColdPartition, pointer: ManifestPagePointer): Promise<SegmentRows> {
    const { tenant } = partition.manifest;
    const key = this.store.key('manifest', tenant, pointer.object);
    return this.pages.get(key, () =>
      twiceIfWrong(
        () => this.store.get(key),
        (bytes) => {
          const rows = decodeManifestPage(bytes, tenant, partition.id);
          return rows?.count === pointer.rows ? rows : undefined;
        },
        (what) => lost(partition.id, key, what, pointer),
      ),
    );
  }

  /** The rows of the object's index for this segment, one per block. */
  section(partition: ColdPartition, row: SegmentRow): Promise<Buffer> {
    const key = this.segmentKey(partition, row);
    return this.sections.get(`${key}:${row.indexAt}`, () =>
      twiceIfWrong(
        () => this.store.getRange(key, row.indexAt, row.indexBytes),
        (bytes) => {
          const isWhole = bytes.length === row.indexBytes && crc32(bytes) === row.indexCrc;
          return isWhole && decodeBlockRow(bytes, 0).partition === partition.id ? bytes : undefined;
        },
        (what) => lost(partition.id, key, what, row),
      ),
    );
  }

  segmentKey(partition: ColdPartition, row: SegmentRow): ObjectKey {
    return this.store.key('segment', partition.manifest.tenant, row.object);
  }

  private async rowAt(
    partition: ColdPartition,
    place: ManifestPlace | undefined,
    indexOf: (rows: SegmentRows) => number,
  ): Promise<SegmentRow | undefined> {
    if (place?.in !== 'page') return place?.row;
    const rows = await this.page(partition, place.page);
    const index = indexOf(rows);
    return index < rows.count ? rows.at(index) : undefined;
  }
}

/** What the bytes say. Wrong ones may come from the way: only what reads wrong twice is damage. */
async function twiceIfWrong<T>(
  read: () => Promise<Buffer | undefined>,
  decode: (bytes: Buffer) => T | undefined,
  lostBecause: (what: string) => BrokerError,
): Promise<T> {
  for (let isAgain = false; ; isAgain = true) {
    const bytes = await read();
    if (bytes === undefined) throw lostBecause('is missing');
    const decoded = decode(bytes);
    if (decoded !== undefined) return decoded;
    if (isAgain) throw lostBecause('is damaged');
  }
}

/** The error for records whose object is not what it was. */
export function lost(
  partition: PartitionId,
  key: ObjectKey,
  what: string,
  { firstOffset, lastOffset }: LostRange,
): BrokerError {
  return new BrokerError(
    'DATA_LOSS',
    `object ${key} ${what}: offsets ${firstOffset} to ${lastOffset} cannot be read; restore the object ` +
      `from a backup or an older version, or seek to ${lastOffset + 1}`,
    {
      metadata: {
        partition_id: String(partition),
        object: key,
        first_offset: String(firstOffset),
        last_offset: String(lastOffset),
      },
    },
  );
}
