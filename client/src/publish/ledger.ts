// What a publisher holds and owes: bytes until they are settled, batches until they are answered, failures until they
// are told.
//
// Invariants:
// - Every byte that is held is released once, when its record is settled.
// - A failure of a record that nobody waits for is told by `onError`, and by the next flush.
import type { MillraceError } from '../errors.ts';
import { publishLimits, type PublisherSettings } from './options.ts';
import {
  tellFailed,
  tellStored,
  type Barrier,
  type OutgoingBatch,
  type Waiter,
} from './outgoing-batch.ts';

/** Bytes that all publishers of a client hold. */
export interface HeldBytes {
  heldBytes: number;
}

export class Ledger {
  private readonly settings: PublisherSettings;
  private readonly shared: HeldBytes;
  private readonly unsettled = new Set<OutgoingBatch>();
  private readonly offsets = new Map<number, number>();
  private heldBytes = 0;
  private failure: MillraceError | undefined;
  private room: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;

  constructor(settings: PublisherSettings, shared: HeldBytes) {
    this.settings = settings;
    this.shared = shared;
  }

  /** Nothing more may be held. */
  get isFull(): boolean {
    return this.shared.heldBytes >= publishLimits.heldBytesMax;
  }

  /** Highest confirmed offset by partition. */
  get lastOffsets(): ReadonlyMap<number, number> {
    return this.offsets;
  }

  hold(bytes: number): void {
    this.heldBytes += bytes;
    this.shared.heldBytes += bytes;
  }

  release(bytes: number): void {
    this.heldBytes -= bytes;
    this.shared.heldBytes -= bytes;
    if (this.room === undefined || !this.hasRoom()) return;
    const { resolve } = this.room;
    this.room = undefined;
    resolve();
  }

  /** Undefined: there is room. */
  ready(): Promise<void> | undefined {
    if (this.hasRoom()) return undefined;
    this.room ??= Promise.withResolvers<void>();
    return this.room.promise;
  }

  sealed(batch: OutgoingBatch): void {
    this.unsettled.add(batch);
  }

  stored(batch: OutgoingBatch, baseOffset: number): void {
    const { partition, recordCount } = batch;
    const lastOffset = baseOffset + recordCount - 1;
    if (lastOffset >= (this.offsets.get(partition) ?? 0)) this.offsets.set(partition, lastOffset);
    if (!batch.isTimedOut) tellStored(batch, baseOffset);
    this.settle(batch);
  }

  failed(batch: OutgoingBatch, error: MillraceError): void {
    if (!batch.isTimedOut) this.tellFailed(batch, error);
    this.settle(batch);
  }

  timedOut(batch: OutgoingBatch, error: MillraceError): void {
    this.tellFailed(batch, error);
    batch.isTimedOut = true;
    passBarriers(batch);
  }

  /** A record failed before it was in a batch. */
  recordFailed(waiter: Waiter | undefined, isSent: boolean, error: MillraceError): void {
    waiter?.reject(error);
    if (isSent) this.sendFailed(error, 1);
  }

  /** Resolves when everything that is in a batch now is settled. */
  barrier(): Promise<void> {
    if (this.unsettled.size === 0) return Promise.resolve();
    return new Promise((pass) => {
      const barrier: Barrier = { remaining: 0, pass };
      for (const batch of this.unsettled) {
        if (batch.isTimedOut) continue;
        batch.barriers.push(barrier);
        barrier.remaining++;
      }
      if (barrier.remaining === 0) pass();
    });
  }

  /** The first failure since the last call of a record that nobody waits for. */
  takeFailure(): MillraceError | undefined {
    const { failure } = this;
    this.failure = undefined;
    return failure;
  }

  /** The publisher ended: nobody is held back any more. */
  end(): void {
    this.room?.resolve();
    this.room = undefined;
  }

  private hasRoom(): boolean {
    return (
      this.heldBytes < this.settings.windowBytes &&
      this.shared.heldBytes < publishLimits.heldBytesReady
    );
  }

  private tellFailed(batch: OutgoingBatch, error: MillraceError): void {
    tellFailed(batch, error);
    if (batch.sentCount > 0) this.sendFailed(error, batch.sentCount);
  }

  private sendFailed(error: MillraceError, recordCount: number): void {
    this.failure ??= error;
    this.settings.onError(error, recordCount);
  }

  private settle(batch: OutgoingBatch): void {
    this.unsettled.delete(batch);
    this.release(batch.heldBytes);
    passBarriers(batch);
  }
}

function passBarriers(batch: OutgoingBatch): void {
  for (const barrier of batch.barriers.splice(0)) {
    barrier.remaining--;
    if (barrier.remaining === 0) barrier.pass();
  }
}
