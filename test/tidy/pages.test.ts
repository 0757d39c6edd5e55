import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { reasons } from '../../broker/core/errors.ts';
import { errorsPage } from '../tools/errors-page.ts';
import { root } from './source-file.ts';

const page = readFileSync(new URL('docs/errors.md', root), 'utf8');

it('docs/errors.md is what the lists of reasons say', () => {
  expect(page, 'run: node test/tools/errors-page.ts > docs/errors.md').toBe(errorsPage());
});

it('every reason stands in docs/errors.md once, and one that does not exist is not there', () => {
  const count = (reason: string): number => page.split(`| \`${reason}\` `).length - 1;
  for (const reason of Object.keys(reasons)) expect([reason, count(reason)]).toEqual([reason, 1]);
  expect(count('NO_SUCH_REASON')).toBe(0);
});
