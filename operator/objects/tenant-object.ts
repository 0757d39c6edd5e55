// The custom resource Tenant as the API server gives it: defaults filled in, checked by its schema.
import type { Quota } from '../../client/src/index.ts';
import type { KubeObject, ResourceType } from '../kube/resource.ts';
import type { ConditionedStatus } from './conditions.ts';
import type { PolicySpec } from './policy-spec.ts';

export const tenantType: ResourceType = {
  group: 'millrace.dev',
  version: 'v1alpha1',
  kind: 'Tenant',
  plural: 'tenants',
};

export interface TenantObject extends KubeObject {
  readonly spec: TenantObjectSpec;
  readonly status?: TenantObjectStatus;
}

export type QuotaSpec = { readonly [F in keyof Quota]?: string | number };

export interface ScopeEntry {
  readonly policy?: PolicySpec;
  readonly quota?: QuotaSpec;
}

export type RoleName = 'View' | 'Publish' | 'Consume' | 'Administer';

export interface GrantEntry {
  readonly principal: string;
  /** `*`: the tenant; else `NAMESPACE` or `NAMESPACE/TOPIC` in it. */
  readonly scope: string;
  readonly roles: readonly RoleName[];
}

export interface TenantObjectSpec extends ScopeEntry {
  /** Left out: grants are left alone. */
  readonly grants?: readonly GrantEntry[];
  readonly kubernetesNamespaces?: readonly string[];
  readonly namespaces?: readonly (ScopeEntry & { readonly name: string })[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly deletionPolicy: 'Retain' | 'Delete';
  readonly managementPolicy: 'Full' | 'Observe';
  readonly adopt: boolean;
}

export interface TenantObjectStatus extends ConditionedStatus {
  readonly tenantId?: string;
  readonly topics?: string;
  readonly stored?: string;
}
