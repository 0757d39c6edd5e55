// Who holds which records of one partition until when.
//
// A lease is one hand-over of a run of records to one consumer. It is one object, whatever its length: which of its
// records are acked is told by the AckSet, and records that it gives up split its piece of the offsets.
//
// Invariants:
// - a record is in one piece at most, and a piece belongs to one lease;
// - `held` of a lease is the number of unacked offsets in its pieces, and never 0: a lease ends with its last record;
// - `inFlight` is the sum of `held`, in all and per consumer;
// - lease numbers only rise.
import { assert, defined } from '../core/assert.ts';
import { Heap, type HeapItem } from '../core/heap.ts';
import type { Offset } from '../core/ids.ts';
import type { AckSet } from './ack-set.ts';
import { RunIndex, type OffsetRun } from '../core/run-index.ts';

/** As others see it; the broker may change it at any later call. */
export interface Lease {
  readonly lease: number;
  readonly consumer: number;
  readonly first: Offset;
  readonly last: Offset;
  /** Number of this delivery of these records, from 1. */
  readonly attempt: number;
  readonly sinceMs: number;
  readonly deadlineMs: number;
  /** Records that it still holds. */
  readonly held: number;
}

interface HeldLease extends Lease, HeapItem {
  deadlineMs: number;
  held: number;
}

interface Piece extends OffsetRun {
  readonly holder: HeldLease;
}

interface Holding {
  inFlight: number;
  readonly leases: Set<HeldLease>;
}

export class LeaseIndex {
  private readonly leases = new Map<number, HeldLease>();
  private readonly pieces = new RunIndex<Piece>();
  private readonly byDeadline = new Heap<HeldLease>((a, b) => a.deadlineMs < b.deadlineMs);
  private readonly consumers = new Map<number, Holding>();
  private nextLeaseNumber: number;
  private held = 0;

  constructor(firstLease: number) {
    this.nextLeaseNumber = firstLease;
  }

  /** Unacked records under a lease. */
  get inFlight(): number {
    return this.held;
  }

  /** The number that the next lease will get. */
  get nextLease(): number {
    return this.nextLeaseNumber;
  }

  /** When the next lease ends by itself; may lie in the past. Infinity when there is none. */
  get nextDeadlineMs(): number {
    return this.byDeadline.peek()?.deadlineMs ?? Infinity;
  }

  get(lease: number): Lease | undefined {
    return this.leases.get(lease);
  }

  inFlightOf(consumer: number): number {
    return this.consumers.get(consumer)?.inFlight ?? 0;
  }

  /** Leases of a consumer in the order of their numbers. */
  leasesOf(consumer: number): Lease[] {
    return [...(this.consumers.get(consumer)?.leases ?? [])];
  }

  /** All leases in the order of their numbers. Do not change the index meanwhile. */
  values(): IterableIterator<Lease> {
    return this.leases.values();
  }

  /** The piece that holds `offset`, acked or not, else the next one. */
  ceiling(offset: Offset): Readonly<OffsetRun> | undefined {
    return this.pieces.ceiling(offset);
  }

  /** The lease in whose piece `offset` lies, acked or not. */
  holderOf(offset: Offset): Lease | undefined {
    return this.pieces.at(offset)?.holder;
  }

  /** Leases whose deadline has passed, the oldest first, one at a time; it stays until it is ended. */
  expired(nowMs: number): Lease | undefined {
    const top = this.byDeadline.peek();
    return top !== undefined && top.deadlineMs <= nowMs ? top : undefined;
  }

  /** Hands unacked, unclaimed records to a consumer. */
  grant(
    first: Offset,
    last: Offset,
    consumer: number,
    attempt: number,
    sinceMs: number,
    deadlineMs: number,
  ): Lease {
    const held = last - first + 1;
    const lease = this.nextLeaseNumber++;
    const span = { first, last, attempt, sinceMs, deadlineMs };
    const granted = { lease, consumer, ...span, held, heapSlot: -1 };
    this.pieces.insert({ first, last, holder: granted });
    this.leases.set(lease, granted);
    this.byDeadline.push(granted);
    const holding = this.consumers.get(consumer);
    if (holding === undefined) {
      this.consumers.set(consumer, { inFlight: held, leases: new Set([granted]) });
    } else {
      holding.inFlight += held;
      holding.leases.add(granted);
    }
    this.held += held;
    return granted;
  }

  extend(lease: number, deadlineMs: number): void {
    const extended = this.known(lease);
    extended.deadlineMs = deadlineMs;
    this.byDeadline.update(extended);
  }

