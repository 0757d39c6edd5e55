// A tenant as the catalog knows it: identity, and what it and its namespaces say.
//
// Invariants:
// - Ids are never reused: a tenant that is deleted and made again is another one, with other objects in the store.
// - A namespace needs no entry; one that would say nothing has none.
import { tenantId, type TenantId } from '../core/ids.ts';
import { labelSpecFields, noLabels, patchLabels, type Labels } from './labels.ts';
import { defaultTenant, type NamespaceName, type TenantName } from './names.ts';
import {
  inherited,
  patchPolicy,
  policySpecFields,
  saysNothing,
  type PolicyField,
  type PolicyPatch,
  type SaidPolicy,
} from './policy.ts';
import {
  limitsNothing,
  noQuota,
  patchQuota,
  quotaSpecFields,
  type Quota,
  type QuotaPatch,
} from './quota.ts';
import { fieldChanges, type SpecFields } from './spec-fields.ts';

/** What is said at one level: of a tenant or of a namespace. */
export interface ScopeSpec {
  readonly policy: SaidPolicy;
  readonly quota: Quota;
}

export interface TenantSpec extends ScopeSpec {
  readonly namespaces: ReadonlyMap<NamespaceName, ScopeSpec>;
  readonly labels: Labels;
}

export interface Tenant {
  readonly id: TenantId;
  readonly name: TenantName;
  readonly spec: TenantSpec;
  /** Number of the catalog's change that made this version; rises over all objects and incarnations. */
  readonly revision: number;
  readonly createdAtMs: number;
}

/** What a caller wants changed at one level. */
export interface ScopePatch {
  readonly policy?: PolicyPatch | undefined;
  readonly quota?: QuotaPatch | undefined;
  /** Policy fields to inherit again. */
  readonly inherit?: readonly PolicyField[] | undefined;
}

export interface NamespacePatch extends ScopePatch {
  /** The entry goes with all it says; nothing else may be in the patch. */
  readonly remove?: boolean | undefined;
}

export interface TenantSpecPatch extends ScopePatch {
  readonly namespaces?: ReadonlyMap<NamespaceName, NamespacePatch> | undefined;
  /** Those that are to be changed; an empty text takes one away. */
  readonly labels?: Labels | undefined;
}

export const tenantSpecDefault: TenantSpec = {
  policy: {},
  quota: noQuota,
  namespaces: new Map(),
  labels: noLabels,
};

/** There from the first start, and never deleted. */
export const publicTenant: Tenant = {
  id: tenantId(1),
  name: defaultTenant,
  spec: tenantSpecDefault,
  revision: 1,
  createdAtMs: 0,
};

/** The spec with the patch in it. Throws SPEC_INVALID, ARGUMENT_INVALID. */
export function patchTenantSpec(spec: TenantSpec, patch: TenantSpecPatch): TenantSpec {
  const namespaces = new Map(spec.namespaces);
  for (const [name, change] of patch.namespaces ?? []) {
    const patched = patchScope(namespaces.get(name) ?? tenantSpecDefault, change);
    if (change.remove === true || isEmpty(patched)) namespaces.delete(name);
    else namespaces.set(name, patched);
  }
  const ordered = new Map([...namespaces].sort(([a], [b]) => (a < b ? -1 : 1)));
  const labels = patchLabels(spec.labels, patch.labels);
  return { ...patchScope(spec, patch), namespaces: ordered, labels };
}

/** One line per field that differs, with the names of the API; fields of a namespace after its name. */
export function tenantSpecChanges(before: TenantSpec, after: TenantSpec): string[] {
  const labels = new Set([...before.labels.keys(), ...after.labels.keys()]);
  const lines = fieldChanges(tenantFields(before, labels), tenantFields(after, labels));
  for (const name of new Set([...before.namespaces.keys(), ...after.namespaces.keys()])) {
    const was = before.namespaces.get(name) ?? tenantSpecDefault;
    const is = after.namespaces.get(name) ?? tenantSpecDefault;
    const changes = fieldChanges(scopeFields(was), scopeFields(is));
    lines.push(...changes.map((line) => `${name}/${line}`));
  }
  return lines;
}

/** What it says, for people; empty when it says nothing. */
export function describeTenantSpec(spec: TenantSpec): string {
  const said = (fields: SpecFields): string[] =>
    Object.entries(fields)
      .filter(([, value]) => value !== inherited && value !== 0)
      .map(([field, value]) => `${field} ${String(value)}`);
  const namespaces = [...spec.namespaces].flatMap(([name, scope]) =>
    said(scopeFields(scope)).map((line) => `${name}/${line}`),
  );
  return [...said(tenantFields(spec)), ...namespaces].join(', ');
}

function patchScope(scope: ScopeSpec, patch: ScopePatch): ScopeSpec {
  return {
    policy: patchPolicy(scope.policy, patch.policy ?? {}, patch.inherit),
    quota: patchQuota(scope.quota, patch.quota ?? {}),
  };
}

function isEmpty({ policy, quota }: ScopeSpec): boolean {
  return saysNothing(policy) && limitsNothing(quota);
}

function tenantFields(spec: TenantSpec, labels?: Iterable<string>): SpecFields {
  return { ...scopeFields(spec), ...labelSpecFields(spec.labels, labels) };
}

function scopeFields({ policy, quota }: ScopeSpec): SpecFields {
  return { ...policySpecFields(policy), ...quotaSpecFields(quota) };
}
