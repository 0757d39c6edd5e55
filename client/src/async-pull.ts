// An async iterator over something that holds its items itself: it is asked for the next item when the application
// asks. So what the application was not given yet stays where it can be counted, taken back or dropped.
//
// Invariants:
// - Several `next()` at a time are served in their order.
// - After `end` what `take` still gives is given first; then done, or the failure, to every `next()`.

export class AsyncPull<T> implements AsyncIterator<T> {
  private readonly take: () => T | undefined;
  private readonly onReturn: () => Promise<void>;
  private waiting: PromiseWithResolvers<IteratorResult<T>>[] = [];
  private state: 'going' | 'ended' = 'going';
  private failure: Error | undefined;

  /** `take` gives the next item if there is one; `onReturn` is called when a loop over it is left. */
  constructor(take: () => T | undefined, onReturn: () => Promise<void>) {
    this.take = take;
    this.onReturn = onReturn;
  }

  /** `take` may have something now. */
  wake(): void {
    while (this.waiting.length > 0) {
      const value = this.take();
      if (value === undefined) return;
      this.waiting.shift()?.resolve({ value, done: false });
    }
  }

  end(failure?: Error): void {
    if (this.state === 'ended') return;
    this.wake();
    this.state = 'ended';
    this.failure = failure;
    for (const { resolve, reject } of this.waiting.splice(0)) {
      if (failure === undefined) resolve({ value: undefined, done: true });
      else reject(failure);
    }
  }

  async next(): Promise<IteratorResult<T>> {
    const value = this.waiting.length === 0 ? this.take() : undefined;
    if (value !== undefined) return { value, done: false };
    if (this.state === 'ended') {
      if (this.failure !== undefined) throw this.failure;
      return { value: undefined, done: true };
    }
    const next = Promise.withResolvers<IteratorResult<T>>();
    this.waiting.push(next);
    return next.promise;
  }

  async return(): Promise<IteratorResult<T>> {
    await this.onReturn();
    return { value: undefined, done: true };
  }
}
