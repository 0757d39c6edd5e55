// Decides what a command on grants changes. Pure. Who may command it was asked before.
import { BrokerError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import type { CatalogEvent } from './catalog-events.ts';
import type { CatalogState } from './catalog-state.ts';
import { sortedRoles, type Grant, type Role } from './grant.ts';
import { limitReached } from './limit-reached.ts';
import type { Principal } from './principal.ts';
import { clusterScope, tenantOf, type Scope } from './scope.ts';

export interface GrantChange {
  readonly principal: Principal;
  readonly scope: Scope;
  readonly roles: readonly Role[];
}

export interface GrantPlan {
  /** Empty when there is nothing to do. */
  readonly events: readonly CatalogEvent[];
  /** As it is after the events; undefined: there is none. */
  readonly grant: Grant | undefined;
}

/** Throws ARGUMENT_INVALID, LIMIT_REACHED. */
export function planGrant(state: CatalogState, change: GrantChange, nowMs: number): GrantPlan {
  const { principal, scope } = change;
  if (change.roles.length === 0) throw argumentInvalid('a grant names at least one role');
  if (scope !== clusterScope && change.roles.includes('operate')) {
    throw argumentInvalid('the role operate is granted on "*" only; use administer');
  }
  const before = state.grants.find(principal, scope);
  const roles = sortedRoles([...(before?.roles ?? []), ...change.roles]);
  if (before !== undefined && roles.length === before.roles.length) {
    return { events: [], grant: before };
  }
  if (before === undefined) checkRoom(state, principal, scope);
  const grant: Grant = {
    principal,
    scope,
    roles,
    revision: state.counters.nextRevision,
    createdAtMs: before?.createdAtMs ?? nowMs,
  };
  return { events: [{ kind: 'grant-changed', grant }], grant };
}

/** No roles: all there are. */
export function planRevoke(state: CatalogState, change: GrantChange): GrantPlan {
  const { principal, scope } = change;
  const before = state.grants.find(principal, scope);
  if (before === undefined) return { events: [], grant: undefined };
  const gone = new Set(change.roles.length === 0 ? before.roles : change.roles);
  const roles = before.roles.filter((role) => !gone.has(role));
  if (roles.length === before.roles.length) return { events: [], grant: before };
  if (roles.length === 0) return { events: [grantRemoved(before)], grant: undefined };
  const grant: Grant = { ...before, roles, revision: state.counters.nextRevision };
  return { events: [{ kind: 'grant-changed', grant }], grant };
}

/** For what goes with a deleted tenant: a later one of the same name must not inherit who had rights in it. */
export function planRevokeWithin(state: CatalogState, scope: Scope): readonly CatalogEvent[] {
  return state.grants.within(scope).map(grantRemoved);
}

export function grantRemoved({ principal, scope }: Grant): CatalogEvent {
  return { kind: 'grant-removed', principal, scope };
}

function checkRoom({ grants }: CatalogState, principal: Principal, scope: Scope): void {
  const tenant = tenantOf(scope);
  const advice = 'revoke those that nobody needs, or grant on a wider scope';
  if (grants.count >= limits.grantsMax) throw limitReached('grants', limits.grantsMax, advice);
  if (tenant !== '' && grants.countIn(tenant) >= limits.grantsPerTenantMax) {
    throw limitReached('grants of a tenant', limits.grantsPerTenantMax, advice);
  }
  if (grants.of(principal).length >= limits.grantsPerPrincipalMax) {
    throw limitReached('grants of a principal', limits.grantsPerPrincipalMax, advice);
  }
}

function argumentInvalid(message: string): BrokerError {
  return new BrokerError('ARGUMENT_INVALID', message, { metadata: { field: 'roles' } });
}
