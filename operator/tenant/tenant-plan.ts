// From a Tenant object and the tenant at the broker to what has to be applied. Pure.
//
// Invariants: as of topic-plan.ts.
import type {
  Grant,
  NamespacePatch,
  Quota,
  Scope,
  ScopePatch,
  Tenant,
  TenantPatch,
} from '../../client/src/index.ts';
import { sizeBytes } from '../objects/amounts.ts';
import {
  claimOf,
  isOwnedBy,
  labelDifference,
  noOwnerLabels,
  ownerLabels,
  type Claim,
} from '../objects/ownership.ts';
import { policyDifference, policyOf } from '../objects/policy-spec.ts';
import type { QuotaSpec, ScopeEntry, TenantObject } from '../objects/tenant-object.ts';
import { grantText, planGrants, type GrantAction } from './grants-plan.ts';

export interface ObservedTenant {
  /** Undefined: there is none. */
  readonly tenant: Tenant | undefined;
  /** In the tenant; empty too when the object names none. */
  readonly grants: readonly Grant[];
}

export interface TenantAction {
  readonly kind: 'apply';
  readonly patch: TenantPatch;
  /** `0`: it must not exist yet. */
  readonly revision: string;
}

export type TenantPlan =
  | { readonly kind: 'act'; readonly actions: readonly (TenantAction | GrantAction)[] }
  | Extract<Claim, { kind: 'refused' }>
  | {
      readonly kind: 'refused';
      readonly reason: 'TenantNotFound' | 'Differs';
      readonly message: string;
    };

export function planTenant(object: TenantObject, observed: ObservedTenant): TenantPlan {
  if (object.spec.managementPolicy === 'Observe') return planObserved(object, observed);
  const { tenant } = observed;
  const { adopt } = object.spec;
  const claim = claimOf({ object, adopt, givingWay: new Set() }, tenant?.labels);
  if (claim.kind === 'refused') return claim;
  return { kind: 'act', actions: actionsFor(object, observed, ownerLabels(object)) };
}

/** What takes the label of the object off; undefined: it has none. */
export function planTenantRelease(
  object: TenantObject,
  tenant: Tenant | undefined,
): TenantAction | undefined {
  if (tenant === undefined || !isOwnedBy(tenant.labels, object)) return undefined;
  return { kind: 'apply', patch: { labels: noOwnerLabels }, revision: tenant.revision };
}

function planObserved(object: TenantObject, observed: ObservedTenant): TenantPlan {
  const { tenant } = observed;
  if (tenant === undefined) {
    const message = 'there is no such tenant to observe';
    return { kind: 'refused', reason: 'TenantNotFound', message };
  }
  const release = planTenantRelease(object, tenant);
  if (release !== undefined) return { kind: 'act', actions: [release] };
  const owner = Object.entries(tenant.labels).filter(([name]) => name in noOwnerLabels);
  const actions = actionsFor(object, observed, Object.fromEntries(owner));
  if (actions.length === 0) return { kind: 'act', actions };
  const fields = actions.map((action) =>
    action.kind === 'apply' ? Object.keys(action.patch).join(', ') : grantText(action),
  );
  const message = `it differs, and managementPolicy is Observe: ${fields.join('; ')}`;
  return { kind: 'refused', reason: 'Differs', message };
}

function actionsFor(
  { spec, metadata }: TenantObject,
  { tenant, grants }: ObservedTenant,
  ownerLabelsWanted: Readonly<Record<string, string>>,
): (TenantAction | GrantAction)[] {
  const labels = labelDifference({ ...spec.labels, ...ownerLabelsWanted }, tenant?.labels ?? {});
  const namespaces = namespacesPatch(spec.namespaces ?? [], tenant?.namespaces ?? []);
  const patch: TenantPatch = {
    ...scopePatch(spec, tenant),
    ...(Object.keys(namespaces).length > 0 && { namespaces }),
    ...(Object.keys(labels).length > 0 && { labels }),
  };
  const isSame = tenant !== undefined && Object.keys(patch).length === 0;
  const revision = tenant?.revision ?? '0';
  return [
    ...(isSame ? [] : [{ kind: 'apply', patch, revision } as const]),
    ...planGrants(metadata.name, spec.grants, grants),
  ];
}

function namespacesPatch(
  entries: readonly (ScopeEntry & { readonly name: string })[],
  there: readonly (Scope & { readonly name: string })[],
): Record<string, NamespacePatch> {
  const patches: Record<string, NamespacePatch> = {};
  for (const entry of entries) {
    const patch = scopePatch(
      entry,
      there.find(({ name }) => name === entry.name),
    );
    if (Object.keys(patch).length > 0) patches[entry.name] = patch;
  }
  for (const { name } of there) {
    if (!entries.some((entry) => entry.name === name)) patches[name] = { unset: true };
  }
  return patches;
}

/** Empty: nothing differs. */
function scopePatch({ policy = {}, quota = {} }: ScopeEntry, there: Scope | undefined): ScopePatch {
  const difference = policyDifference(policyOf(policy), there?.policy ?? {});
  const limits = quotaDifference(quota, there?.quota);
  return {
    ...(Object.keys(difference.patch).length > 0 && { policy: difference.patch }),
    ...(difference.inherit.length > 0 && { inherit: difference.inherit }),
    ...(Object.keys(limits).length > 0 && { quota: limits }),
  };
}

const quotaFields = [
  'publishBytesPerSecond',
  'publishRecordsPerSecond',
  'deliveryBytesPerSecond',
  'storedBytes',
  'topics',
  'partitions',
  'subscriptions',
  'connections',
  'adminCallsPerSecond',
] as const satisfies readonly (keyof Quota)[];

function quotaDifference(spec: QuotaSpec, there: Quota | undefined): Partial<Quota> {
  const patch: { -readonly [F in keyof Quota]?: number } = {};
  for (const field of quotaFields) {
    const wanted = sizeBytes(spec[field] ?? 0);
    if (wanted !== (there?.[field] ?? 0)) patch[field] = wanted;
  }
  return patch;
}
