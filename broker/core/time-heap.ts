// Numbers by their times, the earliest on top, of equal times the lowest number: 12 bytes each, for millions of them.
//
// Invariant: no entry belongs before its parent.

const capacityMin = 16;

export class TimeHeap {
  private times = new Float64Array(capacityMin);
  private items = new Uint32Array(capacityMin);
  private count = 0;

  get size(): number {
    return this.count;
  }

  /** Infinity: it is empty. */
  get nextMs(): number {
    return this.count === 0 ? Infinity : (this.times[0] as number);
  }

  /** `item` is an unsigned 32-bit number. */
  push(timeMs: number, item: number): void {
    if (this.count === this.items.length) this.grow();
    let slot = this.count++;
    while (slot > 0) {
      const parent = (slot - 1) >>> 1;
      if (!this.isAfter(parent, timeMs, item)) break;
      this.move(parent, slot);
      slot = parent;
    }
    this.times[slot] = timeMs;
    this.items[slot] = item;
  }

  pop(): number | undefined {
    if (this.count === 0) return undefined;
    const top = this.items[0];
    const last = --this.count;
    const timeMs = this.times[last] as number;
    const item = this.items[last] as number;
    let slot = 0;
    for (;;) {
      let child = 2 * slot + 1;
      if (child >= last) break;
      if (child + 1 < last && this.isAfterSlot(child, child + 1)) child++;
      if (this.isAfter(child, timeMs, item)) break;
      this.move(child, slot);
      slot = child;
    }
    this.times[slot] = timeMs;
    this.items[slot] = item;
    return top;
  }

  /** Whether what is in the slot leaves after such an entry. */
  private isAfter(slot: number, timeMs: number, item: number): boolean {
    const at = this.times[slot] as number;
    return at > timeMs || (at === timeMs && (this.items[slot] as number) > item);
  }

  private isAfterSlot(slot: number, other: number): boolean {
    return this.isAfter(slot, this.times[other] as number, this.items[other] as number);
  }

  private move(from: number, to: number): void {
    this.times[to] = this.times[from] as number;
    this.items[to] = this.items[from] as number;
  }

  private grow(): void {
    const times = new Float64Array(this.items.length * 2);
    const items = new Uint32Array(this.items.length * 2);
    times.set(this.times);
    items.set(this.items);
    this.times = times;
    this.items = items;
  }
}
