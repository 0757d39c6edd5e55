// A delivery while the consumer has it: which of its records were handed out, which are settled.
//
//   held ──every record settled──▶ settled;   held ──deadline, seek, other consumer, lost connection──▶ lost
//
// Invariant: a compressed batch is opened when its first record is handed out, so that what only waits takes no more
// memory than it took on the way.
import { BatchWalker, deliveredRange, type WalkedRecord } from '../records/delivered-batch.ts';
import type { DeliveryFields } from '../wire/deliveries.ts';
import { LossScope } from './loss-scope.ts';

export class HeldDelivery {
  readonly fields: DeliveryFields;
  /** Records to hand out; fewer once the rest was given back. */
  recordCount: number;
  readonly firstOffset: number;
  readonly lastOffset: number;
  /** Its records may not be handed out any more, and count for nothing. */
  isLost = false;
  /** Streams: the position was moved; an ack of what was delivered before would move it back. */
  isVoid = false;
  /** What is lost with it. Streams: the whole partition. */
  lossScope = new LossScope();
  /** The application asked for so much time; monotonic. */
  extendedUntilMs = 0;
  handedOut = 0;
  settled = 0;
  private walker: BatchWalker | undefined;
  private nextToHandOut: number;

  constructor(fields: DeliveryFields) {
    const { first, last, count } = deliveredRange(fields);
    this.fields = fields;
    this.recordCount = count;
    this.firstOffset = first;
    this.lastOffset = last;
    this.nextToHandOut = first;
  }

  get hasUnhanded(): boolean {
    return this.handedOut < this.recordCount;
  }

  /** Offset from which on the application was given nothing. */
  get firstUnhanded(): number {
    return this.nextToHandOut;
  }

  /** The next record. Throws BATCH_DAMAGED. */
  handOut(): WalkedRecord {
    this.walker ??= new BatchWalker(this.fields);
    const walked = this.walker.next();
    this.handedOut++;
    this.nextToHandOut = walked.offset + 1;
    return walked;
  }
}
