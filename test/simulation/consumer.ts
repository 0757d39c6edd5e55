// A consumer in the simulation: remembers what it was handed, and is asked one record at a time what became of it.
import type { Random } from '../../broker/core/random.ts';
import type { Consumer, HandOver } from '../../broker/subscription/consumer.ts';
import type { Event } from './history.ts';
import { valueOf } from './one-record-batch.ts';

export interface Held {
  readonly offset: number;
  readonly lease: number;
  readonly attempt: number;
}

const creditRecords = 6;

export class SimulatedConsumer implements Consumer {
  readonly number: number;
  readonly name: string;
  private readonly epoch: number;
  private readonly history: Event[];
  private held: Held[] = [];
  private isDead = false;

  constructor(number: number, epoch: number, history: Event[]) {
    this.number = number;
    this.name = `consumer ${number}`;
    this.epoch = epoch;
    this.history = history;
  }

  creditRecords(): number {
    if (this.isDead) return 0;
    return Math.max(0, creditRecords - this.held.length);
  }

  deliver(records: HandOver): void {
    if (this.isDead) return;
    // One record a batch, so a hand-over is one record.
    const { baseOffset: offset, attempt, lease, batch } = records;
    const value = valueOf(batch);
    this.history.push({ kind: 'delivered', offset, value, attempt, epoch: this.epoch });
    this.held.push({ offset, lease, attempt });
  }

  /** Takes one of the records in hand; without `random` the oldest. */
  take(random?: Random): Held | undefined {
    const index = random === undefined ? 0 : Math.floor(random.next() * this.held.length);
    return this.held.splice(index, 1)[0];
  }

  /** Its broker lost power: what the dead process still does reaches nobody. */
  die(): void {
    this.isDead = true;
  }

  /** A seek: what is in hand means nothing any more. */
  forget(): void {
    this.held = [];
  }

  gap(): void {}

  leaseLost(_partition: number, lease: number): void {
    this.held = this.held.filter((held) => held.lease !== lease);
  }

  assigned(): void {}

  blocked(): void {}

  ended(): void {}
}
