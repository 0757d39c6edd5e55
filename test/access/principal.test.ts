import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  certificatePrincipal,
  jwtPrincipal,
  parsePrincipal,
  serviceAccountPrincipal,
  tokenPrincipal,
} from '../../broker/catalog/principal.ts';
import { enclosingScopes, isWithin, parseScope, tenantOf } from '../../broker/catalog/scope.ts';
import { reasonOf } from '../support/reason-of.ts';

const text = fc.oneof(
  fc.string({ minLength: 1, maxLength: 20, unit: 'binary' }),
  fc.constantFrom('\ud800', '\ud801', '\ufffd'),
  fc.string({
    minLength: 1,
    maxLength: 6,
    unit: fc.constantFrom(':', '/', '%', '2', '5', 'a', 'A', ' ', 'é'),
  }),
);
const name = fc.constantFrom('a', 'a.b', 'A-1', 'z'.repeat(128));
const label = fc.constantFrom('a', 'a-b', 'shop', 'x9');

/** What a principal is made of, with whatever an issuer or a certificate may say. */
const parts = fc.oneof(
  text.map((cn) => ['certificate', cn] as const),
  fc.tuple(name, text).map(([issuer, sub]) => ['jwt', issuer, sub] as const),
  fc.tuple(label, label).map(([namespace, account]) => ['account', namespace, account] as const),
  fc
    .tuple(fc.option(name, { nil: '' }), name)
    .map(([tenant, token]) => ['token', tenant, token] as const),
);

function principalOf([kind, first, second = '']: readonly [string, string, string?]) {
  if (kind === 'certificate') return certificatePrincipal(first);
  if (kind === 'jwt') return jwtPrincipal(first, second);
  if (kind === 'account') return serviceAccountPrincipal(first, second);
  return tokenPrincipal(first, second);
}

describe('a principal', () => {
  it('is another text for everybody else, and reads back', () => {
    fc.assert(
      fc.property(parts, parts, (one, two) => {
        const [a, b] = [principalOf(one), principalOf(two)];
        if (a === undefined || b === undefined) return;
        expect(a === b).toBe(JSON.stringify(one) === JSON.stringify(two));
        expect(parsePrincipal(a)).toBe(a);
        expect(a).toMatch(/^[\x21-\x7e]+$/);
      }),
      { numRuns: 20_000 },
    );
  });

  it.each([
    ['nothing', ''],
    ['anonymous', 'anonymous'],
    ['no kind', ':a'],
    ['another kind', 'user:a'],
    ['a certificate without a name', 'certificate:'],
    ['a space', 'certificate:a b'],
    ['a name that is not escaped', 'certificate:é'],
    ['an escape of what needs none', 'certificate:%61'],
    ['lower-case digits', 'certificate:%c3%a9'],
    ['half an escape', 'certificate:%2'],
    ['an issuer without a subject', 'jwt:corp'],
    ['an empty issuer', 'jwt::alice'],
    ['an empty subject', 'jwt:corp:'],
    ['three parts of an account', 'serviceaccount:a:b:c'],
    ['an account in capitals', 'serviceaccount:A:b'],
    ['three parts of a token', 'token:a/b/c'],
    ['a path of a token', 'token:../b'],
    ['too long', `certificate:${'a'.repeat(600)}`],
  ])('is refused with %s', (_, wrong) => {
    expect(reasonOf(() => parsePrincipal(wrong))).toBe('NAME_INVALID');
  });
});

describe('a scope', () => {
  it('lies in another exactly when it begins with all of its parts', () => {
    const part = fc.constantFrom('a', 'b', 'ab', 'a.b');
    const scope = fc
      .array(part, { maxLength: 3 })
      .map((all) => ({ all, scope: parseScope(all.join('/')) }));
    fc.assert(
      fc.property(scope, scope, (inner, outer) => {
        const begins = outer.all.every((one, i) => inner.all[i] === one);
        expect(isWithin(inner.scope, outer.scope)).toBe(begins);
        expect(enclosingScopes(inner.scope).includes(outer.scope)).toBe(begins);
        expect(tenantOf(inner.scope)).toBe(inner.all[0] ?? '');
      }),
      { numRuns: 2_000 },
    );
  });

  it.each([
    '/',
    'a/',
    '/a',
    'a//b',
    'a/b/c/d',
    '..',
    'a/../b',
    'a b',
    '**',
    'a/*',
    '%2e',
    'a\0',
    'ａ',
    'x'.repeat(129),
  ])('is refused as %j', (wrong) => {
    expect(reasonOf(() => parseScope(wrong))).toBe('NAME_INVALID');
  });
});
