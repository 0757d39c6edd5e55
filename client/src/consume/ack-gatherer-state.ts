// Gathers what an application says of single records into few ranges, until they are sent. Pure.
//
// Invariants:
// - A range holds offsets of one partition, one lease, one verb, one delay and one reason only, in one piece.
// - Nothing that was added is lost: `take` gives all of it, once, in its order. Only what a lost connection made
//   meaningless goes.
import { AckVerb } from '../../../proto/gen/millrace/v1/consume_pb.ts';
import type { AckRangeFields } from '../wire/deliveries.ts';

interface OpenRange {
  readonly partition: number;
  firstOffset: number;
  lastOffset: number;
  readonly verb: number;
  readonly lease: number;
  readonly delayMs: number;
  readonly reason: string;
}

export class AckGathererState {
  private ranges: OpenRange[] = [];
  /** The range that a neighbour would join, per partition. */
  private readonly open = new Map<number, OpenRange>();

  get isEmpty(): boolean {
    return this.ranges.length === 0;
  }

  get rangeCount(): number {
    return this.ranges.length;
  }

  add(
    partition: number,
    offset: number,
    verb: number,
    lease: number,
    delayMs: number,
    reason = '',
  ): void {
    this.addRange(partition, offset, offset, verb, lease, delayMs, reason);
  }

  addRange(
    partition: number,
    firstOffset: number,
    lastOffset: number,
    verb: number,
    lease: number,
    delayMs: number,
    reason = '',
  ): void {
    const open = this.open.get(partition);
    if (
      open !== undefined &&
      open.verb === verb &&
      open.lease === lease &&
      open.delayMs === delayMs &&
      open.reason === reason
    ) {
      if (firstOffset === open.lastOffset + 1) {
        open.lastOffset = lastOffset;
        return;
      }
      if (lastOffset === open.firstOffset - 1) {
        open.firstOffset = firstOffset;
        return;
      }
    }
    const range = { partition, firstOffset, lastOffset, verb, lease, delayMs, reason };
    this.ranges.push(range);
    this.open.set(partition, range);
  }

  /** Streams: everything up to the offset; a later one replaces an earlier one. */
  addCumulative(partition: number, lastOffset: number, verb: number): void {
    const open = this.open.get(partition);
    if (open?.verb === verb) {
      open.lastOffset = Math.max(open.lastOffset, lastOffset);
      return;
    }
    this.addRange(partition, 0, lastOffset, verb, 0, 0);
  }

  /** The connection is lost, and every lease with it: acks still count, what only a holder may say does not. */
  dropLeases(): void {
    this.ranges = this.ranges.filter(
      ({ verb }) => verb === AckVerb.ACK || verb === AckVerb.CUMULATIVE,
    );
    this.open.clear();
  }

  /** The oldest first; at most `max`. */
  take(max = Infinity): readonly AckRangeFields[] {
    this.open.clear();
    if (this.ranges.length > max) return this.ranges.splice(0, max);
    const { ranges } = this;
    this.ranges = [];
    return ranges;
  }
}
