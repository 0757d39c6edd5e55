// The generations of a journal as one index: finds batches of a stream over all of them.
//
// Invariant: generations are in the order of their pages, and offsets of a stream rise with them.
import { assert } from '../core/assert.ts';
import type { Generation } from './generation.ts';
import type { IndexedRun, Location, StreamSummary } from './open-index.ts';

/** What a generation holds; for retention. */
export interface GenerationView {
  readonly number: number;
  readonly sealed: boolean;
  readonly lastPage: number;
  /** Of its file. */
  readonly bytes: number;
  summaries(): Iterable<StreamSummary>;
  /** Stored bytes of a stream in it from the batch that holds the offset on. */
  bytesFrom(stream: number, offset: number): number;
}

export class GenerationSet {
  /** Oldest first. */
  private readonly all: Generation[];

  constructor(generations: readonly Generation[]) {
    this.all = [...generations];
  }

  get newest(): Generation {
    const newest = this.all.at(-1);
    assert(newest !== undefined, 'a journal has a generation');
    return newest;
  }

  get newestIfAny(): Generation | undefined {
    return this.all.at(-1);
  }

  get oldest(): Generation | undefined {
    return this.all[0];
  }

  get count(): number {
    return this.all.length;
  }

  [Symbol.iterator](): Iterator<Generation> {
    return this.all[Symbol.iterator]();
  }

  add(generation: Generation): void {
    this.all.push(generation);
  }

  removeOldest(): void {
    this.all.shift();
  }

  names(): string[] {
    return this.all.map((generation) => generation.file.name);
  }

  fileBytes(): number {
    return this.all.reduce((sum, generation) => sum + generation.file.bytes(), 0);
  }

  holding(page: number): Generation | undefined {
    return this.all.find((generation) => generation.holdsPage(page));
  }

  /** The batch of a stream that holds the offset. */
  find(stream: number, offset: number): Location | undefined {
    for (let i = this.all.length - 1; i >= 0; i--) {
      const found = this.all[i]?.find(stream, offset);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** The first batch of a stream with an append time at or after the given one. */
  findTime(stream: number, timeMs: number): Location | undefined {
    for (const generation of this.all) {
      const found = generation.findTime(stream, timeMs);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** The oldest batch from which on the stream's stored bytes are at most `bytes`. */
  findTailOfBytes(stream: number, bytes: number): Location | undefined {
    let left = bytes;
    let oldest: Location | undefined;
    for (let i = this.all.length - 1; i >= 0; i--) {
      const generation = this.all[i];
      const held = generation?.summary(stream)?.bytes ?? 0;
      if (held === 0) continue;
      const found = generation?.findTailOfBytes(stream, left);
      if (found !== undefined) oldest = found;
      if (held > left) break;
      left -= held;
    }
    return oldest;
  }

  /** Stored bytes of a stream from the batch that begins at `offset` on. */
  bytesFrom(stream: number, offset: number): number {
    let bytes = 0;
    for (const generation of this.all) bytes += generation.bytesFrom(stream, offset);
    return bytes;
  }

  /** Numbers of the pages that hold the batches of a stream from an offset on, ascending, of one generation. */
  pagesFrom(stream: number, offset: number, pagesMax: number): number[] {
    for (let i = this.all.length - 1; i >= 0; i--) {
      const pages = this.all[i]?.pagesFrom(stream, offset, pagesMax) ?? [];
      if (pages.length > 0) return pages;
    }
    return [];
  }

  /**
   * The batches of a stream from the one with `offset` on that stand in sealed generations: as many as have at most
   * `bytesMax` stored bytes, but at least one. Undefined when the offset is not in a sealed generation.
   */
  sealedRun(stream: number, offset: number, bytesMax: number): IndexedRun | undefined {
    let run: IndexedRun | undefined;
    for (const generation of this.all) {
      const from = run === undefined ? offset : run.lastOffset + 1;
      const left = bytesMax - (run?.bytes ?? 0);
      const summary = generation.summary(stream);
      if (summary === undefined || summary.lastOffset < from) continue;
      const more = generation.runFrom(stream, from, left);
      if (more === undefined || (run !== undefined && more.bytes > left)) break;
      run = {
        lastOffset: more.lastOffset,
        bytes: (run?.bytes ?? 0) + more.bytes,
        batches: (run?.batches ?? 0) + more.batches,
      };
      if (more.lastOffset < summary.lastOffset) break;
    }
    return run;
  }

  /** First offset of a stream that is here. */
  firstOffset(stream: number): number | undefined {
    for (const generation of this.all) {
      const summary = generation.summary(stream);
      if (summary !== undefined) return summary.firstOffset;
    }
    return undefined;
  }

  /** Oldest first. */
  views(): readonly GenerationView[] {
    return this.all.map((generation) => ({
      number: generation.header.number,
      sealed: generation.state === 'sealed',
      lastPage: generation.lastPage,
      bytes: generation.file.bytes(),
      summaries: () => generation.summaries(),
      bytesFrom: (stream, offset) => generation.bytesFrom(stream, offset),
    }));
  }

  /** Forgets a deleted stream's rows in memory. */
  forgetStream(stream: number): void {
    for (const generation of this.all) {
      if (generation.state === 'open') generation.openIndex.forget(stream);
    }
  }
}
