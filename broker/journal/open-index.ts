// Where the batches of the newest generations are: columns in memory, one set per stream, 32 bytes a batch.
//
// Invariants:
// - Rows of a stream are appended in the order of their offsets, without overlap, and their times never fall.
// - `bytesBefore` is the running sum of stored bytes of the stream within this generation.

/** Where one batch is. */
export interface Location {
  readonly page: number;
  /** Byte position of the frame in its page. */
  readonly at: number;
  readonly firstOffset: number;
  /** Append time. */
  readonly timeMs: number;
}

/** A run of whole batches of one stream in one generation. */
export interface IndexedRun {
  readonly lastOffset: number;
  /** Stored bytes, with frames. */
  readonly bytes: number;
  readonly batches: number;
}

/** What one generation holds of one stream. */
export interface StreamSummary {
  readonly stream: number;
  readonly firstOffset: number;
  readonly lastOffset: number;
  readonly firstTimeMs: number;
  readonly lastTimeMs: number;
  /** Stored bytes of its batches in this generation. */
  readonly bytes: number;
}

export class OpenIndex {
  private readonly firstPage: number;
  private readonly streams = new Map<number, StreamRows>();
  private rows = 0;
  private oldestMs = Infinity;

  /** `firstPage`: first page of the generation; rows keep 32-bit distances from it. */
  constructor(firstPage: number) {
    this.firstPage = firstPage;
  }

  get rowCount(): number {
    return this.rows;
  }

  /** Append time of the oldest batch; Infinity when there is none. */
  get oldestTimeMs(): number {
    return this.oldestMs;
  }

  add(
    stream: number,
    firstOffset: number,
    recordCount: number,
    timeMs: number,
    page: number,
    at: number,
    bytes: number,
  ): void {
    let rows = this.streams.get(stream);
    if (rows === undefined) this.streams.set(stream, (rows = new StreamRows()));
    rows.add(firstOffset, recordCount, timeMs, page - this.firstPage, at, bytes);
    this.rows++;
    if (timeMs < this.oldestMs) this.oldestMs = timeMs;
  }

  /** The batch that holds the offset. */
  find(stream: number, offset: number): Location | undefined {
    const rows = this.streams.get(stream);
    if (rows === undefined || offset > rows.lastOffset) return undefined;
    const index = lastAtMost(rows.firstOffsets, rows.count, offset);
    return index < 0 ? undefined : this.location(rows, index);
  }

  /** The first batch with an append time at or after the given one. */
  findTime(stream: number, timeMs: number): Location | undefined {
    const rows = this.streams.get(stream);
    if (rows === undefined || rows.lastTimeMs < timeMs) return undefined;
    const index = lastBelow(rows.times, rows.count, timeMs) + 1;
    return this.location(rows, index);
  }

  /** The first batch such that what stands from it on is at most `bytes`; undefined when no batch fits. */
  findTailOfBytes(stream: number, bytes: number): Location | undefined {
    const rows = this.streams.get(stream);
    if (rows === undefined) return undefined;
    const index = lastBelow(rows.bytesBefore, rows.count, rows.bytes - bytes) + 1;
    return index >= rows.count ? undefined : this.location(rows, index);
  }

  /** Numbers of the pages that hold the stream's batches from the one with `offset` on, ascending. */
  pagesFrom(stream: number, offset: number, pagesMax: number): number[] {
    const rows = this.streams.get(stream);
    if (rows === undefined || offset > rows.lastOffset) return [];
    const pages: number[] = [];
    let row = lastAtMost(rows.firstOffsets, rows.count, offset);
    if (row < 0) return [];
    for (; row < rows.count && pages.length < pagesMax; row++) {
      const page = this.firstPage + (rows.pages[row] as number);
      if (page !== pages.at(-1)) pages.push(page);
    }
    return pages;
  }

  /** Stored bytes of the stream in this generation from the batch that begins at `offset` on. */
  bytesFrom(stream: number, offset: number): number {
    const rows = this.streams.get(stream);
    if (rows === undefined || offset > rows.lastOffset) return 0;
    const index = Math.max(0, lastAtMost(rows.firstOffsets, rows.count, offset));
    return rows.bytes - (rows.bytesBefore[index] as number);
  }

  summary(stream: number): StreamSummary | undefined {
    const rows = this.streams.get(stream);
    return rows === undefined ? undefined : summarize(stream, rows);
  }

  *summaries(): Generator<StreamSummary> {
    for (const [stream, rows] of this.streams) yield summarize(stream, rows);
  }

  forget(stream: number): void {
    const rows = this.streams.get(stream);
    if (rows === undefined) return;
    this.rows -= rows.count;
    this.streams.delete(stream);
  }

  /** Stream numbers ascending; with `rowsOf`, the order of a sealed index. */
  sortedStreams(): number[] {
    return [...this.streams.keys()].sort((a, b) => a - b);
  }

  rowsOf(stream: number): StreamRows | undefined {
    return this.streams.get(stream);
  }

  private location(rows: StreamRows, index: number): Location {
    return {
      page: this.firstPage + (rows.pages[index] as number),
      at: rows.ats[index] as number,
      firstOffset: rows.firstOffsets[index] as number,
      timeMs: rows.times[index] as number,
    };
  }
}

/** Growing columns of one stream. */
export class StreamRows {
  count = 0;
  lastOffset = -1;
  lastTimeMs = 0;
  bytes = 0;
  firstOffsets = new Float64Array(4);
  times = new Float64Array(4);
  bytesBefore = new Float64Array(4);
  pages = new Uint32Array(4);
  ats = new Uint32Array(4);

  add(
    firstOffset: number,
    recordCount: number,
    timeMs: number,
    page: number,
    at: number,
    bytes: number,
  ): void {
    if (this.count === this.firstOffsets.length) this.grow();
    const row = this.count++;
    this.firstOffsets[row] = firstOffset;
    this.times[row] = timeMs;
    this.bytesBefore[row] = this.bytes;
    this.pages[row] = page;
    this.ats[row] = at;
    this.lastOffset = firstOffset + recordCount - 1;
    this.lastTimeMs = timeMs;
    this.bytes += bytes;
  }

  private grow(): void {
    const length = this.count * 2;
    this.firstOffsets = grown(this.firstOffsets, new Float64Array(length));
    this.times = grown(this.times, new Float64Array(length));
    this.bytesBefore = grown(this.bytesBefore, new Float64Array(length));
    this.pages = grown(this.pages, new Uint32Array(length));
    this.ats = grown(this.ats, new Uint32Array(length));
  }
}

/** Index of the last of `count` ascending values that is at most `value`; -1 when none is. */
export function lastAtMost(values: ArrayLike<number>, count: number, value: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((values[middle] as number) <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Index of the last of `count` ascending values that is below `value`; -1 when none is. */
export function lastBelow(values: ArrayLike<number>, count: number, value: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((values[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function summarize(stream: number, rows: StreamRows): StreamSummary {
  return {
    stream,
    firstOffset: rows.firstOffsets[0] as number,
    lastOffset: rows.lastOffset,
    firstTimeMs: rows.times[0] as number,
    lastTimeMs: rows.lastTimeMs,
    bytes: rows.bytes,
  };
}

function grown<T extends Float64Array | Uint32Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