  /**
   * [first, last] is about to be acked: leases stop holding what is not acked yet, and end with their last record.
   * `ended` hears of those.
   */
  settle(first: Offset, last: Offset, acks: AckSet, ended?: (lease: Lease) => void): void {
    if (this.held === 0) return;
    let piece = this.pieces.ceiling(first);
    while (piece !== undefined && piece.first <= last) {
      const { holder, last: end } = piece;
      const from = Math.max(first, piece.first);
      const to = Math.min(last, end);
      this.release(holder, to - from + 1 - acks.countAcked(from, to));
      if (holder.held === 0) ended?.(holder);
      piece = end < last ? this.pieces.ceiling(end + 1) : undefined;
    }
  }

  /**
   * A lease gives up what it holds of [first, last]; `visit` gets each run of unacked records. Answers how many
   * records that were; the lease ends with its last one.
   */
  take(
    lease: number,
    first: Offset,
    last: Offset,
    acks: AckSet,
    visit: (first: Offset, last: Offset) => void,
  ): number {
    const holder = this.known(lease);
    const end = Math.min(last, holder.last);
    let taken = 0;
    let piece = this.pieces.ceiling(Math.max(first, holder.first));
    while (piece !== undefined && piece.first <= end) {
      const pieceEnd = piece.last;
      if (piece.holder === holder) {
        const from = Math.max(first, piece.first);
        const to = Math.min(end, pieceEnd);
        acks.visitUnacked(from, to, (runFirst, runLast) => {
          taken += runLast - runFirst + 1;
          visit(runFirst, runLast);
        });
        this.cut(piece, from, to);
      }
      piece = pieceEnd < end ? this.pieces.ceiling(pieceEnd + 1) : undefined;
    }
    this.release(holder, taken);
    return taken;
  }

  /** Calls `visit` for each run of unacked records of a lease, ascending. */
  visitHeld(lease: Lease, acks: AckSet, visit: (first: Offset, last: Offset) => void): void {
    let piece = this.pieces.ceiling(lease.first);
    while (piece !== undefined && piece.first <= lease.last) {
      if (piece.holder === lease) acks.visitUnacked(piece.first, piece.last, visit);
      piece = this.pieces.ceiling(piece.last + 1);
    }
  }

  /** Ends all leases; the numbers go on. */
  clear(): void {
    this.leases.clear();
    this.pieces.clear();
    this.byDeadline.clear();
    this.consumers.clear();
    this.held = 0;
  }

  /** Recounts what is kept as a number; for tests and the simulation. */
  check(acks: AckSet): void {
    let inFlight = 0;
    const perConsumer = new Map<number, number>();
    for (const lease of this.leases.values()) {
      let held = 0;
      this.visitHeld(lease, acks, (first, last) => {
        held += last - first + 1;
      });
      assert(held > 0 && held === lease.held, `lease holds ${held}, kept ${lease.held}`);
      inFlight += held;
      perConsumer.set(lease.consumer, (perConsumer.get(lease.consumer) ?? 0) + held);
    }
    assert(inFlight === this.held, `in flight: counted ${inFlight}, kept ${this.held}`);
    assert(
      perConsumer.size === this.consumers.size,
      `${this.consumers.size} consumers hold records`,
    );
    for (const [consumer, count] of perConsumer) {
      assert(count === this.inFlightOf(consumer), `consumer ${consumer} holds ${count}`);
    }
    for (const piece of this.pieces) {
      assert(this.leases.has(piece.holder.lease), `piece of ended lease ${piece.holder.lease}`);
    }
  }

  private known(lease: number): HeldLease {
    return defined(this.leases.get(lease), `lease ${lease}`);
  }

  /** `count` records of a lease are settled or given up. */
  private release(holder: HeldLease, count: number): void {
    if (count === 0) return;
    const holding = defined(this.consumers.get(holder.consumer), 'consumer of a lease');
    holder.held -= count;
    holding.inFlight -= count;
    this.held -= count;
    assert(holder.held >= 0, `lease ${holder.lease} holds ${holder.held} records`);
    if (holder.held > 0) return;
    this.leases.delete(holder.lease);
    this.byDeadline.remove(holder);
    holding.leases.delete(holder);
    if (holding.leases.size === 0) this.consumers.delete(holder.consumer);
    let piece = this.pieces.ceiling(holder.first);
    while (piece !== undefined && piece.first <= holder.last) {
      const end = piece.last;
      if (piece.holder === holder) this.pieces.remove(piece);
      piece = this.pieces.ceiling(end + 1);
    }
  }

  /** Takes [first, last] out of the piece that holds all of it. */
  private cut(piece: Piece, first: Offset, last: Offset): void {
    if (piece.first === first && piece.last === last) {
      this.pieces.remove(piece);
    } else if (piece.first === first) {
      piece.first = last + 1;
    } else {
      const behind = piece.last;
      piece.last = first - 1;
      if (behind > last) {
        this.pieces.insert({ first: last + 1, last: behind, holder: piece.holder });
      }
    }
  }
}
