// Runs work on one key one after another, and work on different keys at once.
//
// Invariant: a key is held in the map only while work on it runs or waits.

export class KeyedLock {
  private readonly last = new Map<string, Promise<unknown>>();

  get heldCount(): number {
    return this.last.size;
  }

  /** What the work answers or throws; the next one runs in either case. */
  run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.last.get(key) ?? Promise.resolve();
    const result = before.then(work, work);
    const settled: Promise<void> = result.then(
      () => this.release(key, settled),
      () => this.release(key, settled),
    );
    this.last.set(key, settled);
    return result;
  }

  private release(key: string, settled: Promise<unknown>): void {
    if (this.last.get(key) === settled) this.last.delete(key);
  }
}
