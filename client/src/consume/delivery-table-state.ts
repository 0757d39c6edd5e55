// The deliveries that a consumer holds, and the credit that is free again because others are done with. Pure.
//
// Invariants:
// - Credit given to the broker, free credit, and what is held come to the prefetch limits, in records and in bytes:
//   whatever becomes of a record, its credit comes back once. (Below zero by one batch: the broker may do that.)
// - Records of a partition are handed out in the order in which they came.
// - Nothing of a lost delivery is handed out.
import { Fifo } from '../fifo.ts';
import type { WalkedRecord } from '../records/delivered-batch.ts';
import type { DeliveryFields } from '../wire/deliveries.ts';
import { HeldDelivery } from './held-delivery.ts';

/**
 * When the credit of a record comes back. `settled`: when it is acked, nacked or lost. `handed out`: as soon as the
 * application has it, because one ack may stand for any number of records of a stream.
 */
export type CreditReturn = 'settled' | 'handed out';

export interface Credit {
  readonly records: number;
  readonly bytes: number;
}

export interface HandedOut {
  readonly delivery: HeldDelivery;
  readonly walked: WalkedRecord;
}

/** Credit goes back in pieces of this share of the prefetch, so that frames stay few. */
const creditShare = 0.25;
const noCredit: Credit = { records: 0, bytes: 0 };

export class DeliveryTableState {
  private readonly prefetch: Credit;
  private creditReturn: CreditReturn = 'settled';
  private readonly held = new Set<HeldDelivery>();
  /** Deliveries with records that the application does not have yet. */
  private waiting = new Fifo<HeldDelivery>();
  private freeRecords = 0;
  private freeBytes = 0;
  /** Credit that the broker has. */
  private givenRecords = 0;
  private givenBytes = 0;

  constructor(prefetch: Credit) {
    this.prefetch = prefetch;
  }

  /** A new connection: the broker has no credit and knows of nothing that is held. */
  opened(creditReturn: CreditReturn): void {
    this.loseAll();
    this.creditReturn = creditReturn;
    this.freeRecords = this.prefetch.records;
    this.freeBytes = this.prefetch.bytes;
  }

  /** A delivery has come. */
  add(fields: DeliveryFields): HeldDelivery {
    const delivery = new HeldDelivery(fields);
    this.held.add(delivery);
    this.waiting.push(delivery);
    this.givenRecords -= delivery.recordCount;
    this.givenBytes -= fields.batch.length;
    return delivery;
  }

  /** The next record for the application. Throws BATCH_DAMAGED. */
  handOut(): HandedOut | undefined {
    let delivery = this.waiting.peek();
    while (delivery !== undefined && (delivery.isLost || !delivery.hasUnhanded)) {
      this.waiting.shift();
      delivery = this.waiting.peek();
    }
    if (delivery === undefined) return undefined;
    const walked = delivery.handOut();
    if (!delivery.hasUnhanded) this.waiting.shift();
    if (this.creditReturn === 'handed out') this.settle(delivery);
    return { delivery, walked };
  }

  /** The application is done with one record of it. */
  settled(delivery: HeldDelivery): void {
    if (this.creditReturn === 'settled') this.settle(delivery);
  }

  /** The deliveries that the test accepts are the consumer's no more. */
  lose(isLost: (delivery: HeldDelivery) => boolean): HeldDelivery[] {
    const lost = [...this.held].filter(isLost);
    for (const delivery of lost) {
      delivery.isLost = true;
      this.held.delete(delivery);
      this.freeRecords += delivery.recordCount - delivery.settled;
      this.freeBytes += delivery.fields.batch.length;
    }
    return lost;
  }

  loseAll(): HeldDelivery[] {
    const lost = this.lose(() => true);
    this.waiting.clear();
    this.freeRecords = 0;
    this.freeBytes = 0;
    this.givenRecords = 0;
    this.givenBytes = 0;
    return lost;
  }

  /** What the application was not given leaves; answers what that is: from `firstUnhanded` to `lastOffset` of each. */
  giveBack(): HeldDelivery[] {
    const givenBack: HeldDelivery[] = [];
    this.waiting.clear();
    for (const delivery of this.held) {
      if (!delivery.hasUnhanded) continue;
      givenBack.push(delivery);
      this.freeRecords += delivery.recordCount - delivery.handedOut;
      delivery.recordCount = delivery.handedOut;
      this.forgetWhenSettled(delivery);
    }
    return givenBack;
  }

  deliveries(): Iterable<HeldDelivery> {
    return this.held;
  }

  /** The application has records that it has not settled. */
  get hasInHand(): boolean {
    for (const { handedOut, settled } of this.held) if (handedOut > settled) return true;
    return false;
  }

  /** The application could be given more, and the broker cannot send it: small change is all that there is. */
  get isStarved(): boolean {
    const hasSpent = this.givenRecords <= 0 || this.givenBytes <= 0;
    const hasFree = this.freeRecords > 0 || this.freeBytes > 0;
    return hasSpent && hasFree && this.waiting.peek() === undefined;
  }

  /** Credit that is worth a frame; small change waits, but not while the application does. */
  takeCredit(): Credit {
    const { prefetch, freeRecords: records, freeBytes: bytes } = this;
    const isWorth =
      this.held.size === 0 ||
      this.isStarved ||
      records >= prefetch.records * creditShare ||
      bytes >= prefetch.bytes * creditShare;
    if (!isWorth) return noCredit;
    this.freeRecords = 0;
    this.freeBytes = 0;
    this.givenRecords += records;
    this.givenBytes += bytes;
    return { records, bytes };
  }

  private settle(delivery: HeldDelivery): void {
    if (delivery.isLost) return;
    delivery.settled++;
    this.freeRecords++;
    this.forgetWhenSettled(delivery);
  }

  private forgetWhenSettled(delivery: HeldDelivery): void {
    if (delivery.settled < delivery.recordCount) return;
    if (this.held.delete(delivery)) this.freeBytes += delivery.fields.batch.length;
  }
}
