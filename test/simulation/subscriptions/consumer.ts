// A consumer of the simulated subscriptions: remembers what it holds and what it held, and is asked what became of it.
import type { Random } from '../../../broker/core/random.ts';
import type { Consumer, HandOver } from '../../../broker/subscription/consumer.ts';
import type { SubscriptionKind } from '../../../broker/subscription/subscription.ts';
import type { VirtualClock } from '../../support/virtual-clock.ts';
import type { Event } from './history.ts';
import { recordsOf } from './records.ts';

export interface Held {
  readonly offset: number;
  readonly lease: number;
  readonly attempt: number;
}

export class SimulatedConsumer implements Consumer {
  readonly number: number;
  readonly name: string;
  readonly to: SubscriptionKind;
  held: Held[] = [];
  /** Its lease is lost; an ack of it still counts. */
  heldBefore: Held[] = [];
  private readonly credit: number;
  private readonly clock: VirtualClock;
  private readonly history: Event[];
  private readonly beforeDelivery: () => void;
  private isDead = false;

  constructor(
    number: number,
    to: SubscriptionKind,
    credit: number,
    clock: VirtualClock,
    history: Event[],
    beforeDelivery: () => void,
  ) {
    this.number = number;
    this.name = `consumer ${number}`;
    this.to = to;
    this.credit = credit;
    this.clock = clock;
    this.history = history;
    this.beforeDelivery = beforeDelivery;
  }

  creditRecords(): number {
    return this.isDead ? 0 : Math.max(0, this.credit - this.held.length);
  }

  deliver({ batch, baseOffset, selected, attempt, lease, recordCount }: HandOver): void {
    if (this.isDead) return;
    if (selected.length > 0) throw new Error('a plain batch was handed over by selection');
    const { to, number: consumer, clock } = this;
    const wallMs = clock.wallMs();
    const monoMs = clock.monotonicMs();
    this.beforeDelivery();
    recordsOf(batch).forEach(({ value }, i) => {
      const offset = baseOffset + i;
      this.history.push({
        kind: 'delivered',
        ...{ to, consumer, offset, value, attempt, lease, runLength: recordCount, wallMs, monoMs },
      });
      this.held.push({ offset, lease, attempt });
    });
  }

  /** One of the records in hand. */
  pick(random: Random): Held | undefined {
    return this.held[Math.floor(random.next() * this.held.length)];
  }

  /** It has said its word on the record, by this lease. */
  drop({ offset, lease }: Held): void {
    this.held = this.held.filter((held) => held.offset !== offset || held.lease !== lease);
  }

  /** Its broker lost power: what the dead process still does reaches nobody. */
  die(): void {
    this.isDead = true;
  }

  /** A seek: what is in hand means nothing any more, but it may still be said. */
  forget(): void {
    this.heldBefore.push(...this.held);
    this.held = [];
  }

  gap(): void {}

  leaseLost(_partition: number, lease: number): void {
    if (this.isDead) return;
    const { to } = this;
    for (const held of this.held) {
      if (held.lease !== lease) continue;
      const { offset, attempt } = held;
      this.history.push({
        kind: 'said',
        ...{ to, verb: 'lost', offset, attempt, lease, notBeforeMs: 0, isDurable: false },
      });
      this.heldBefore.push(held);
    }
    this.held = this.held.filter((held) => held.lease !== lease);
  }

  assigned(partitions: readonly number[]): void {
    if (this.isDead) return;
    this.held = [];
    if (partitions.length === 0) return;
    this.history.push({ kind: 'activated', to: this.to, consumer: this.number });
  }

  blocked(): void {}

  ended(): void {}
}
