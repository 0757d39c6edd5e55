// A binary heap whose items know their place, so that any of them can be removed or moved in O(log n).
// Without that, items that end early (an acked record, a renewed deadline) would pile up until their time.
//
// Invariants:
// - `items[i].heapSlot === i`; an item in no heap has slot -1. Only the heap writes it.
// - no item comes before its parent.
import { assert } from './assert.ts';

/** What an item must carry. Start with -1; an item is in at most one heap. */
export interface HeapItem {
  heapSlot: number;
}

export class Heap<T extends HeapItem> {
  private readonly items: T[] = [];
  private readonly before: (a: T, b: T) => boolean;

  /** `before(a, b)`: a must leave before b. */
  constructor(before: (a: T, b: T) => boolean) {
    this.before = before;
  }

  get size(): number {
    return this.items.length;
  }

  /** The item that leaves next; stays in. */
  peek(): T | undefined {
    return this.items[0];
  }

  push(item: T): void {
    assert(item.heapSlot === -1, `heap item is already in slot ${item.heapSlot}`);
    item.heapSlot = this.items.length;
    this.items.push(item);
    this.rise(item);
  }

  pop(): T | undefined {
    const top = this.items[0];
    if (top !== undefined) this.remove(top);
    return top;
  }

  remove(item: T): void {
    const slot = item.heapSlot;
    assert(this.items[slot] === item, `heap item is not in slot ${slot}`);
    const moved = this.items.pop() as T;
    item.heapSlot = -1;
    if (moved === item) return;
    this.place(moved, slot);
    this.update(moved);
  }

  /** Call after what `before` compares has changed in an item that is in the heap. */
  update(item: T): void {
    assert(this.items[item.heapSlot] === item, `heap item is not in slot ${item.heapSlot}`);
    this.rise(item);
    this.sink(item);
  }

  clear(): void {
    for (const item of this.items) item.heapSlot = -1;
    this.items.length = 0;
  }

  /** All items in no order. Do not change the heap meanwhile. */
  values(): IterableIterator<T> {
    return this.items.values();
  }

  private place(item: T, slot: number): void {
    this.items[slot] = item;
    item.heapSlot = slot;
  }

  private rise(item: T): void {
    let slot = item.heapSlot;
    while (slot > 0) {
      const parent = this.items[(slot - 1) >>> 1] as T;
      if (!this.before(item, parent)) break;
      const up = parent.heapSlot;
      this.place(parent, slot);
      slot = up;
    }
    this.place(item, slot);
  }

  private sink(item: T): void {
    const { items } = this;
    let slot = item.heapSlot;
    for (;;) {
      const left = 2 * slot + 1;
      if (left >= items.length) break;
      let child = items[left] as T;
      const right = items[left + 1];
      if (right !== undefined && this.before(right, child)) child = right;
      if (!this.before(child, item)) break;
      const down = child.heapSlot;
      this.place(child, slot);
      slot = down;
    }
    this.place(item, slot);
  }
}
