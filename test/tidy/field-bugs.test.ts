import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { producerBugs, queueBugs, type FieldTest } from '../field-bugs.ts';
import { root } from './source-file.ts';

const queueRows = Array.from({ length: 20 }, (_, i) => `Q${i + 1}`);
const producerRows = ['P1', 'P4', 'P5', 'P6', 'P7', 'P9', 'P11', 'P12'];

/** Whether the file has a test with exactly this title: `it('…'`, `it.each(…)('…'`, `itNeeding(missing, '…'`. */
function exists({ file, title }: FieldTest): boolean {
  const source = readFileSync(new URL(`test/${file}`, root), 'utf8');
  const escaped = title.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`(?:\\b(?:it|test)\\(|itNeeding\\(\\s*\\w+,|\\)\\()\\s*'${escaped}'`).test(
    source,
  );
}

it('every bug of the field has its row', () => {
  expect(queueBugs.map(({ row }) => row)).toEqual(queueRows);
  expect(producerBugs.map(({ row }) => row)).toEqual(producerRows);
});

it('every row names tests that exist', () => {
  const rows = [...queueBugs, ...producerBugs];
  expect(rows.filter(({ tests }) => tests.length === 0)).toEqual([]);
  expect(rows.flatMap(({ tests }) => tests).filter((named) => !exists(named))).toEqual([]);
});

it('a test that does not exist, or whose title is only part of one, is caught', () => {
  const file = 'tidy/field-bugs.test.ts';
  expect(exists({ file, title: 'every row names tests that exist' })).toBe(true);
  expect(exists({ file, title: 'every row names tests' })).toBe(false);
  expect(exists({ file, title: 'every row names tests that are not there' })).toBe(false);
});
