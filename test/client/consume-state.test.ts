// The pure parts of a consumer against slow obvious models: credit, ranges of acks, positions of streams.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AckGathererState } from '../../client/src/consume/ack-gatherer-state.ts';
import {
  DeliveryTableState,
  type CreditReturn,
} from '../../client/src/consume/delivery-table-state.ts';
import type { HeldDelivery } from '../../client/src/consume/held-delivery.ts';
import { StreamPositionState } from '../../client/src/consume/stream-position-state.ts';
import type { DeliveryFields } from '../../client/src/wire/deliveries.ts';
import { AckVerb } from '../../proto/gen/millrace/v1/consume_pb.ts';

/** A record with the value `a`. */
const recordHex = '0a03120161';
const prefetch = { records: 40, bytes: 300 };

type Step =
  | { readonly kind: 'deliver'; readonly records: number; readonly partition: number }
  | { readonly kind: 'hand out' | 'give back' | 'reconnect' | 'take credit' }
  | { readonly kind: 'settle' | 'lose'; readonly which: number };

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('deliver' as const),
      records: fc.integer({ min: 1, max: 8 }),
      partition: fc.integer({ min: 0, max: 2 }),
    }),
  },
  { weight: 6, arbitrary: fc.constant({ kind: 'hand out' as const }) },
  { weight: 3, arbitrary: fc.constant({ kind: 'take credit' as const }) },
  fc.record({ kind: fc.constantFrom('give back' as const, 'reconnect' as const) }),
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constantFrom('settle' as const, 'settle' as const, 'lose' as const),
      which: fc.nat(100),
    }),
  },
);

describe('the table of deliveries', () => {
  it.each<CreditReturn>(['settled', 'handed out'])(
    'gives every credit back once, whatever becomes of the records (%s)',
    (creditReturn) => {
      fc.assert(
        fc.property(fc.array(anyStep, { maxLength: 120 }), (steps) => {
          const run = new TableRun(creditReturn);
          for (const step of steps) run.take(step);
          run.finish();
        }),
        { numRuns: 500 },
      );
    },
  );

  it('hands out nothing of a lost delivery, and the rest in order', () => {
    const table = new DeliveryTableState(prefetch);
    table.opened('settled');
    table.add(delivery(0, 0, 2));
    const lost = table.add(delivery(1, 0, 2));
    table.add(delivery(0, 2, 1));
    table.handOut();
    table.lose((held) => held === lost);
    const offsets = [table.handOut(), table.handOut()].map((out) => out?.walked.offset);
    expect(offsets).toEqual([1, 2]);
    expect(table.handOut()).toBeUndefined();
  });

  it('keeps small change until it is worth a frame, but never when nothing is held', () => {
    const table = new DeliveryTableState(prefetch);
    table.opened('settled');
    expect(table.takeCredit()).toEqual(prefetch);
    const held = table.add(delivery(0, 0, 9));
    for (let i = 0; i < 9; i++) table.handOut();
    for (let i = 0; i < 8; i++) table.settled(held);
    expect(table.takeCredit()).toEqual({ records: 0, bytes: 0 });
    table.settled(held);
    expect(table.takeCredit()).toEqual({ records: 9, bytes: 45 });
  });

  it('gives small change back when the broker has no credit and the application has everything', () => {
    const table = new DeliveryTableState({ records: 40, bytes: 10_000 });
    table.opened('settled');
    table.takeCredit();
    const held = table.add(delivery(0, 0, 40));
    const none = { records: 0, bytes: 0 };
    for (let i = 0; i < 39; i++) table.handOut();
    table.settled(held);
    expect([table.isStarved, table.takeCredit()]).toEqual([false, none]);
    table.handOut();
    expect([table.isStarved, table.takeCredit()]).toEqual([true, { records: 1, bytes: 0 }]);
    expect(table.isStarved).toBe(false);
    table.settled(held);
    expect(table.takeCredit()).toEqual(none);
  });
});

describe('gathered acks', () => {
  it('are exactly what was said, in ranges of one lease and one verb', () => {
    const anyAck = fc.record({
      partition: fc.integer({ min: 0, max: 1 }),
      offset: fc.integer({ min: 0, max: 20 }),
      verb: fc.constantFrom(AckVerb.ACK, AckVerb.NACK),
      lease: fc.integer({ min: 1, max: 2 }),
    });
    const unique = fc.uniqueArray(anyAck, {
      selector: ({ partition, offset }) => `${partition}/${offset}`,
    });
    fc.assert(
      fc.property(unique, (acks) => {
        const gathered = new AckGathererState();
        for (const ack of acks) gathered.add(ack.partition, ack.offset, ack.verb, ack.lease, 0);
        const said = gathered.take().flatMap(({ firstOffset, lastOffset, ...range }) =>
          Array.from({ length: lastOffset - firstOffset + 1 }, (_, i) => ({
            ...range,
            offset: firstOffset + i,
          })),
        );
        const key = (ack: { partition: number; offset: number; verb: number; lease: number }) =>
          `${ack.partition}/${ack.offset} ${ack.verb} ${ack.lease}`;
        expect(said.map(key).sort()).toEqual(acks.map(key).sort());
        expect(gathered.isEmpty).toBe(true);
      }),
    );
  });

  it('are one range when neighbours are acked in any direction', () => {
    const gathered = new AckGathererState();
    for (const offset of [10, 11, 9, 12, 8]) gathered.add(0, offset, AckVerb.ACK, 3, 0);
    expect(gathered.take()).toMatchObject([{ firstOffset: 8, lastOffset: 12 }]);
  });

  it('of a stream are the highest offset of each partition', () => {
    const gathered = new AckGathererState();
    for (const [partition, offset] of [
      [0, 5] as const,
      [1, 9] as const,
      [0, 7] as const,
      [0, 6] as const,
    ]) {
      gathered.addCumulative(partition, offset, AckVerb.CUMULATIVE);
    }
    expect(gathered.take()).toMatchObject([
      { partition: 0, lastOffset: 7 },
      { partition: 1, lastOffset: 9 },
    ]);
  });

  it('outlive a lost connection, but what only a holder may say does not', () => {
    const gathered = new AckGathererState();
    gathered.add(0, 1, AckVerb.ACK, 3, 0);
    gathered.add(0, 2, AckVerb.NACK, 3, 0);
    gathered.add(0, 3, AckVerb.EXTEND, 3, 0);
    gathered.add(0, 4, AckVerb.RETURN, 3, 0);
    gathered.dropLeases();
    gathered.add(0, 2, AckVerb.ACK, 9, 0);
    expect(gathered.take()).toMatchObject([
      { firstOffset: 1, lastOffset: 1, verb: AckVerb.ACK, lease: 3 },
      { firstOffset: 2, lastOffset: 2, verb: AckVerb.ACK, lease: 9 },
    ]);
  });
});

