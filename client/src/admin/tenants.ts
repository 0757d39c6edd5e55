// Administration of tenants, as plain values.
import {
  TenantService,
  type Quota as QuotaMessage,
  type Tenant as TenantMessage,
  type TenantSpec as SpecMessage,
  type Usage as UsageMessage,
} from '../../../proto/gen/millrace/v1/tenant_pb.ts';
import { amount } from '../checked-number.ts';
import type { Connection } from '../connection.ts';
import {
  inheritToProto,
  policyToProto,
  saidPolicy,
  type Policy,
  type PolicyField,
} from './policies.ts';
import { present, type ApplyOptions } from './topics.ts';

/**
 * 0: no limit. Rates hold per broker, amounts over all. Over a rate, publishers, consumers and readers are held back;
 * over an amount, what would add to it fails with QUOTA_EXCEEDED.
 */
export interface Quota {
  readonly publishBytesPerSecond: number;
  readonly publishRecordsPerSecond: number;
  readonly deliveryBytesPerSecond: number;
  readonly storedBytes: number;
  readonly topics: number;
  readonly partitions: number;
  readonly subscriptions: number;
  readonly connections: number;
  /** Unary calls that neither publish nor consume, per broker. */
  readonly adminCallsPerSecond: number;
}

/** What is said of a tenant or of a namespace. */
export interface Scope {
  /** What its topics get that say nothing else. */
  readonly policy: Partial<Policy>;
  readonly quota: Quota;
}

export interface Namespace extends Scope {
  readonly name: string;
}

/** What is left out stays as it is. */
export interface ScopePatch {
  readonly policy?: Partial<Policy>;
  readonly quota?: Partial<Quota>;
  /** Policy fields that it no longer says, so that they are inherited. */
  readonly inherit?: readonly PolicyField[];
}

export interface NamespacePatch extends ScopePatch {
  /** Take back all that is said of it, also its quota. Nothing else may be given then. */
  readonly unset?: boolean;
}

export interface TenantPatch extends ScopePatch {
  /** Those that are to be changed, by name. */
  readonly namespaces?: Readonly<Record<string, NamespacePatch>>;
  /** Those that are to be changed; an empty text takes one away. */
  readonly labels?: Readonly<Record<string, string>>;
}

/** A tenant as lists have it. */
export interface TenantSummary extends Scope {
  readonly name: string;
  readonly tenantId: string;
  /** For `apply` with `revision`: refused when the tenant has changed since. */
  readonly revision: string;
  /** 0 for `public`. */
  readonly createdAtMs: number;
  /** As those of a topic. */
  readonly labels: Readonly<Record<string, string>>;
}

export interface Tenant extends TenantSummary {
  /** Those of which something is said, by name. */
  readonly namespaces: readonly Namespace[];
}

export interface DescribedTenant extends Tenant {
  readonly usage: Usage;
  readonly namespaceUsage: readonly NamespaceUsage[];
}

export interface Usage {
  readonly topics: number;
  readonly partitions: number;
  readonly subscriptions: number;
  readonly storedBytes: number;
  readonly connections: number;
  /** Over the last few seconds, on the broker that answers. */
  readonly publishBytesPerSecond: number;
  readonly publishRecordsPerSecond: number;
  readonly deliveryBytesPerSecond: number;
  readonly adminCallsPerSecond: number;
  /** Times that a quota held back a stream or refused a call, since that broker's start. */
  readonly heldBackTotal: number;
  readonly refusedTotal: number;
}

export interface NamespaceUsage extends Usage {
  readonly name: string;
}

export type ApplyTenantOptions = ApplyOptions;

export interface AppliedTenant {
  readonly tenant: Tenant;
  /** One line per change, for people; empty: nothing to do. */
  readonly changes: readonly string[];
  readonly created: boolean;
}

const { applyTenant, getTenant, listTenants, deleteTenant } = TenantService.method;

export class Tenants {
  private readonly connection: Connection;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  /**
   * Creates the tenant or changes it. Safe to repeat.
   *
   * ```ts
   * await client.tenants.apply('acme', {
   *   quota: { topics: 100, publishBytesPerSecond: 10_000_000 },
   *   namespaces: { audit: { policy: { timeToLiveMs: 60_000 } } },
   * });
   * ```
   */
  async apply(
    name: string,
    patch: TenantPatch = {},
    options: ApplyTenantOptions = {},
  ): Promise<AppliedTenant> {
    const { revision = '', dryRun = false } = options;
    const namespaces = Object.entries(patch.namespaces ?? {});
    const answer = await this.connection.unary(applyTenant, {
      name,
      revision,
      dryRun,
      spec: {
        ...scopeToProto(patch),
        labels: { ...patch.labels },
        namespaces: namespaces
          .filter(([, { unset }]) => unset !== true)
          .map(([namespace, one]) => ({ name: namespace, ...scopeToProto(one) })),
      },
      inherit: [
        ...inheritToProto(patch.inherit),
        ...namespaces.flatMap(([namespace, { inherit, unset }]) =>
          (unset === true ? ['*'] : inheritToProto(inherit)).map(
            (field) => `${namespace}/${field}`,
          ),
        ),
      ],
    });
    const { changes, created } = answer;
    return { tenant: tenantFromProto(present(answer.tenant)), changes, created };
  }

