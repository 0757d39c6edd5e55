// From the grants that a Tenant object names and those that there are to what is granted and revoked. Pure.
//
// Invariants:
// - An object that names grants names them all: any other in the tenant is taken back. One without them touches none.
// - Nothing outside the tenant is granted or revoked.
import type { Grant, Role } from '../../client/src/index.ts';
import type { GrantEntry, RoleName } from '../objects/tenant-object.ts';

export interface GrantAction {
  readonly kind: 'grant' | 'revoke';
  readonly principal: string;
  readonly scope: string;
  readonly roles: readonly Role[];
}

const roleOf: Readonly<Record<RoleName, Role>> = {
  View: 'view',
  Publish: 'publish',
  Consume: 'consume',
  Administer: 'administer',
};

export function planGrants(
  tenant: string,
  entries: readonly GrantEntry[] | undefined,
  there: readonly Grant[],
): GrantAction[] {
  if (entries === undefined) return [];
  const wanted = entries.map(({ principal, scope, roles }) => ({
    principal,
    scope: scope === '*' ? tenant : `${tenant}/${scope}`,
    roles: roles.map((name) => roleOf[name]),
  }));
  const actions: GrantAction[] = [];
  for (const { principal, scope, roles } of wanted) {
    const has = there.find((one) => one.principal === principal && one.scope === scope);
    const missing = roles.filter((role) => has?.roles.includes(role) !== true);
    if (missing.length > 0) actions.push({ kind: 'grant', principal, scope, roles: missing });
  }
  for (const { principal, scope, roles } of there) {
    const keeps = wanted.find((one) => one.principal === principal && one.scope === scope);
    const extra = roles.filter((role) => keeps?.roles.includes(role) !== true);
    if (extra.length > 0) actions.push({ kind: 'revoke', principal, scope, roles: extra });
  }
  return actions;
}

/** For people. */
export function grantText({ kind, principal, scope, roles }: GrantAction): string {
  return `${kind} ${roles.join(', ')} on ${scope}: ${principal}`;
}
