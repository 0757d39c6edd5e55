// The gate of keys against a plain list: who may begin, who waits, and in which order they enter.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KeyGateState } from '../../client/src/consume/key-gate-state.ts';

interface Item {
  readonly id: number;
  readonly key: Buffer;
}

/** `leave`: the how-manieth of those that have entered is done. */
const steps = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('come' as const), key: fc.constantFrom('', 'a', 'b', 'c') }),
    fc.record({ kind: fc.constant('leave' as const), which: fc.nat(10) }),
  ),
  { maxLength: 200 },
);

describe('the gate of keys', () => {
  it('lets in so many of a key, in the order in which they came, and loses nobody', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3 }), steps, (perKeyMax, commands) => {
        const gate = new KeyGateState<Item>(perKeyMax);
        const entered: Item[] = [];
        const inside: Item[] = [];
        const waiting: Item[] = [];
        const enter = (item: Item): void => {
          entered.push(item);
          inside.push(item);
        };
        let id = 0;
        for (const command of commands) {
          if (command.kind === 'come') {
            const item = { id: id++, key: Buffer.from(command.key) };
            if (gate.enter(item)) enter(item);
            else waiting.push(item);
          } else if (inside.length > 0) {
            const [done] = inside.splice(command.which % inside.length, 1);
            const next = done && gate.leave(done);
            if (next !== undefined) {
              waiting.splice(waiting.indexOf(next), 1);
              enter(next);
            }
          }
          for (const key of ['a', 'b', 'c']) {
            const ofKey = (items: Item[]): Item[] => items.filter((i) => i.key.toString() === key);
            expect(ofKey(inside).length).toBeLessThanOrEqual(perKeyMax);
            if (ofKey(waiting).length > 0) expect(ofKey(inside)).toHaveLength(perKeyMax);
            const order = ofKey(entered).map((item) => item.id);
            expect(order).toEqual([...order].sort((a, b) => a - b));
          }
        }
        expect(waiting.every(({ key }) => key.length > 0)).toBe(true);
        const cleared = gate.clear().map((item) => item.id);
        expect(cleared.sort((a, b) => a - b)).toEqual(waiting.map((item) => item.id));
      }),
    );
  });
});
