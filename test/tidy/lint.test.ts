import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root } from './source-file.ts';

/** It takes a second; folders are named, or it would walk the linked packages. */
const lintWithinMs = 30_000;

const workspace = fileURLToPath(root);

/** Path and text of what is planted, and the rule that must catch it. */
const planted: readonly (readonly [path: string, text: string, rule: string])[] = [
  ['broker/a/clock.ts', 'export const a = Date.now();', 'no-restricted-properties'],
  ['broker/a/monotonic.ts', 'export const a = performance.now();', 'no-restricted-properties'],
  ['broker/a/chance.ts', 'export const a = Math.random();', 'no-restricted-properties'],
  ['broker/a/timeout.ts', 'setTimeout(() => {}, 1);', 'no-restricted-globals'],
  ['broker/a/interval.ts', 'setInterval(() => {}, 1);', 'no-restricted-globals'],
  [
    'broker/a/sleep.ts',
    `import { setTimeout } from 'node:timers/promises';\nawait setTimeout(1);`,
    'no-restricted-imports',
  ],
  ['broker/a/env.ts', `export const a = process.env['A'];`, 'no-process-env'],
  ['client/src/env.ts', `export const a = process.env['A'];`, 'no-process-env'],
  ['cli/floating.ts', `Promise.resolve(1);`, 'no-floating-promises'],
  [
    'cli/switch.ts',
    `export function f(a: 'b' | 'c'): void {\n  switch (a) {\n    case 'b':\n      return;\n  }\n}`,
    'switch-exhaustiveness-check',
  ],
  ['cli/any.ts', 'export const a = (b: any): number => Number(b);', 'no-explicit-any'],
  ['cli/bang.ts', 'export const a = (b?: number): number => b!;', 'no-non-null-assertion'],
  ['cli/default.ts', 'export default 1;', 'no-default-export'],
  [
    'cli/type.ts',
    `import { Buffer } from 'node:buffer';\nexport type A = Buffer;`,
    'consistent-type-imports',
  ],
];

/** The same where it is allowed. */
const fine: readonly (readonly [path: string, text: string])[] = [
  ['broker/core/clock.ts', 'export const a = (): number => Date.now();'],
  ['broker/core/random.ts', 'export const a = (): number => Math.random();'],
  ['broker/main.ts', 'setTimeout(() => {}, 1);'],
  ['broker/settings.ts', `export const a = process.env['A'];`],
  ['cli/env.ts', `export const a = process.env['A'];`],
  ['client/src/clock.ts', 'export const a = (): number => Date.now();'],
  ['test/clock.ts', 'export const a = (): number => Date.now();'],
];

describe('the linter', () => {
  let directory = '';
  let found = new Map<string, string[]>();

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'millrace-lint-'));
    for (const name of ['.oxlintrc.json', 'tsconfig.json']) {
      copyFileSync(join(workspace, name), join(directory, name));
    }
    symlinkSync(join(workspace, 'node_modules'), join(directory, 'node_modules'));
    for (const [path, text] of [...planted, ...fine]) {
      mkdirSync(dirname(join(directory, path)), { recursive: true });
      writeFileSync(join(directory, path), `${text}\n`);
    }
    found = rulesByPath(directory);
  });

  afterAll(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  it.each(planted)('catches what is planted in %s', (path, _, rule) => {
    expect(found.get(path)).toEqual([rule]);
  });

  it.each(fine)('allows it in %s', (path) => {
    expect(found.get(path)).toBeUndefined();
  });
});

function rulesByPath(directory: string): Map<string, string[]> {
  const { stdout } = spawnSync(
    join(workspace, 'node_modules', '.bin', 'oxlint'),
    ['--type-aware', '--deny-warnings', '--format', 'unix', 'broker', 'cli', 'client', 'test'],
    { cwd: directory, encoding: 'utf8', timeout: lintWithinMs },
  );
  const rules = new Map<string, string[]>();
  for (const [, path = '', rule = ''] of stdout.matchAll(
    /^([^:]+):.*\[\w+\/[\w-]+\(([\w-]+)\)\]$/gm,
  )) {
    rules.set(path, [...(rules.get(path) ?? []), rule]);
  }
  return rules;
}
