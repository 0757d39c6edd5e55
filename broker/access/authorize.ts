// Whether a principal may do something on a scope. Pure, and the only place that knows what a role allows.
//
// Invariants:
// - Denied unless a grant of the principal on the scope, or on one around it, has a role that allows it, or the
//   settings name the principal as an operator. There are no denials, so no order of grants can be wrong.
// - `operate` follows from the role `operate` on `*` only.
import { roleNames, type Grant, type Role } from '../catalog/grant.ts';
import { everyName, type NameRange } from '../catalog/name-ranges.ts';
import type { Principal } from '../catalog/principal.ts';
import { clusterScope, enclosingScopes, type Scope } from '../catalog/scope.ts';

/** What a call needs. */
export const permissionNames = roleNames;
export type Permission = Role;

/** What was granted, and who needs no grant. */
export interface Rights {
  /** On exactly this scope. */
  rolesOf(principal: Principal, scope: Scope): readonly Role[];
  isOperator(principal: Principal): boolean;
}

export type Decision =
  | { readonly allowed: true; readonly why: string }
  | { readonly allowed: false; readonly why: string };

/** The roles that allow each permission. */
const rolesFor: Readonly<Record<Permission, readonly Role[]>> = {
  view: ['view', 'publish', 'consume', 'administer', 'operate'],
  publish: ['publish', 'administer', 'operate'],
  consume: ['consume', 'administer', 'operate'],
  administer: ['administer', 'operate'],
  operate: ['operate'],
};

export function authorize(
  rights: Rights,
  principal: Principal,
  permission: Permission,
  scope: Scope,
): Decision {
  if (rights.isOperator(principal)) {
    return { allowed: true, why: 'it is an operator by the settings of the broker' };
  }
  const enough = rolesFor[permission];
  for (const place of enclosingScopes(scope)) {
    for (const role of rights.rolesOf(principal, place)) {
      if (role === 'operate' && place !== clusterScope) continue;
      if (enough.includes(role)) return { allowed: true, why: `it has ${role} on ${place}` };
    }
  }
  return {
    allowed: false,
    why: `it has none of ${enough.join(', ')} on ${enclosingScopes(scope).join(', ')}`,
  };
}

/** Every topic that the principal may view, as ranges in the order of names, none twice. */
export function viewableRanges(
  rights: Rights,
  principal: Principal,
  grants: readonly Grant[],
): readonly NameRange[] {
  if (rights.isOperator(principal)) return [everyName];
  const ranges = grants
    .filter(({ scope }) => authorize(rights, principal, 'view', scope).allowed)
    .map(({ scope }) => rangeOf(scope))
    .sort((a, b) => (a.prefix < b.prefix ? -1 : a.prefix > b.prefix ? 1 : 0));
  const apart: NameRange[] = [];
  for (const range of ranges) {
    const last = apart.at(-1);
    const isCovered = last !== undefined && !last.isExact && range.prefix.startsWith(last.prefix);
    if (!isCovered) apart.push(range);
  }
  return apart;
}

function rangeOf(scope: Scope): NameRange {
  if (scope === clusterScope) return everyName;
  const isExact = scope.split('/').length === 3;
  return { prefix: isExact ? scope : `${scope}/`, isExact };
}
