// Runs seeds of a world in a process of its own, with or without a planted bug.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Mutant } from './mutants.ts';

export type WorldName = 'storage' | 'subscriptions';

interface Outcome {
  readonly code: number | null;
  readonly output: string;
}

const directory = import.meta.dirname;
/** Most of a short run was reading TypeScript. What a mutant changes has other bytes, so it is not in there. */
const compileCache = join(directory, '..', '..', 'node_modules', '.cache', 'simulation');

export function runSeeds(
  world: WorldName,
  firstSeed: number,
  count: number,
  mutant?: Mutant,
): Promise<Outcome> {
  const hook = mutant === undefined ? [] : ['--import', join(directory, 'mutate.ts')];
  const args = [...hook, join(directory, 'run.ts'), world, String(firstSeed), String(count)];
  const child = spawn(process.execPath, args, {
    env: {
      ...process.env,
      NODE_COMPILE_CACHE: compileCache,
      ...(mutant === undefined ? {} : { MUTANT: mutant.name }),
    },
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return new Promise((resolve) => {
    child.once('close', (code) => resolve({ code, output }));
  });
}

/** Within so many seeds the mutant breaks a rule. */
export async function expectCaught(
  world: WorldName,
  mutant: Mutant,
  seedsMax: number,
): Promise<void> {
  const source = readFileSync(join(directory, '..', '..', 'broker', mutant.file), 'utf8');
  expect(source.split(mutant.find).length - 1, 'places where the mutant fits').toBe(1);
  const { code, output } = await runSeeds(world, 1, seedsMax, mutant);
  expect(code, output).not.toBe(0);
  // A rule that was broken, not a mutant that does not load.
  expect(output).toContain('SEED=');
}
