// The simulation of subscriptions holds for many seeds, and catches every planted bug. `SEED=n` runs one seed;
// `SIM_ROUNDS=n` more.
import { describe, expect, it } from 'vitest';
import { expectCaught, runSeeds } from './mutation.ts';
import { subscriptionMutants } from './subscription-mutants.ts';

const rounds = Number(process.env['SIM_ROUNDS'] ?? 1_000);
/** Within so many seeds every mutant is caught. */
const mutantRounds = 1_500;

describe('streams, queues and keyed queues with dead letters, delays, seeks, clocks that step and power cuts', () => {
  it('keep every rule', async () => {
    const seed = process.env['SEED'];
    const { code, output } =
      seed === undefined
        ? await runSeeds('subscriptions', 10_000, rounds)
        : await runSeeds('subscriptions', Number(seed), 1);
    expect(code, output).toBe(0);
  }, 600_000);
});

describe('a planted bug is caught:', () => {
  it.each(subscriptionMutants)(
    '$name',
    (mutant) => expectCaught('subscriptions', mutant, mutantRounds),
    120_000,
  );
});
