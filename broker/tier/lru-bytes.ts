// Values by key within a byte budget; the least recently used go first. One load per key at a time.
export class LruBytes<V> {
  private readonly budgetBytes: number;
  private readonly sizeOf: (value: V) => number;
  private readonly values = new Map<string, V>();
  private readonly loading = new Map<string, Promise<V>>();
  private bytes = 0;

  constructor(budgetBytes: number, sizeOf: (value: V) => number) {
    this.budgetBytes = budgetBytes;
    this.sizeOf = sizeOf;
  }

  get usedBytes(): number {
    return this.bytes;
  }

  /** The value, loaded unless it is here; everyone who asks meanwhile waits for the same load. */
  async get(key: string, load: () => Promise<V>): Promise<V> {
    const known = this.values.get(key);
    if (known !== undefined) {
      this.values.delete(key);
      this.values.set(key, known);
      return known;
    }
    return this.loading.get(key) ?? this.load(key, load);
  }

  /** Counted before the load is forgotten: who asks in between would load, and count, it again. */
  private load(key: string, load: () => Promise<V>): Promise<V> {
    const loading = load()
      .then((value) => {
        this.add(key, value);
        return value;
      })
      .finally(() => this.loading.delete(key));
    this.loading.set(key, loading);
    return loading;
  }

  private add(key: string, value: V): void {
    this.values.set(key, value);
    this.bytes += this.sizeOf(value);
    for (const [oldest, other] of this.values) {
      if (this.bytes <= this.budgetBytes || oldest === key) break;
      this.values.delete(oldest);
      this.bytes -= this.sizeOf(other);
    }
  }
}
