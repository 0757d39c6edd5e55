// So many at once, in turn.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Slots } from '../../broker/tier/slots.ts';
import { turn } from '../support/simulated-disk.ts';

describe('slots', () => {
  it('run so many at once, begin in turn, and outlive work that fails', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.record({ hops: fc.nat(6), fails: fc.boolean() }), { maxLength: 20 }),
        async (count, works) => {
          const slots = new Slots(count);
          const begun: number[] = [];
          let running = 0;
          const all = works.map(({ hops, fails }, i) =>
            slots.run(async () => {
              begun.push(i);
              expect(++running).toBeLessThanOrEqual(count);
              for (let hop = 0; hop < hops; hop++) await Promise.resolve();
              running--;
              if (fails) throw new Error(`work ${i}`);
              return i;
            }),
          );
          const outcomes = await Promise.allSettled(all);
          expect(begun).toEqual(works.map((_, i) => i));
          expect(outcomes.map(({ status }) => status === 'rejected')).toEqual(
            works.map(({ fails }) => fails),
          );
          expect(slots.waitingCount).toBe(0);
          // None is lost: as many run at once as before.
          let again = 0;
          const held = Array.from({ length: count }, () =>
            slots.run(async () => {
              again++;
              await turn();
            }),
          );
          await Promise.resolve();
          expect(again).toBe(count);
          await Promise.all(held);
        },
      ),
    );
  });
});
