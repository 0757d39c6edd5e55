// What was granted: roles of one principal on one scope.
import type { Principal } from './principal.ts';
import type { Scope } from './scope.ts';

/** In the order in which they are shown; the place is the bit in the journal. */
export const roleNames = ['view', 'publish', 'consume', 'administer', 'operate'] as const;
export type Role = (typeof roleNames)[number];

export interface Grant {
  readonly principal: Principal;
  readonly scope: Scope;
  /** In the order of `roleNames`, each once, at least one. */
  readonly roles: readonly Role[];
  readonly revision: number;
  /** When the first of its roles was granted. */
  readonly createdAtMs: number;
}

/** In order, each once. */
export function sortedRoles(roles: Iterable<Role>): readonly Role[] {
  const given = new Set(roles);
  return roleNames.filter((role) => given.has(role));
}
