// Where the batches of a sealed generation are: index pages in its file, and what of them stays in memory.
//
//   index page   crc u32, then rows of 40 bytes sorted by (stream, offset):
//                stream u32, pageDelta u32, at u32, 4 zero bytes, firstOffset f64, timeMs f64, bytesBefore f64
//   seal         crc u32, streamCount u32, indexPageCount u32, lastPage u64, chain u32, then streamCount summaries of
//                56 bytes (stream u32, firstRow u32, 6 x f64: first and last offset, times, bytes, row count)
//
// Invariants:
// - In memory stand only the summaries: 56 bytes per stream that has batches here, however many batches.
// - A row is found by binary search over rows, reading at most O(log rows) index pages of 40 KiB.
import { crc32 } from 'node:zlib';
import { BrokerError } from '../core/errors.ts';
import { encodeKey, keyKinds, readU64, writeU64 } from './format.ts';
import type { IndexedRun, Location, OpenIndex, StreamSummary } from './open-index.ts';
import type { GenerationFile, Row } from './storage.ts';

const rowBytes = 40;
const rowsPerPage = 1024;
const summaryBytes = 56;
const sealHeaderBytes = 24;

const column = { firstOffset: 16, timeMs: 24, bytesBefore: 32 } as const;
type Column = (typeof column)[keyof typeof column];

export interface Seal {
  readonly lastPage: number;
  /** Page chain after the generation's last page. */
  readonly chain: number;
}

/** Index pages of an open index, a few rows of the file at a time, so that a large one never holds up the loop. */
export function* encodeIndexPages(index: OpenIndex): Generator<Row> {
  let page = Buffer.allocUnsafe(4 + rowsPerPage * rowBytes);
  let rows = 0;
  let number = 0;
  for (const stream of index.sortedStreams()) {
    const from = index.rowsOf(stream);
    if (from === undefined) continue;
    for (let i = 0; i < from.count; i++) {
      const at = 4 + rows * rowBytes;
      page.writeUInt32LE(stream, at);
      page.writeUInt32LE(from.pages[i] as number, at + 4);
      page.writeUInt32LE(from.ats[i] as number, at + 8);
      page.writeUInt32LE(0, at + 12);
      page.writeDoubleLE(from.firstOffsets[i] as number, at + column.firstOffset);
      page.writeDoubleLE(from.times[i] as number, at + column.timeMs);
      page.writeDoubleLE(from.bytesBefore[i] as number, at + column.bytesBefore);
      if (++rows < rowsPerPage) continue;
      yield indexPage(number++, page);
      page = Buffer.allocUnsafe(page.length);
      rows = 0;
    }
  }
  if (rows > 0) yield indexPage(number, page.subarray(0, 4 + rows * rowBytes));
}

export function encodeSeal(index: OpenIndex, seal: Seal): Buffer {
  const streams = index.sortedStreams();
  const bytes = Buffer.alloc(sealHeaderBytes + streams.length * summaryBytes);
  bytes.writeUInt32LE(streams.length, 4);
  bytes.writeUInt32LE(Math.ceil(index.rowCount / rowsPerPage), 8);
  writeU64(bytes, 12, seal.lastPage);
  bytes.writeUInt32LE(seal.chain, 20);
  let firstRow = 0;
  streams.forEach((stream, i) => {
    const summary = index.summary(stream);
    const count = index.rowsOf(stream)?.count ?? 0;
    if (summary === undefined) return;
    const at = sealHeaderBytes + i * summaryBytes;
    bytes.writeUInt32LE(stream, at);
    bytes.writeUInt32LE(firstRow, at + 4);
    bytes.writeDoubleLE(summary.firstOffset, at + 8);
    bytes.writeDoubleLE(summary.lastOffset, at + 16);
    bytes.writeDoubleLE(summary.firstTimeMs, at + 24);
    bytes.writeDoubleLE(summary.lastTimeMs, at + 32);
    bytes.writeDoubleLE(summary.bytes, at + 40);
    bytes.writeDoubleLE(count, at + 48);
    firstRow += count;
  });
  bytes.writeUInt32LE(crc32(bytes.subarray(4)), 0);
  return bytes;
}

