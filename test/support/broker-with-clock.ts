// `millrace` whose wall clock is off by so many ms as the file CLOCK_FILE says, so that a test can let it step.
import { readFileSync } from 'node:fs';

const path = process.env['CLOCK_FILE'] ?? '';
const realNow = Date.now.bind(Date);
const readStep = (): number => Number(readFileSync(path, 'utf8'));
/** How often the file is looked at. */
const lookMs = 20;

let stepMs = readStep();
setInterval(() => (stepMs = readStep()), lookMs).unref();
Date.now = () => realNow() + stepMs;

await import('../../cli/main.ts');
