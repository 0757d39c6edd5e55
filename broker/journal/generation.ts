// One generation of a journal: its file, what it holds, and whether it is still written to.
//
//   open ──roll──▶ sealing ──index and seal durable──▶ sealed
//
// Invariants:
// - Only the newest generation is open; only pages from `firstPage` to `lastPage` are in its file.
// - A sealed generation answers from its file and its summaries; its rows in memory are gone.
import { assert } from '../core/assert.ts';
import { encodeKey, keyKinds, type GenerationHeader } from './format.ts';
import { OpenIndex, type IndexedRun, type Location, type StreamSummary } from './open-index.ts';
import { encodeIndexPages, encodeSeal, SealedIndex } from './sealed-index.ts';
import type { GenerationFile, Row } from './storage.ts';

export type GenerationState = 'open' | 'sealing' | 'sealed';

/** Index rows per write while sealing: about 40 KiB a page, so that commits of publishers pass in between. */
const indexPagesPerWrite = 16;

export class Generation {
  readonly header: GenerationHeader;
  readonly file: GenerationFile;
  state: GenerationState = 'open';
  lastPage: number;
  chain: number;
  /** Bytes of its pages. */
  pageBytes = 0;
  /** Reads under way: the file stays open for them. */
  private readonly reads = new Set<Promise<unknown>>();
  private rows: OpenIndex | undefined;
  private sealedIndex: SealedIndex | undefined;

  constructor(header: GenerationHeader, file: GenerationFile) {
    this.header = header;
    this.file = file;
    this.lastPage = header.firstPage - 1;
    this.chain = header.previousChain;
    this.rows = new OpenIndex(header.firstPage);
  }

  /** Reads the seal if there is one; without it the generation stays open until its pages have been scanned. */
  loadSeal(): void {
    const seal = this.file.read(encodeKey(keyKinds.seal, 0));
    if (seal === undefined) return;
    this.adoptSeal(seal);
    this.pageBytes = this.file.bytes();
  }

  holdsPage(page: number): boolean {
    return page >= this.header.firstPage && page <= this.lastPage;
  }

  /** Rows in memory; only before the generation is sealed. */
  get openIndex(): OpenIndex {
    assert(this.rows !== undefined, `generation ${this.header.number} has no open index`);
    return this.rows;
  }

  get rowCount(): number {
    return this.rows?.rowCount ?? 0;
  }

  find(stream: number, offset: number): Location | undefined {
    return (this.rows ?? this.sealedIndex)?.find(stream, offset);
  }

  findTime(stream: number, timeMs: number): Location | undefined {
    return (this.rows ?? this.sealedIndex)?.findTime(stream, timeMs);
  }

  findTailOfBytes(stream: number, bytes: number): Location | undefined {
    return (this.rows ?? this.sealedIndex)?.findTailOfBytes(stream, bytes);
  }

  pagesFrom(stream: number, offset: number, pagesMax: number): number[] {
    return (this.rows ?? this.sealedIndex)?.pagesFrom(stream, offset, pagesMax) ?? [];
  }

  /** Numbers of the pages that hold batches of a run; only of a sealed generation. */
  pagesBetween(stream: number, first: number, last: number): Iterable<number> {
    return this.sealedIndex?.pagesBetween(stream, first, last) ?? [];
  }

  bytesFrom(stream: number, offset: number): number {
    return (this.rows ?? this.sealedIndex)?.bytesFrom(stream, offset) ?? 0;
  }

  summary(stream: number): StreamSummary | undefined {
    return (this.rows ?? this.sealedIndex)?.summary(stream);
  }

  summaries(): Iterable<StreamSummary> {
    return (this.rows ?? this.sealedIndex)?.summaries() ?? [];
  }

  /** As SealedIndex.runFrom; undefined also while it is not sealed. */
  runFrom(stream: number, offset: number, bytesMax: number): IndexedRun | undefined {
    return this.sealedIndex?.runFrom(stream, offset, bytesMax);
  }

  /** Append time of the oldest batch, while it is open. */
  get oldestTimeMs(): number {
    return this.rows?.oldestTimeMs ?? Infinity;
  }

  /** Holds the file open while it is read. */
  async reading<T>(read: () => Promise<T>): Promise<T> {
    const one = read();
    this.reads.add(one);
    try {
      return await one;
    } finally {
      this.reads.delete(one);
    }
  }

  /** Closes the file behind the reads that are under way. */
  async close(): Promise<void> {
    await Promise.allSettled(this.reads);
    await this.file.close();
  }

  /** Writes index and seal. Appending must have ended. */
  async seal(): Promise<void> {
    assert(this.state === 'sealing', `generation ${this.header.number} is ${this.state}`);
    const index = this.openIndex;
    let rows: Row[] = [];
    for (const row of encodeIndexPages(index)) {
      rows.push(row);
      if (rows.length < indexPagesPerWrite) continue;
      await this.file.write(rows);
      rows = [];
    }
    const seal = encodeSeal(index, { lastPage: this.lastPage, chain: this.chain });
    rows.push({ key: encodeKey(keyKinds.seal, 0), value: seal });
    await this.file.write(rows);
    this.adoptSeal(seal);
  }

  private adoptSeal(seal: Buffer): void {
    this.sealedIndex = new SealedIndex(this.file, this.header.firstPage, seal);
    this.lastPage = this.sealedIndex.lastPage;
    this.chain = this.sealedIndex.chain;
    this.rows = undefined;
    this.state = 'sealed';
  }
}

/** File name of a generation without its suffix. */
export function generationName(epoch: number, number: number): string {
  return `${epoch}-${number}`;
}