export class SealedIndex {
  readonly lastPage: number;
  readonly chain: number;
  private readonly file: GenerationFile;
  private readonly firstPage: number;
  private readonly seal: Buffer;
  private readonly streamCount: number;

  /** Throws DATA_LOSS when the seal is damaged. */
  constructor(file: GenerationFile, firstPage: number, seal: Buffer) {
    if (seal.length < sealHeaderBytes || crc32(seal.subarray(4)) !== seal.readUInt32LE(0)) {
      throw damagedIndex(file, 'seal');
    }
    this.file = file;
    this.firstPage = firstPage;
    this.seal = seal;
    this.streamCount = seal.readUInt32LE(4);
    this.lastPage = readU64(seal, 12);
    this.chain = seal.readUInt32LE(20);
  }

  find(stream: number, offset: number): Location | undefined {
    const summary = this.summary(stream);
    if (summary === undefined || offset > summary.lastOffset || offset < summary.firstOffset) {
      return undefined;
    }
    return this.search(stream, column.firstOffset, (value) => value <= offset, 0);
  }

  findTime(stream: number, timeMs: number): Location | undefined {
    const summary = this.summary(stream);
    if (summary === undefined || summary.lastTimeMs < timeMs) return undefined;
    return this.search(stream, column.timeMs, (value) => value < timeMs, 1);
  }

  findTailOfBytes(stream: number, bytes: number): Location | undefined {
    const summary = this.summary(stream);
    if (summary === undefined) return undefined;
    const least = summary.bytes - bytes;
    return this.search(stream, column.bytesBefore, (value) => value < least, 1);
  }

  pagesFrom(stream: number, offset: number, pagesMax: number): number[] {
    const summary = this.summary(stream);
    if (summary === undefined || offset > summary.lastOffset || offset < summary.firstOffset) {
      return [];
    }
    const { firstRow, rowCount } = this.place(stream);
    const pages: number[] = [];
    let row = this.rowOfOffset(stream, offset);
    for (; row < firstRow + rowCount && pages.length < pagesMax; row++) {
      const found = this.row(row);
      const page = this.firstPage + found.page.readUInt32LE(found.at + 4);
      if (page !== pages.at(-1)) pages.push(page);
    }
    return pages;
  }

  /** Numbers of the pages with batches from the one that holds `first` to the one that holds `last`, ascending. */
  *pagesBetween(stream: number, first: number, last: number): Generator<number> {
    const summary = this.summary(stream);
    if (summary === undefined || first > summary.lastOffset || last < summary.firstOffset) return;
    const { firstRow } = this.place(stream);
    const to = this.rowOfOffset(stream, last);
    let previous = -1;
    for (let row = Math.max(this.rowOfOffset(stream, first), firstRow); row <= to; row++) {
      const found = this.row(row);
      const page = this.firstPage + found.page.readUInt32LE(found.at + 4);
      if (page !== previous) yield (previous = page);
    }
  }

  bytesFrom(stream: number, offset: number): number {
    const summary = this.summary(stream);
    if (summary === undefined || offset > summary.lastOffset) return 0;
    const { firstRow } = this.place(stream);
    const found = this.rowOfOffset(stream, offset);
    return summary.bytes - this.value(Math.max(found, firstRow), column.bytesBefore);
  }

  /** The batches from the one with `offset` on, as many as have at most `bytesMax`, but at least one. */
  runFrom(stream: number, offset: number, bytesMax: number): IndexedRun | undefined {
    const summary = this.summary(stream);
    if (summary === undefined || offset > summary.lastOffset) return undefined;
    const { firstRow, rowCount } = this.place(stream);
    const first = Math.max(this.rowOfOffset(stream, offset), firstRow);
    const end = firstRow + rowCount;
    const before = this.value(first, column.bytesBefore);
    // A row ends where the next one begins: the first row that begins past the bytes is the one behind the run.
    const behind =
      this.lastRowWhere(
        first,
        end - first,
        column.bytesBefore,
        (value) => value - before <= bytesMax,
      ) + 1;
    const isWhole = summary.bytes - before <= bytesMax;
    const stop = isWhole ? end : Math.max(behind - 1, first + 1);
    if (stop === end) {
      return {
        lastOffset: summary.lastOffset,
        bytes: summary.bytes - before,
        batches: end - first,
      };
    }
    return {
      lastOffset: this.value(stop, column.firstOffset) - 1,
      bytes: this.value(stop, column.bytesBefore) - before,
      batches: stop - first,
    };
  }

