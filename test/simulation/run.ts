// Runs seeds in a row: `node test/simulation/run.ts WORLD FIRST_SEED COUNT`. Stops at the first that breaks a rule,
// with the rule on stdout and exit code 1. In a process of its own so that mutants can be loaded instead of sources.
import { simulateSubscriptions } from './subscriptions/world.ts';
import { simulate } from './world.ts';

const worlds: Readonly<Record<string, (seed: number) => Promise<string[]>>> = {
  storage: simulate,
  subscriptions: simulateSubscriptions,
};

const [name = 'storage', first = '1', count = '100'] = process.argv.slice(2);
const run = worlds[name];
if (run === undefined) throw new Error(`there is no world ${name}`);

let running = Number(first);

// A rule that the code itself asserts, broken in a callback that nobody awaits.
process.on('uncaughtException', (error) => {
  process.stdout.write(`SEED=${running}\nstopped: ${error.stack ?? error.message}\n`);
  process.exit(1);
});

for (let seed = Number(first); seed < Number(first) + Number(count); seed++) {
  running = seed;
  const broken = await run(seed).catch((error: unknown) => [
    `stopped: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
  ]);
  if (broken.length === 0) continue;
  process.stdout.write(`SEED=${seed}\n${broken.slice(0, 10).join('\n')}\n`);
  process.exit(1);
}
process.stdout.write(`${count} seeds from ${first} on hold\n`);
process.exit(0);
