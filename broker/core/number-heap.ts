// A binary heap of numbers, the lowest on top. Numbers may repeat.

export class NumberHeap {
  private readonly items: number[] = [];

  peek(): number | undefined {
    return this.items[0];
  }

  push(item: number): void {
    const { items } = this;
    let slot = items.length;
    items.push(item);
    // Usually numbers come in rising order: one comparison.
    while (slot > 0) {
      const parent = (slot - 1) >>> 1;
      const above = items[parent] as number;
      if (above <= item) break;
      items[slot] = above;
      slot = parent;
    }
    items[slot] = item;
  }

  pop(): number | undefined {
    const { items } = this;
    const top = items[0];
    const last = items.pop();
    if (last === undefined || items.length === 0) return top;
    let slot = 0;
    for (;;) {
      let child = 2 * slot + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && (items[child + 1] as number) < (items[child] as number)) {
        child++;
      }
      if ((items[child] as number) >= last) break;
      items[slot] = items[child] as number;
      slot = child;
    }
    items[slot] = last;
    return top;
  }

  clear(): void {
    this.items.length = 0;
  }
}
