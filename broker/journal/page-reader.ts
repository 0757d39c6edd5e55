// Reads pages back: from the caches at once, from the files off the event loop.
//
// Invariants:
// - A generation that is being read is not closed: a drop waits for the reads that are under way.
// - A page whose header is not its own is damage, never someone else's records.
import { BrokerError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import { encodeKey, keyKinds, readPageHeader } from './format.ts';
import type { Generation } from './generation.ts';
import type { GenerationSet } from './generation-set.ts';
import type { PageBuffers } from './page-buffers.ts';
import { CachedPage, PageCache } from './page-cache.ts';

/** Batches of one stream, first and last offset inclusive. */
export interface StreamRun {
  readonly stream: number;
  readonly first: number;
  readonly last: number;
}

export class PageReader {
  private readonly shard: string;
  private readonly index: GenerationSet;
  private readonly tail: PageCache;
  private readonly buffers: PageBuffers;
  private readonly reads: PageCache;
  private readonly loading = new Map<number, Promise<CachedPage>>();

  /** `tail`: pages as they were packed; only looked into. */
  constructor(shard: string, index: GenerationSet, tail: PageCache, buffers: PageBuffers) {
    this.shard = shard;
    this.index = index;
    this.tail = tail;
    this.buffers = buffers;
    this.reads = new PageCache(limits.readCacheBytes, ({ bytes }) => buffers.give(bytes));
  }

  /** The page if it is in memory. */
  cached(number: number): CachedPage | undefined {
    return this.tail.peek(number) ?? this.reads.get(number);
  }

  /** Reads pages of one generation into the read cache. Throws DATA_LOSS when one is damaged or missing. */
  async load(numbers: readonly number[]): Promise<readonly CachedPage[]> {
    const wanted = numbers.filter((number) => this.cached(number) === undefined);
    const fresh = wanted.filter((number) => !this.loading.has(number));
    if (fresh.length > 0) {
      const read = this.readFromDisk(fresh);
      for (const [i, number] of fresh.entries()) {
        const one = read.then((pages) => pages[i] as CachedPage);
        this.loading.set(number, one);
        void one.then(
          () => this.loading.delete(number),
          () => this.loading.delete(number),
        );
      }
    }
    return Promise.all(
      numbers.map(async (number) => this.loading.get(number) ?? this.pageInMemory(number)),
    );
  }

  /**
   * Pages of sealed generations that hold batches of these runs, in the order of the journal, past the caches. A page
   * is valid until the next one is asked for. Throws DATA_LOSS.
   */
  async *sealedPages(runs: readonly StreamRun[]): AsyncGenerator<Buffer> {
    const buffers = Array.from({ length: limits.readAheadPages }, () =>
      Buffer.allocUnsafeSlow(limits.pageBytes),
    );
    for (const generation of [...this.index]) {
      if (generation.state !== 'sealed') return;
      const numbers = new Set<number>();
      for (const { stream, first, last } of runs) {
        for (const page of generation.pagesBetween(stream, first, last)) numbers.add(page);
      }
      const ascending = [...numbers].sort((a, b) => a - b);
      for (let i = 0; i < ascending.length; i += buffers.length) {
        const some = ascending.slice(i, i + buffers.length);
        yield* await this.readSome(generation, some, (size, k) => {
          const buffer = buffers[k];
          return buffer !== undefined && size <= buffer.length
            ? buffer
            : Buffer.allocUnsafeSlow(size);
        });
      }
    }
  }

  private pageInMemory(number: number): CachedPage {
    const page = this.cached(number);
    if (page === undefined) throw this.missing(number);
    return page;
  }

  private async readFromDisk(numbers: readonly number[]): Promise<readonly CachedPage[]> {
    const generation = this.index.holding(numbers[0] ?? -1);
    if (generation === undefined) throw this.missing(numbers[0] ?? -1);
    const pages = await this.readSome(generation, numbers, (size) => this.buffers.take(size));
    return pages.map((bytes, i) => {
      const page = new CachedPage(numbers[i] as number, bytes, 'disk');
      this.reads.add(page);
      return page;
    });
  }

  /** `allocate` is told the size and the place among the numbers. */
  private readSome(
    generation: Generation,
    numbers: readonly number[],
    allocate: (bytes: number, i: number) => Buffer,
  ): Promise<Buffer[]> {
    return generation.reading(async () => {
      // Dropped since it was looked up: its file may be closed.
      if (this.index.holding(generation.lastPage) !== generation) {
        throw this.missing(numbers[0] ?? -1);
      }
      const { file } = generation;
      await file.prefetch(numbers.map((number) => encodeKey(keyKinds.page, number)));
      return numbers.map((number, i) => {
        const bytes = file.read(encodeKey(keyKinds.page, number), (size) => allocate(size, i));
        if (bytes === undefined || readPageHeader(bytes, number) === undefined) {
          throw this.missing(number);
        }
        return bytes;
      });
    });
  }

  private missing(number: number): BrokerError {
    return new BrokerError(
      'DATA_LOSS',
      `page ${number} of shard ${this.shard} is missing or damaged; restore the volume from a backup`,
      { metadata: { page: String(number) } },
    );
  }
}
