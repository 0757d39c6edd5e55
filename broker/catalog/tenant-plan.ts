// Decides what a command on a tenant changes. Pure: reads the state, answers events, applies nothing.
import { BrokerError } from '../core/errors.ts';
import { tenantId } from '../core/ids.ts';
import { limits } from '../core/limits.ts';
import { quoted } from '../core/quoted.ts';
import type { CatalogEvent } from './catalog-events.ts';
import type { CatalogState } from './catalog-state.ts';
import { planRevokeWithin } from './grant-plan.ts';
import { limitReached, takeId } from './limit-reached.ts';
import type { TenantName } from './names.ts';
import { checkRevision } from './revision.ts';
import { parseScope } from './scope.ts';
import {
  describeTenantSpec,
  patchTenantSpec,
  publicTenant,
  tenantSpecChanges,
  tenantSpecDefault,
  type Tenant,
  type TenantSpec,
  type TenantSpecPatch,
} from './tenant.ts';
import { planRevokeTokensOf } from './token-plan.ts';

export interface ApplyTenant {
  readonly name: TenantName;
  readonly spec: TenantSpecPatch;
  /** As in tenant.proto: empty for any, `0` for "must not exist yet". */
  readonly revision?: string | undefined;
  readonly dryRun?: boolean | undefined;
}

export interface TenantPlan {
  /** Empty when there is nothing to do, and in a dry run. */
  readonly events: readonly CatalogEvent[];
  /** One line per change, for people; also in a dry run. */
  readonly changes: readonly string[];
  readonly created: boolean;
  /** As it is after the events. Id and revision of a dry run are not given yet: do not show them. */
  readonly tenant: Tenant;
}

/** Throws REVISION_MISMATCH, SPEC_INVALID, ARGUMENT_INVALID, LIMIT_REACHED. */
export function planApplyTenant(
  state: CatalogState,
  request: ApplyTenant,
  nowMs: number,
): TenantPlan {
  const existing = state.tenants.named(request.name);
  checkRevision(`tenant ${quoted(request.name)}`, request.revision, existing?.revision);
  const spec = patchTenantSpec(existing?.spec ?? tenantSpecDefault, request.spec);
  checkNamespaceCount(spec);
  const plan =
    existing === undefined
      ? planCreate(state, request.name, spec, nowMs)
      : planChange(state, existing, spec);
  return request.dryRun === true ? { ...plan, events: [] } : plan;
}

/**
 * `id`: only this incarnation; empty or undefined for whichever is there.
 * Throws TENANT_NOT_FOUND, TENANT_ID_MISMATCH, TENANT_NOT_EMPTY, ARGUMENT_INVALID.
 */
export function planDeleteTenant(
  state: CatalogState,
  name: TenantName,
  id?: string,
): { readonly events: readonly CatalogEvent[]; readonly tenant: Tenant } {
  const tenant = state.tenants.require(name);
  if (id !== undefined && id !== '' && id !== String(tenant.id)) {
    throw new BrokerError(
      'TENANT_ID_MISMATCH',
      `tenant ${quoted(name)} has id ${tenant.id}, not ${quoted(id)}: it was deleted and created again; nothing was ` +
        'deleted now',
      { metadata: { tenant_id: String(tenant.id) } },
    );
  }
  if (tenant.id === publicTenant.id) {
    throw new BrokerError('ARGUMENT_INVALID', `tenant ${quoted(name)} is always there`, {
      metadata: { field: 'name', value: name },
    });
  }
  const { topics } = state.amountsOf(name);
  if (topics > 0) {
    throw new BrokerError(
      'TENANT_NOT_EMPTY',
      `tenant ${quoted(name)} has ${topics} topics; delete them first: millrace topic list ${name}/`,
      { metadata: { tenant: name, topics: String(topics) } },
    );
  }
  // A later tenant of the same name begins with nobody's rights.
  const scope = parseScope(name);
  const rights = [...planRevokeTokensOf(state, scope), ...planRevokeWithin(state, scope)];
  return { events: [...rights, { kind: 'tenant-deleted', id: tenant.id }], tenant };
}

function planCreate(
  state: CatalogState,
  name: TenantName,
  spec: TenantSpec,
  nowMs: number,
): TenantPlan {
  if (state.tenants.count >= limits.tenantsMax) {
    throw limitReached('tenants', limits.tenantsMax, 'delete tenants that are no longer needed');
  }
  const tenant: Tenant = {
    id: tenantId(takeId(state.counters.nextTenantId, 1)),
    name,
    spec,
    revision: state.counters.nextRevision,
    createdAtMs: nowMs,
  };
  const said = describeTenantSpec(spec);
  return {
    events: [{ kind: 'tenant-created', tenant }],
    changes: [said === '' ? `create tenant ${name}` : `create tenant ${name}: ${said}`],
    created: true,
    tenant,
  };
}

function planChange(state: CatalogState, existing: Tenant, spec: TenantSpec): TenantPlan {
  const changes = tenantSpecChanges(existing.spec, spec);
  if (changes.length === 0) return { events: [], changes, created: false, tenant: existing };
  const tenant: Tenant = { ...existing, spec, revision: state.counters.nextRevision };
  return { events: [{ kind: 'tenant-changed', tenant }], changes, created: false, tenant };
}

function checkNamespaceCount({ namespaces }: TenantSpec): void {
  if (namespaces.size <= limits.namespacesPerTenantMax) return;
  throw limitReached(
    'namespaces of a tenant that say something of their own',
    limits.namespacesPerTenantMax,
    'unset some, or say it once at the tenant',
  );
}
