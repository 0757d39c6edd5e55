// One after another, one a turn of the event loop, in the order in which they came. A crowd that comes at once then
// takes its time from itself: who is being served waits for one newcomer at most.

export class Turns<T> {
  private readonly take: (item: T) => void;
  private readonly waiting = new Set<T>();
  private isRunning = false;

  /** `take` is called with each when its turn has come. */
  constructor(take: (item: T) => void) {
    this.take = take;
  }

  get waitingCount(): number {
    return this.waiting.size;
  }

  add(item: T): void {
    this.waiting.add(item);
    if (this.isRunning) return;
    this.isRunning = true;
    setImmediate(() => this.turn());
  }

  /** It no longer wants its turn. */
  delete(item: T): void {
    this.waiting.delete(item);
  }

  private turn(): void {
    const [first] = this.waiting;
    if (first === undefined) {
      this.isRunning = false;
      return;
    }
    this.waiting.delete(first);
    setImmediate(() => this.turn());
    this.take(first);
  }
}
