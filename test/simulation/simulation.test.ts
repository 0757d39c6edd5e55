// The simulation of storage holds for many seeds, and catches every planted bug. `SEED=n` runs one seed; `SIM_ROUNDS=n`
// more.
import { describe, expect, it } from 'vitest';
import { mutants } from './mutants.ts';
import { expectCaught, runSeeds } from './mutation.ts';

const rounds = Number(process.env['SIM_ROUNDS'] ?? 1_000);
/** Within so many seeds every mutant is caught. */
const mutantRounds = 1_500;
/** Seeds that once failed: 408 dropped a generation that another pass had dropped, 16 took wrong bytes for damage. */
const regressions = [16, 408];

describe('journal, log, queue and tier on a disk that loses power and a store that loses answers', () => {
  it('keep every rule', async () => {
    const seed = process.env['SEED'];
    const { code, output } =
      seed === undefined
        ? await runSeeds('storage', 1_000, rounds)
        : await runSeeds('storage', Number(seed), 1);
    expect(code, output).toBe(0);
  }, 600_000);

  it.each(regressions)('keep every rule with seed %i, which once broke one', async (seed) => {
    const { code, output } = await runSeeds('storage', seed, 1);
    expect(code, output).toBe(0);
  });
});

describe('a planted bug is caught:', () => {
  it.each(mutants)('$name', (mutant) => expectCaught('storage', mutant, mutantRounds), 120_000);
});
