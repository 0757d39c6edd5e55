// Decisions against the meaning of grants as plain sets of (permission, topic), on a universe small enough to list.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  authorize,
  viewableRanges,
  type Permission,
  type Rights,
} from '../../broker/access/authorize.ts';
import { GrantTable } from '../../broker/catalog/access-tables.ts';
import { roleNames, sortedRoles, type Role } from '../../broker/catalog/grant.ts';
import { NameIndex } from '../../broker/catalog/name-index.ts';
import { namesWithin } from '../../broker/catalog/name-ranges.ts';
import { parsePrincipal } from '../../broker/catalog/principal.ts';
import { parseScope, type Scope } from '../../broker/catalog/scope.ts';

const names = ['a', 'b', 'ab'];
const tenants = names;
const namespaces = tenants.flatMap((tenant) => names.map((name) => `${tenant}/${name}`));
const topics = namespaces.flatMap((namespace) => names.map((name) => `${namespace}/${name}`));
const universe = ['*', ...tenants, ...namespaces, ...topics].map(parseScope);
const alice = parsePrincipal('jwt:corp:alice');
const bob = parsePrincipal('jwt:corp:bob');

interface Given {
  readonly scope: Scope;
  readonly roles: readonly Role[];
  readonly to: typeof alice;
}

const given: fc.Arbitrary<Given> = fc.record({
  scope: fc.constantFrom(...universe),
  roles: fc.subarray([...roleNames], { minLength: 1 }),
  to: fc.constantFrom(alice, bob),
});

/** What a role means, written out once more: pairs of permission and place. */
function meaning(role: Role, scope: Scope): Set<string> {
  const everything: Readonly<Record<Role, readonly Permission[]>> = {
    view: ['view'],
    publish: ['view', 'publish'],
    consume: ['view', 'consume'],
    administer: ['view', 'publish', 'consume', 'administer'],
    operate: ['view', 'publish', 'consume', 'administer', 'operate'],
  };
  if (role === 'operate' && scope !== parseScope('*')) return new Set();
  const parts = scope === parseScope('*') ? [] : scope.split('/');
  const places = universe.filter((place) => {
    if (parts.length === 0) return true;
    const all = place.split('/');
    return parts.every((part, i) => all[i] === part);
  });
  return new Set(places.flatMap((place) => everything[role].map((what) => `${what} ${place}`)));
}

function rightsOf(all: readonly Given[], operator = false): { rights: Rights; table: GrantTable } {
  const table = new GrantTable();
  for (const { scope, roles, to } of all) {
    const before = table.rolesOf(to, scope);
    const merged = sortedRoles([...before, ...roles]);
    table.put({ principal: to, scope, roles: merged, revision: 1, createdAtMs: 1 });
  }
  const rights: Rights = {
    rolesOf: (principal, scope) => table.rolesOf(principal, scope),
    isOperator: (principal) => operator && principal === alice,
  };
  return { rights, table };
}

describe('authorize', () => {
  it('allows exactly the union of what the grants mean', () => {
    fc.assert(
      fc.property(fc.array(given, { maxLength: 6 }), (all) => {
        const { rights } = rightsOf(all);
        const allowed = new Set<string>();
        for (const { scope, roles, to } of all) {
          if (to !== alice) continue;
          for (const role of roles) for (const pair of meaning(role, scope)) allowed.add(pair);
        }
        for (const place of universe) {
          for (const permission of roleNames) {
            const { allowed: is } = authorize(rights, alice, permission, place);
            expect([permission, place, is]).toEqual([
              permission,
              place,
              allowed.has(`${permission} ${place}`),
            ]);
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  it('allows an operator of the settings everything, and nobody else', () => {
    const { rights } = rightsOf([], true);
    for (const place of universe) {
      for (const permission of roleNames) {
        expect(authorize(rights, alice, permission, place).allowed).toBe(true);
        expect(authorize(rights, bob, permission, place).allowed).toBe(false);
      }
    }
  });

  it('lists exactly the topics that may be viewed, in order', () => {
    fc.assert(
      fc.property(
        fc.array(given, { maxLength: 8 }),
        fc.constantFrom('', ...topics),
        (all, from) => {
          const { rights, table } = rightsOf(all);
          const index = new NameIndex();
          for (const topic of topics) index.add(topic);
          const ranges = viewableRanges(rights, alice, table.of(alice));
          const expected = topics
            .filter((topic) => authorize(rights, alice, 'view', parseScope(topic)).allowed)
            .filter((topic) => topic >= from)
            .sort();
          expect([...namesWithin(index, ranges, from)]).toEqual(expected);
        },
      ),
      { numRuns: 2_000 },
    );
  });
});
