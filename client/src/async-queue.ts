// What an async iterator takes from: items in order, an end, or a failure. Whoever adds bounds it, not the queue.

export class AsyncQueue<T> implements AsyncIterator<T> {
  private items: T[] = [];
  private head = 0;
  private waiting: ((result: IteratorResult<T>) => void) | undefined;
  private rejectWaiting: ((error: unknown) => void) | undefined;
  private isEnded = false;
  private failure: Error | undefined;
  private readonly onTake: (item: T) => void;
  private readonly onReturn: () => Promise<void>;

  /** `onTake` is called as an item is handed out; `onReturn` when the consumer leaves its loop. */
  constructor(onTake: (item: T) => void, onReturn: () => Promise<void>) {
    this.onTake = onTake;
    this.onReturn = onReturn;
  }

  get length(): number {
    return this.items.length - this.head;
  }

  push(item: T): void {
    const { waiting } = this;
    if (waiting === undefined) {
      this.items.push(item);
      return;
    }
    this.waiting = undefined;
    this.onTake(item);
    waiting({ value: item, done: false });
  }

  /** Items that are still there are handed out first, unless they are taken with `clear`. */
  end(failure?: Error): void {
    if (this.isEnded) return;
    this.isEnded = true;
    this.failure = failure;
    if (this.waiting === undefined) return;
    const { waiting, rejectWaiting } = this;
    this.waiting = undefined;
    if (failure === undefined) waiting({ value: undefined, done: true });
    else rejectWaiting?.(failure);
  }

  /** Takes out what was not handed out yet. */
  clear(): T[] {
    const left = this.items.slice(this.head);
    this.items = [];
    this.head = 0;
    return left;
  }

  next(): Promise<IteratorResult<T>> {
    if (this.head < this.items.length) {
      const item = this.items[this.head++] as T;
      // The used part goes in one step now and then: a shift per item would move the rest each time.
      if (this.head > 1024 && this.head * 2 > this.items.length) {
        this.items = this.items.slice(this.head);
        this.head = 0;
      }
      this.onTake(item);
      return Promise.resolve({ value: item, done: false });
    }
    if (this.isEnded) {
      if (this.failure !== undefined) return Promise.reject(this.failure);
      return Promise.resolve({ value: undefined, done: true });
    }
    return new Promise((resolve, reject) => {
      this.waiting = resolve;
      this.rejectWaiting = reject;
    });
  }

  async return(): Promise<IteratorResult<T>> {
    await this.onReturn();
    return { value: undefined, done: true };
  }
}
