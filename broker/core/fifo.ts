// Numbers that leave in the order in which they came, in constant time on average and without an object per number.

/** What left stays in the array until it is half of it. */
const compactFrom = 64;

export class Fifo {
  private items: number[] = [];
  private head = 0;

  get length(): number {
    return this.items.length - this.head;
  }

  push(item: number): void {
    this.items.push(item);
  }

  peek(): number | undefined {
    return this.items[this.head];
  }

  shift(): number | undefined {
    const item = this.items[this.head];
    if (item === undefined) return undefined;
    this.head++;
    if (this.head >= compactFrom && this.head * 2 >= this.items.length) {
      this.items = this.items.slice(this.head);
      this.head = 0;
    }
    return item;
  }

  *[Symbol.iterator](): IterableIterator<number> {
    for (let i = this.head; i < this.items.length; i++) yield this.items[i] as number;
  }
}
