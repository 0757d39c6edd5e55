// Offsets that may go now, lowest first, as runs.
//
// Invariants: an offset is in it once; whatever left the set is passed over when it comes up in the heap.
import { NumberHeap } from '../core/number-heap.ts';
import type { Offset } from '../core/ids.ts';

export class ReadyOffsets {
  private readonly members = new Set<Offset>();
  private readonly lowest = new NumberHeap();

  add(offset: Offset): void {
    if (this.members.has(offset)) return;
    this.members.add(offset);
    this.lowest.push(offset);
  }

  delete(offset: Offset): boolean {
    return this.members.delete(offset);
  }

  deleteWithin(first: Offset, last: Offset): void {
    for (const offset of this.members) {
      if (offset >= first && offset <= last) this.members.delete(offset);
    }
  }

  first(): Offset | undefined {
    for (;;) {
      const offset = this.lowest.peek();
      if (offset === undefined || this.members.has(offset)) return offset;
      this.lowest.pop();
    }
  }

  /** The last of the neighbours of a member, at most `recordsMax` of them. */
  runEnd(first: Offset, recordsMax: number): Offset {
    let last = first;
    while (last - first + 1 < recordsMax && this.members.has(last + 1)) last++;
    return last;
  }

  clear(): void {
    this.members.clear();
    this.lowest.clear();
  }
}
