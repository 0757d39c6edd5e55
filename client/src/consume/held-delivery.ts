// A delivery while the consumer has it: which of its records were handed out, which are settled, whether its lease is
// still held.
//
//   held ──every record settled──▶ settled;   held ──deadline, seek, lost connection──▶ lost
import { BatchWalker, deliveredRange, type WalkedRecord } from '../records/delivered-batch.ts';
import type { DeliveryFields } from '../wire/deliveries.ts';

export class HeldDelivery {
  readonly fields: DeliveryFields;
  readonly recordCount: number;
  readonly lastOffset: number;
  /** Number of the connection that brought it; its credit belongs to that one. */
  readonly connection: number;
  isLost = false;
  private readonly walker: BatchWalker;
  private nextToHandOut: number;
  private handedOut = 0;
  private settled = 0;

  /** Throws BATCH_DAMAGED. */
  constructor(fields: DeliveryFields, connection: number) {
    const { first, last, count } = deliveredRange(fields);
    this.fields = fields;
    this.recordCount = count;
    this.lastOffset = last;
    this.connection = connection;
    this.nextToHandOut = first;
    this.walker = new BatchWalker(fields);
  }

  /** Offset of the first record that the application does not have yet. */
  get firstUnhanded(): number {
    return this.nextToHandOut;
  }

  get hasUnhanded(): boolean {
    return this.handedOut < this.recordCount;
  }

  /** Records that are neither settled nor still to be handed out. */
  get inHandCount(): number {
    return this.handedOut - this.settled;
  }

  handOut(): WalkedRecord | undefined {
    const walked = this.walker.next();
    if (walked === undefined) return undefined;
    this.handedOut++;
    this.nextToHandOut = walked.offset + 1;
    return walked;
  }

  /** One record is done with; true when it was the last. */
  settle(): boolean {
    this.settled++;
    return this.settled === this.recordCount;
  }
}
