// Tests that need something which may be absent: a binary, a service, another operating system. The only place that may
// leave a test out.
//
// Invariants:
// - A test that is left out is counted as skipped and says in its name what it lacks.
// - On CI (`CI=true`) nothing is left out: what is missing there is a failure.
import { describe, it } from 'vitest';

/** What is missing and how to get it; undefined when it is there. */
export type Missing = string | undefined;

/** Like `describe`; its tests are skipped, or fail on CI, while something is missing. */
export function describeNeeding(missing: Missing, title: string, body: () => void): void {
  if (missing === undefined) {
    describe(title, body);
  } else if (isCi()) {
    describe(title, () => it('has what it needs', () => refuse(missing)));
  } else {
    describe.skip(`${title} (skipped: ${missing})`, body);
  }
}

/** Like `it`; skipped, or failing on CI, while something is missing. */
export function itNeeding(
  missing: Missing,
  title: string,
  body: () => Promise<void> | void,
  timeoutMs?: number,
): void {
  if (missing === undefined) {
    it(title, body, timeoutMs);
  } else if (isCi()) {
    it(title, () => refuse(missing));
  } else {
    it.skip(`${title} (skipped: ${missing})`, body);
  }
}

function refuse(missing: string): never {
  throw new Error(`on CI every test runs, but something is missing: ${missing}`);
}

function isCi(): boolean {
  return process.env['CI'] === 'true';
}
