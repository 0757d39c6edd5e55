// `millrace` whose wall clock is off by so many ms as the file CLOCK_FILE says, so that a test can let it step. What is
// in force stands in CLOCK_FILE.seen.
import { readFileSync, writeFileSync } from 'node:fs';

const path = process.env['CLOCK_FILE'] ?? '';
const realNow = Date.now.bind(Date);
const readStep = (): number => Number(readFileSync(path, 'utf8'));
/** How often the file is looked at. */
const lookMs = 20;

let stepMs = 0;
Date.now = () => realNow() + stepMs;
look();
setInterval(look, lookMs).unref();

function look(): void {
  stepMs = readStep();
  writeFileSync(`${path}.seen`, String(stepMs));
}

await import('../../cli/main.ts');
