// What a consumer of a stream is to be sent next, by partition: a seek shows by it, which the broker does not tell.
// Pure.
//
// Invariant: on one connection the broker sends a partition's records without a hole, but for gaps that it tells. A
// delivery that begins elsewhere means that somebody moved the position.

export class StreamPositionState {
  private readonly next = new Map<number, number>();

  /** A new connection starts at what is acked, wherever that is. */
  opened(): void {
    this.next.clear();
  }

  /** The partitions that this consumer is active on; the others start anew when they come back. */
  assigned(active: readonly number[]): void {
    for (const partition of this.next.keys()) {
      if (!active.includes(partition)) this.next.delete(partition);
    }
  }

  /** True: the position was moved since the delivery before. */
  delivered(partition: number, firstOffset: number, lastOffset: number): boolean {
    const expected = this.next.get(partition);
    this.next.set(partition, lastOffset + 1);
    return expected !== undefined && expected !== firstOffset;
  }

  gap(partition: number, lastOffset: number): void {
    this.next.set(partition, lastOffset + 1);
  }
}
