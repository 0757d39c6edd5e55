// What is left out must show: a run of tests that lack something, as vitest counts it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { withTemporaryDirectory } from './temporary-directory.ts';

interface Counts {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly testResults: readonly {
    readonly assertionResults: readonly { readonly fullName: string }[];
  }[];
}

const modules = join(import.meta.dirname, '..', '..', 'node_modules');
const vitest = join(modules, 'vitest', 'vitest.mjs');
const urls = {
  vitest: pathToFileURL(join(modules, 'vitest', 'dist', 'index.js')).href,
  needs: pathToFileURL(join(import.meta.dirname, 'needs.ts')).href,
};

/** The bodies fail: they may not run while something is missing. */
const lacking = `
import { expect, it } from '${urls.vitest}';
import { describeNeeding, itNeeding } from '${urls.needs}';
const fails = () => expect(1).toBe(2);
itNeeding('a moon', 'lands', fails);
describeNeeding('a sun', 'a plant', () => it('grows', fails));
itNeeding(undefined, 'has all it needs', () => {});
`;

describe('tests that lack something', () => {
  it('are skipped and say what they lack on a machine of ours', async () => {
    const { numPassedTests, numFailedTests, numPendingTests, testResults } = await countsOf('');
    expect({ numPassedTests, numFailedTests, numPendingTests }).toEqual({
      numPassedTests: 1,
      numFailedTests: 0,
      numPendingTests: 2,
    });
    const names = testResults.flatMap((file) => file.assertionResults.map((test) => test.fullName));
    expect(names.join('\n')).toMatch(/skipped: a moon[^]*skipped: a sun/);
  });

  it('fail on CI', async () => {
    const { numPassedTests, numFailedTests, numPendingTests } = await countsOf('true');
    expect({ numPassedTests, numFailedTests, numPendingTests }).toEqual({
      numPassedTests: 1,
      numFailedTests: 2,
      numPendingTests: 0,
    });
  });
});

async function countsOf(ci: string): Promise<Counts> {
  return withTemporaryDirectory(async (directory) => {
    const report = join(directory, 'report.json');
    await writeFile(join(directory, 'lacking.test.ts'), lacking);
    const args = ['run', '--root', directory, '--reporter', 'json', '--outputFile', report];
    const env = { ...process.env, CI: ci };
    await once(spawn(process.execPath, [vitest, ...args], { stdio: 'ignore', env }), 'exit');
    return JSON.parse(await readFile(report, 'utf8')) as Counts;
  });
}
