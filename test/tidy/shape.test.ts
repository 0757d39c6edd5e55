import { describe, expect, it } from 'vitest';
import { shapeFaults } from './shape-check.ts';
import { parseSource, readSource, sourcePaths } from './source-file.ts';

it('every file has the shape that the style asks for', () => {
  expect(sourcePaths().flatMap((path) => shapeFaults(readSource(path)))).toEqual([]);
});

describe('a planted fault is caught', () => {
  const long = 'x'.repeat(101);
  const planted: readonly (readonly [string, string, string, string])[] = [
    ['501 lines', 'broker/core/x.ts', 'a;\n'.repeat(501), '501 lines, over 500'],
    ['101 columns', 'broker/core/x.ts', `${long};`, '102 columns, over 100'],
    [
      'a comment of 121 columns',
      'broker/core/x.ts',
      `//${'x'.repeat(119)}`,
      '121 columns, over 120',
    ],
    [
      'a long function',
      'broker/core/x.ts',
      `function f() {${'\n'.repeat(70)}}`,
      'a function of 71 lines',
    ],
    ['a manager', 'broker/core/x.ts', 'export class LogManager {}', 'LogManager says nothing'],
    [
      'helpers in a list',
      'broker/core/x.ts',
      'export { a as logHelpers };',
      'logHelpers says nothing',
    ],
    [
      'a util in a pattern',
      'cli/x.ts',
      'export const { a: [b, utilOf] } = c;',
      'utilOf says nothing',
    ],
    ['an Impl', 'client/src/x.ts', 'export interface LogImpl {}', 'LogImpl says nothing'],
    [
      'a base class',
      'broker/core/x.ts',
      'export abstract class BaseLog {}',
      'BaseLog says nothing',
    ],
    ['data', 'broker/core/x.ts', 'export const data = 1;', 'data says nothing'],
    ['a file of utils', 'broker/core/byte-utils.ts', '', "file's name says nothing"],
    ['a file called info', 'broker/core/info.ts', '', "file's name says nothing"],
    ['a file in camel case', 'broker/core/byteBudget.ts', '', 'kebab-case'],
    ['a star export', 'broker/core/x.ts', `export * from './y.ts';`, 'export names, not *'],
    ['a focused test', 'test/x.test.ts', 'it.only("a", () => {});', 'it.only: a test runs'],
    [
      'a skipped table',
      'test/x.test.ts',
      'it.skip.each([1])("a", () => {});',
      'it.skip.each: a test',
    ],
    [
      'a condition',
      'test/x.test.ts',
      'describe.skipIf(true)("a", () => {});',
      'describe.skipIf: a test',
    ],
    [
      'a test to do',
      'test/x.test.ts',
      'test.concurrent.todo("a");',
      'test.concurrent.todo: a test',
    ],
    ['a skip inside', 'test/x.test.ts', 'it("a", (ctx) => ctx.skip());', 'ctx.skip: a test'],
    ['a skip taken out', 'test/x.test.ts', 'it("a", ({ skip }) => skip());', 'skip: a test'],
    ['new Date()', 'broker/log/x.ts', 'const now = new Date();', 'Date; take a Clock'],
    [
      'a clock behind globalThis',
      'broker/log/x.ts',
      'globalThis.performance.now();',
      'take a Clock',
    ],
    [
      'a timer behind globalThis',
      'broker/log/x.ts',
      'globalThis.setTimeout(f, 1);',
      'take a Clock',
    ],
  ];

  it.each(planted)('%s', (_, path, text, fault) => {
    const faults = shapeFaults(parseSource(path, text));
    expect(faults).toHaveLength(1);
    expect(faults[0]).toContain(fault);
  });
});

describe('what is fine passes', () => {
  const fine: readonly (readonly [string, string, string])[] = [
    ['a message over 100 columns', 'broker/core/x.ts', `const a = '${'x'.repeat(150)}';`],
    ['a template over 100 columns', 'broker/core/x.ts', `const a = \`${'x'.repeat(150)}\${b}\`;`],
    ['a base offset', 'broker/core/x.ts', 'export const baseOffset = 1, database = 2;'],
    ['a date from a number', 'broker/core/x.ts', 'new Date(clock.wallMs()).toISOString();'],
    ['a reader that skips', 'test/x.test.ts', 'reader.skip(3);'],
    ['the file that may skip', 'test/support/needs.ts', 'it.skip("a", () => {});'],
    ['a long describe', 'test/x.test.ts', `describe('a', () => {${'\n'.repeat(90)}});`],
  ];

  it.each(fine)('%s', (_, path, text) => {
    expect(shapeFaults(parseSource(path, text))).toEqual([]);
  });
});
