// Tests run as the program does: Node reads the TypeScript as it is, one process per test file.
import { defineConfig } from 'vitest/config';

/** Where to write the counts as JSON, for the closing line of `.ci/run`. Not MILLRACE_*: a broker would refuse it. */
const reportPath = process.env['TEST_REPORT'];

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Native add-ons (LMDB) crash when a worker thread is torn down.
    pool: 'forks',
    // What is tested is what Node runs, not what a bundler made of it.
    experimental: { viteModuleRunner: false },
    // A property test, or a broker's start on a busy machine, takes seconds; a hang shall not take minutes.
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 10_000,
    // A focused test left in the code would silently leave out all others.
    allowOnly: false,
    passWithNoTests: false,
    reporters: reportPath === undefined ? ['default'] : ['default', 'json'],
    ...(reportPath !== undefined && { outputFile: { json: reportPath } }),
  },
});
