// TenantService: between the API's messages and the broker's administration.
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import { parseNamespaceName, type NamespaceName } from '../catalog/names.ts';
import { policyFieldsNamed } from '../catalog/policy.ts';
import type { NamespacePatch, ScopeSpec, Tenant, TenantSpecPatch } from '../catalog/tenant.ts';
import type { Usage } from '../cluster/tenant-usage.ts';
import type { Broker } from '../cluster/broker.ts';
import { BrokerError } from '../core/errors.ts';
import {
  TenantService,
  type TenantSpec,
  type UsageSchema,
} from '../../proto/gen/millrace/v1/tenant_pb.ts';
import { policyFromProto, policyToProto, quotaFromProto, quotaToProto } from './policy-convert.ts';
import { unary } from './unary.ts';

const { applyTenant, getTenant, listTenants, deleteTenant } = TenantService.method;

export function tenantService({ tenants }: Broker): UntypedServiceImplementation {
  return {
    applyTenant: unary(applyTenant, async ({ name, spec, inherit, revision, dryRun }) => {
      const patch = patchFromProto(spec, inherit);
      const { tenant, changes, created } = await tenants.apply({ name, patch, revision, dryRun });
      return { tenant: tenantToProto(tenant), changes: [...changes], created };
    }),
    getTenant: unary(getTenant, ({ name }) => {
      const tenant = tenants.get(name);
      const namespaces = [...tenant.spec.namespaces.keys()].map((namespace) => ({
        name: namespace,
        usage: usageToProto(tenants.usageOf(`${tenant.name}/${namespace}`)),
      }));
      const usage = { total: usageToProto(tenants.usageOf(tenant.name)), namespaces };
      return { tenant: { ...tenantToProto(tenant), usage } };
    }),
    listTenants: unary(listTenants, ({ pageSize, pageToken }) => {
      const page = tenants.list({ pageSize, pageToken });
      return { tenants: page.items.map(summaryToProto), nextPageToken: page.nextPageToken };
    }),
    deleteTenant: unary(deleteTenant, async ({ name, tenantId }) => {
      await tenants.delete(name, tenantId);
      return {};
    }),
  };
}

/** Throws ARGUMENT_INVALID, NAME_INVALID. */
function patchFromProto(spec: TenantSpec | undefined, inherit: readonly string[]): TenantSpecPatch {
  const namespaces = new Map<NamespaceName, NamespacePatch>();
  for (const { name, policy, quota } of spec?.namespaces ?? []) {
    const parsed = parseNamespaceName(name);
    if (namespaces.has(parsed)) {
      throw new BrokerError('ARGUMENT_INVALID', `namespace ${parsed} is in the request twice`, {
        metadata: { field: 'spec.namespaces', value: parsed },
      });
    }
    namespaces.set(parsed, scopeFromProto({ policy, quota }));
  }
  const ownFields: string[] = [];
  for (const path of inherit) {
    const [first = '', field] = path.split('/', 2);
    if (field === undefined) ownFields.push(first);
    else inheritInNamespace(namespaces, parseNamespaceName(first), field);
  }
  return {
    ...scopeFromProto(spec ?? {}),
    inherit: policyFieldsNamed(ownFields),
    namespaces,
    labels: new Map(Object.entries(spec?.labels ?? {})),
  };
}

function inheritInNamespace(
  namespaces: Map<NamespaceName, NamespacePatch>,
  name: NamespaceName,
  field: string,
): void {
  const patch = namespaces.get(name) ?? {};
  if (field !== '*') {
    const fields = policyFieldsNamed([field]);
    namespaces.set(name, { ...patch, inherit: [...(patch.inherit ?? []), ...fields] });
    return;
  }
  if (patch.policy !== undefined || patch.quota !== undefined) {
    throw new BrokerError(
      'ARGUMENT_INVALID',
      `namespace ${name} is set and named in inherit as a whole; do one of both`,
      { metadata: { field: 'inherit', value: `${name}/*` } },
    );
  }
  namespaces.set(name, { ...patch, remove: true });
}

function scopeFromProto({ policy, quota }: Pick<Partial<TenantSpec>, 'policy' | 'quota'>) {
  return {
    policy: policy === undefined ? undefined : policyFromProto(policy),
    quota: quota === undefined ? undefined : quotaFromProto(quota),
  };
}

function tenantToProto(tenant: Tenant) {
  const namespaces = [...tenant.spec.namespaces].map(([name, scope]) => ({
    name,
    ...scopeToProto(scope),
  }));
  const summary = summaryToProto(tenant);
  return { ...summary, spec: { ...summary.spec, namespaces } };
}

function summaryToProto(tenant: Tenant) {
  return {
    name: tenant.name,
    tenantId: String(tenant.id),
    revision: String(tenant.revision),
    createdAtMs: BigInt(tenant.createdAtMs),
    spec: { ...scopeToProto(tenant.spec), labels: Object.fromEntries(tenant.spec.labels) },
  };
}

function usageToProto(usage: Usage): MessageInitShape<typeof UsageSchema> {
  return {
    topics: BigInt(usage.topics),
    partitions: BigInt(usage.partitions),
    subscriptions: BigInt(usage.subscriptions),
    storedBytes: BigInt(usage.storedBytes),
    connections: BigInt(usage.connections),
    publishBytesPerSecond: BigInt(usage.publishBytesPerSecond),
    publishRecordsPerSecond: BigInt(usage.publishRecordsPerSecond),
    deliveryBytesPerSecond: BigInt(usage.deliveryBytesPerSecond),
    adminCallsPerSecond: BigInt(usage.adminCallsPerSecond),
    heldBackTotal: BigInt(usage.heldBackTotal),
    refusedTotal: BigInt(usage.refusedTotal),
  };
}

function scopeToProto({ policy, quota }: ScopeSpec) {
  return { policy: policyToProto(policy), quota: quotaToProto(quota) };
}
