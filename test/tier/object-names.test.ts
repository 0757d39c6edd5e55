// Whatever a tenant calls its things, its bytes stay under its own prefix, and no two objects share a name.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  parseNamespaceName,
  parseSubscriptionName,
  parseTenantName,
  parseTopicName,
} from '../../broker/catalog/names.ts';
import { tenantId } from '../../broker/core/ids.ts';
import {
  parseTierObjectKey,
  tierObjectKey,
  type TierObject,
} from '../../broker/tier/object-names.ts';
import { reasonOf } from '../support/reason-of.ts';

const id = fc.integer({ min: 1, max: 2 ** 32 - 1 });
const object: fc.Arbitrary<TierObject> = fc.record({
  kind: fc.constantFrom('segment' as const, 'manifest' as const),
  // Few values, so that objects differ in one part only, and digits that could run into each other.
  tenant: fc.oneof(fc.constantFrom(1, 11, 111), id).map(tenantId),
  shard: fc.constantFrom('0', '1', '11', '1-1', '0-1', 'system'),
  epoch: fc.oneof(fc.constantFrom(1, 11), id),
  number: fc.oneof(fc.constantFrom(1, 11), id),
});

describe('object keys', () => {
  it('are different for different ids, and say whose they are', () => {
    fc.assert(
      fc.property(object, object, (one, other) => {
        const [key, otherKey] = [tierObjectKey(one), tierObjectKey(other)];
        const same = JSON.stringify(one) === JSON.stringify(other);
        expect(key === otherKey).toBe(same);
        expect(parseTierObjectKey(key)).toEqual(one);
        expect(key.startsWith(`tenants/${one.tenant}/`)).toBe(true);
      }),
      { numRuns: 20_000 },
    );
  });

  it('stay inside the prefix: no part of one is empty, a dot, or more than letters and digits', () => {
    fc.assert(
      fc.property(object, (one) => {
        for (const part of tierObjectKey(one).split('/')) {
          expect(part).toMatch(/^[a-z0-9][a-z0-9-]*(\.(seg|man))?$/);
        }
      }),
    );
  });
});

describe('names that could leave a prefix or pass for others', () => {
  const hostile = [
    '..',
    '.',
    '../x',
    'a/../b',
    'a\\b',
    '%2e%2e',
    'a%2fb',
    'a\0',
    '\0',
    'a'.repeat(65_536),
    '\u0430cme', // Cyrillic a.
    'acme\u200b',
    '\u202eacme',
    'e\u0301',
    '\u00e9',
    '\uff41cme', // Full-width a.
    'acme ',
    ' acme',
    '~acme',
    '*',
    '__proto__',
    '',
  ];

  it.each(hostile.map((text) => [text]))('are refused: %j', (text) => {
    const spoilt = [`${text}/x/t`, `acme/${text}/t`, `acme/x/${text}`];
    for (const name of spoilt) expect(reasonOf(() => parseTopicName(name))).toBe('NAME_INVALID');
    for (const parse of [parseTenantName, parseNamespaceName, parseSubscriptionName]) {
      expect(reasonOf(() => parse(text))).toBe('NAME_INVALID');
    }
  });

  it('are refused or are plain ASCII that means itself, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 20 }), (text) => {
        if (reasonOf(() => parseTenantName(text)) === 'NAME_INVALID') return;
        expect(text).toMatch(/^[a-zA-Z0-9][a-zA-Z0-9._-]*$/);
        expect(text.normalize('NFKC')).toBe(text);
      }),
      { numRuns: 5_000 },
    );
  });
});
