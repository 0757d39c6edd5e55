// First in, first out, without moving the rest at every step as an array's `shift` does.
//
// Invariant: what was taken out is not kept alive: a delivery that nobody needs would pin its whole frame.

/** The used part of the array goes in one step, when it is this long and more than half of it. */
const usedMin = 64;

export class Fifo<T extends object> {
  private items: (T | undefined)[] = [];
  private head = 0;

  get length(): number {
    return this.items.length - this.head;
  }

  push(item: T): void {
    this.items.push(item);
  }

  peek(): T | undefined {
    return this.items[this.head];
  }

  shift(): T | undefined {
    const item = this.items[this.head];
    if (item === undefined) return undefined;
    this.items[this.head++] = undefined;
    if (this.head >= usedMin && this.head * 2 > this.items.length) {
      this.items = this.items.slice(this.head);
      this.head = 0;
    }
    return item;
  }

  clear(): void {
    this.items = [];
    this.head = 0;
  }
}