  async get(name: string): Promise<DescribedTenant> {
    const tenant = present((await this.connection.unary(getTenant, { name })).tenant);
    return {
      ...tenantFromProto(tenant),
      usage: usageFromProto(tenant.usage?.total),
      namespaceUsage: (tenant.usage?.namespaces ?? []).map((one) => ({
        name: one.name,
        ...usageFromProto(one.usage),
      })),
    };
  }

  /** In the order of names, page by page; without namespaces and usage. */
  async *list(): AsyncGenerator<TenantSummary> {
    for (let pageToken = ''; ;) {
      const page = await this.connection.unary(listTenants, { pageToken });
      for (const tenant of page.tenants) yield summaryFromProto(tenant);
      pageToken = page.nextPageToken;
      if (pageToken === '') return;
    }
  }

  /** It must have no topics. */
  async delete(name: string, options: { readonly tenantId?: string } = {}): Promise<void> {
    await this.connection.unary(deleteTenant, { name, tenantId: options.tenantId ?? '' });
  }
}

function scopeToProto({ policy, quota }: ScopePatch) {
  return {
    ...(policy === undefined ? {} : { policy: policyToProto(policy) }),
    ...(quota === undefined ? {} : { quota: quotaToProto(quota) }),
  };
}

function quotaToProto(quota: Partial<Quota>): Partial<Record<keyof Quota, bigint>> {
  const message: Partial<Record<keyof Quota, bigint>> = {};
  for (const [field, value] of Object.entries(quota)) {
    message[field as keyof Quota] = amount(`quota.${field}`, value);
  }
  return message;
}

function tenantFromProto(tenant: TenantMessage): Tenant {
  return {
    ...summaryFromProto(tenant),
    namespaces: (tenant.spec?.namespaces ?? []).map((one) => ({
      name: one.name,
      ...scopeFromProto(one),
    })),
  };
}

function summaryFromProto(tenant: TenantMessage): TenantSummary {
  const { name, tenantId, revision, createdAtMs, spec } = tenant;
  return {
    name,
    tenantId,
    revision,
    createdAtMs: Number(createdAtMs),
    labels: { ...spec?.labels },
    ...scopeFromProto(spec),
  };
}

function scopeFromProto(scope: Pick<SpecMessage, 'policy' | 'quota'> | undefined): Scope {
  return { policy: saidPolicy(scope?.policy), quota: quotaFromProto(scope?.quota) };
}

function quotaFromProto(quota: QuotaMessage | undefined): Quota {
  return {
    publishBytesPerSecond: Number(quota?.publishBytesPerSecond ?? 0),
    publishRecordsPerSecond: Number(quota?.publishRecordsPerSecond ?? 0),
    deliveryBytesPerSecond: Number(quota?.deliveryBytesPerSecond ?? 0),
    storedBytes: Number(quota?.storedBytes ?? 0),
    topics: Number(quota?.topics ?? 0),
    partitions: Number(quota?.partitions ?? 0),
    subscriptions: Number(quota?.subscriptions ?? 0),
    connections: Number(quota?.connections ?? 0),
    adminCallsPerSecond: Number(quota?.adminCallsPerSecond ?? 0),
  };
}

function usageFromProto(usage: UsageMessage | undefined): Usage {
  return {
    topics: Number(usage?.topics ?? 0),
    partitions: Number(usage?.partitions ?? 0),
    subscriptions: Number(usage?.subscriptions ?? 0),
    storedBytes: Number(usage?.storedBytes ?? 0),
    connections: Number(usage?.connections ?? 0),
    publishBytesPerSecond: Number(usage?.publishBytesPerSecond ?? 0),
    publishRecordsPerSecond: Number(usage?.publishRecordsPerSecond ?? 0),
    deliveryBytesPerSecond: Number(usage?.deliveryBytesPerSecond ?? 0),
    adminCallsPerSecond: Number(usage?.adminCallsPerSecond ?? 0),
    heldBackTotal: Number(usage?.heldBackTotal ?? 0),
    refusedTotal: Number(usage?.refusedTotal ?? 0),
  };
}