describe('the positions of a stream', () => {
  it('show a seek, forwards and backwards, and nothing else', () => {
    const positions = new StreamPositionState();
    positions.opened();
    expect(positions.delivered(0, 100, 109)).toBe(false);
    expect(positions.delivered(0, 110, 110)).toBe(false);
    expect(positions.delivered(1, 7, 7)).toBe(false);
    positions.gap(0, 149);
    expect(positions.delivered(0, 150, 150)).toBe(false);
    expect(positions.delivered(0, 10, 19)).toBe(true);
    expect(positions.delivered(0, 20, 29)).toBe(false);
    expect(positions.delivered(0, 40, 49)).toBe(true);
    positions.assigned([1]);
    positions.assigned([0, 1]);
    expect(positions.delivered(0, 3, 3)).toBe(false);
    expect(positions.delivered(1, 8, 8)).toBe(false);
    positions.opened();
    expect(positions.delivered(1, 0, 0)).toBe(false);
  });
});

/** Runs steps on a table, beside a broker that counts the credit it has. */
class TableRun {
  private readonly table = new DeliveryTableState(prefetch);
  private readonly creditReturn: CreditReturn;
  private readonly inHand: HeldDelivery[] = [];
  private readonly next = [0, 0, 0];
  private known: HeldDelivery[] = [];
  private brokerRecords = 0;
  private brokerBytes = 0;
  private highest = [-1, -1, -1];

  constructor(creditReturn: CreditReturn) {
    this.creditReturn = creditReturn;
    this.take({ kind: 'reconnect' });
  }

  take(step: Step): void {
    switch (step.kind) {
      case 'deliver':
        this.deliver(step.partition, step.records);
        break;
      case 'hand out':
        this.handOut();
        break;
      case 'settle':
        for (const held of this.inHand.splice(step.which % (this.inHand.length + 1), 1)) {
          this.table.settled(held);
        }
        break;
      case 'lose': {
        const lost = this.known[step.which % (this.known.length + 1)];
        this.table.lose((held) => held === lost);
        break;
      }
      case 'give back':
        this.table.giveBack();
        break;
      case 'reconnect':
        this.table.opened(this.creditReturn);
        this.known = [];
        this.highest = [-1, -1, -1];
        this.brokerRecords = 0;
        this.brokerBytes = 0;
        break;
      case 'take credit': {
        const { records, bytes } = this.table.takeCredit();
        this.brokerRecords += records;
        this.brokerBytes += bytes;
        expect(this.brokerRecords).toBeLessThanOrEqual(prefetch.records);
        expect(this.brokerBytes).toBeLessThanOrEqual(prefetch.bytes);
        break;
      }
    }
  }

  /** When all is done with, the broker has all of the credit. */
  finish(): void {
    this.table.giveBack();
    for (const held of this.inHand.splice(0)) this.table.settled(held);
    this.take({ kind: 'take credit' });
    expect({ records: this.brokerRecords, bytes: this.brokerBytes }).toEqual(prefetch);
  }

  private deliver(partition: number, records: number): void {
    if (this.brokerRecords < records || this.brokerBytes <= 0) return;
    const fields = delivery(partition, this.next[partition] as number, records);
    this.next[partition] = fields.baseOffset + records;
    this.brokerRecords -= records;
    this.brokerBytes -= fields.batch.length;
    this.known.push(this.table.add(fields));
  }

  private handOut(): void {
    const out = this.table.handOut();
    if (out === undefined) return;
    const { partition } = out.delivery.fields;
    expect(out.delivery.isLost).toBe(false);
    expect(out.walked.offset).toBeGreaterThan(this.highest[partition] as number);
    this.highest[partition] = out.walked.offset;
    this.inHand.push(out.delivery);
  }
}

function delivery(partition: number, baseOffset: number, records: number): DeliveryFields {
  return {
    partition,
    baseOffset,
    appendTimeMs: 0,
    epoch: 1,
    attempt: 1,
    lease: baseOffset + 1,
    selected: [],
    batch: Buffer.from(recordHex.repeat(records), 'hex'),
  };
}
