// Pages in memory: the newest ones as they were packed (tail), and some read back from disk (read cache).
//
// Invariants:
// - Each cache keeps at most its budget, plus the one page added last.
// - A page from disk is not trusted: each batch in it is checked once against its CRCs by who reads it first.
// - Bytes of a cached page are valid until the next turn of the event loop: the tail's buffers are used again for new
//   pages once they leave the cache (fresh 256 KiB buffers cost 0.3 core at 200 MB/s, in page faults and collection).
//   So who reads a page copies what it sends in the same turn, and keeps numbers, never views.

export class CachedPage {
  readonly number: number;
  readonly bytes: Buffer;
  /** Whoever reads it first goes forward: what follows is to be fetched. */
  isAhead = false;
  private readonly verified: Set<number> | undefined;

  constructor(number: number, bytes: Buffer, source: 'memory' | 'disk') {
    this.number = number;
    this.bytes = bytes;
    this.verified = source === 'disk' ? new Set() : undefined;
  }

  /** Whether the frame at `at` has been checked since it came from disk. */
  isVerified(at: number): boolean {
    return this.verified === undefined || this.verified.has(at);
  }

  markVerified(at: number): void {
    this.verified?.add(at);
  }
}

/** Least recently used pages within a byte budget. */
export class PageCache {
  private readonly budgetBytes: number;
  private readonly onEvict: (page: CachedPage) => void;
  private readonly pages = new Map<number, CachedPage>();
  private bytes = 0;

  constructor(budgetBytes: number, onEvict: (page: CachedPage) => void = () => {}) {
    this.budgetBytes = budgetBytes;
    this.onEvict = onEvict;
  }

  get usedBytes(): number {
    return this.bytes;
  }

  /** Adds the page; `touch` pages again with `get` to keep them longer. */
  add(page: CachedPage): void {
    this.remove(page.number);
    this.pages.set(page.number, page);
    this.bytes += page.bytes.length;
    for (const [number, evicted] of this.pages) {
      if (this.bytes <= this.budgetBytes || number === page.number) break;
      this.remove(number);
      this.onEvict(evicted);
    }
  }

  /** The page; leaves its age as it is. */
  peek(number: number): CachedPage | undefined {
    return this.pages.get(number);
  }

  /** The page, now the most recently used. */
  get(number: number): CachedPage | undefined {
    const page = this.pages.get(number);
    if (page === undefined) return undefined;
    this.pages.delete(number);
    this.pages.set(number, page);
    return page;
  }

  private remove(number: number): void {
    const page = this.pages.get(number);
    if (page === undefined) return;
    this.pages.delete(number);
    this.bytes -= page.bytes.length;
  }
}