  summary(stream: number): StreamSummary | undefined {
    const at = this.summaryAt(stream);
    return at === undefined ? undefined : this.readSummary(at);
  }

  *summaries(): Generator<StreamSummary> {
    for (let i = 0; i < this.streamCount; i++) {
      yield this.readSummary(sealHeaderBytes + i * summaryBytes);
    }
  }

  private readSummary(at: number): StreamSummary {
    const { seal } = this;
    return {
      stream: seal.readUInt32LE(at),
      firstOffset: seal.readDoubleLE(at + 8),
      lastOffset: seal.readDoubleLE(at + 16),
      firstTimeMs: seal.readDoubleLE(at + 24),
      lastTimeMs: seal.readDoubleLE(at + 32),
      bytes: seal.readDoubleLE(at + 40),
    };
  }

  private summaryAt(stream: number): number | undefined {
    let low = 0;
    let high = this.streamCount;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const at = sealHeaderBytes + middle * summaryBytes;
      const found = this.seal.readUInt32LE(at);
      if (found === stream) return at;
      if (found < stream) low = middle + 1;
      else high = middle;
    }
    return undefined;
  }

  private place(stream: number): { readonly firstRow: number; readonly rowCount: number } {
    const at = this.summaryAt(stream);
    if (at === undefined) return { firstRow: 0, rowCount: 0 };
    return { firstRow: this.seal.readUInt32LE(at + 4), rowCount: this.seal.readDoubleLE(at + 48) };
  }

  private rowOfOffset(stream: number, offset: number): number {
    const { firstRow, rowCount } = this.place(stream);
    return this.lastRowWhere(firstRow, rowCount, column.firstOffset, (value) => value <= offset);
  }

  /** The location `step` rows after the last row of the stream whose column value `isBefore`. */
  private search(
    stream: number,
    wanted: Column,
    isBefore: (value: number) => boolean,
    step: 0 | 1,
  ): Location | undefined {
    const { firstRow, rowCount } = this.place(stream);
    const row = this.lastRowWhere(firstRow, rowCount, wanted, isBefore) + step;
    if (row < firstRow || row >= firstRow + rowCount) return undefined;
    const { page, at } = this.row(row);
    return {
      page: this.firstPage + page.readUInt32LE(at + 4),
      at: page.readUInt32LE(at + 8),
      firstOffset: page.readDoubleLE(at + column.firstOffset),
      timeMs: page.readDoubleLE(at + column.timeMs),
    };
  }

  /** Last row from `firstRow` on whose value `isBefore`; `firstRow - 1` when none is. */
  private lastRowWhere(
    firstRow: number,
    rowCount: number,
    wanted: Column,
    isBefore: (value: number) => boolean,
  ): number {
    let low = firstRow;
    let high = firstRow + rowCount;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (isBefore(this.value(middle, wanted))) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  private value(row: number, wanted: Column): number {
    const { page, at } = this.row(row);
    return page.readDoubleLE(at + wanted);
  }

  private recentNumber = -1;
  private recentPage: Buffer = Buffer.alloc(0);

  private row(row: number): { readonly page: Buffer; readonly at: number } {
    const number = Math.floor(row / rowsPerPage);
    if (number !== this.recentNumber) {
      const page = this.file.read(encodeKey(keyKinds.index, number));
      if (page === undefined || crc32(page.subarray(4)) !== page.readUInt32LE(0)) {
        throw damagedIndex(this.file, `index page ${number}`);
      }
      this.recentNumber = number;
      this.recentPage = page;
    }
    return { page: this.recentPage, at: 4 + (row % rowsPerPage) * rowBytes };
  }
}

function indexPage(number: number, page: Buffer): Row {
  page.writeUInt32LE(crc32(page.subarray(4)), 0);
  return { key: encodeKey(keyKinds.index, number), value: page };
}

function damagedIndex(file: GenerationFile, what: string): BrokerError {
  return new BrokerError(
    'DATA_LOSS',
    `the ${what} of generation ${file.name} is damaged; restore the volume from a backup`,
    { metadata: { generation: file.name } },
  );
}
