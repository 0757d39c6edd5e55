// `.ci/run` judges everything else, so it is judged here: a copy of it, with an npm that does as it is told.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { withTemporaryDirectory } from '../support/temporary-directory.ts';

const script = join(import.meta.dirname, '..', '..', '.ci', 'run');

/** Fails at the step in $FAILING; `npm test` leaves the report in $REPORT. */
const npm = `#!/usr/bin/env bash
echo "npm $*"
if [ "$1" = test ]; then printf '%s' "$REPORT" >"$TEST_REPORT"; fi
for word in "$@"; do if [ "$word" = "$FAILING" ]; then exit 3; fi; done
exit 0
`;

const steps = [
  'ci',
  'services',
  'format:check',
  'lint',
  'lint:proto',
  'lint:chart',
  'types',
  'generate:check',
  'build',
  'test',
];

const report = { numPassedTests: 7, numFailedTests: 0, numPendingTests: 1, numTodoTests: 1 };

it('passes when every step does, and ends with the counts', async () => {
  const { code, lines } = await runCi({});
  expect(lines.at(-1)).toBe('7 passed, 0 failed, 2 skipped');
  expect(lines.filter((line) => /^== .*: ok, \d+ s$/.test(line))).toHaveLength(steps.length);
  expect(code).toBe(0);
});

it.each(steps)('fails when %s fails, and still ends with counts', async (failing) => {
  const { code, lines } = await runCi({ failing });
  expect(lines.at(-1)).toMatch(/^\d+ passed, \d+ failed, \d+ skipped$/);
  expect(lines.at(-2)).toMatch(/^failed: /);
  expect(code).toBe(1);
  // Nothing can be said of a checkout that could not be installed; all else runs to the end.
  const ran = lines.filter((line) => line.startsWith('npm '));
  expect(ran).toHaveLength(failing === 'ci' ? 1 : steps.length);
});

it('counts a test file that does not load as one that failed', async () => {
  const testResults = [
    { status: 'failed', assertionResults: [] },
    { status: 'failed', assertionResults: [{ status: 'failed' }] },
    { status: 'passed', assertionResults: [{ status: 'passed' }] },
  ];
  const unloaded = JSON.stringify({ ...report, numFailedTests: 1, testResults });
  const { code, lines } = await runCi({ failing: 'test', written: unloaded });
  expect(lines.at(-1)).toBe('7 passed, 2 failed, 2 skipped');
  expect(code).toBe(1);
});

it.each(['', '{"numPassedTests": 7'])('ends with counts after the report %j', async (written) => {
  const { code, lines } = await runCi({ failing: 'test', written });
  expect(lines.at(-1)).toBe('0 passed, 0 failed, 0 skipped');
  expect(code).toBe(1);
});

interface Outcome {
  readonly code: number | null;
  readonly lines: readonly string[];
}

function runCi({ failing = '', written = JSON.stringify(report) }): Promise<Outcome> {
  return withTemporaryDirectory(async (checkout) => {
    const tools = join(checkout, 'tools');
    await mkdir(join(checkout, '.ci'));
    await mkdir(tools);
    await copyFile(script, join(checkout, '.ci', 'run'));
    await writeFile(join(tools, 'npm'), npm);
    await chmod(join(tools, 'npm'), 0o755);
    const path = `${tools}:${process.env['PATH'] ?? ''}`;
    const child = spawn('bash', [join(checkout, '.ci', 'run')], {
      stdio: ['ignore', 'pipe', 'ignore'],
      env: { ...process.env, PATH: path, FAILING: failing, REPORT: written },
    });
    const [output] = await Promise.all([text(child.stdout), once(child, 'exit')]);
    return { code: child.exitCode, lines: output.trimEnd().split('\n') };
  });
}
