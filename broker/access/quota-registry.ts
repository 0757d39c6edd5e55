// The quotas of all tenants and namespaces that have topics, and what each uses.
//
// Invariants:
// - One ScopeQuota per scope, whatever opens its topics: a limit is shared by all in the scope and by nobody else.
// - A scope without topics, connections and recent calls is forgotten, so there are about two per topic.
import type { NamespaceName, TopicName } from '../catalog/names.ts';
import { noQuota, type Quota } from '../catalog/quota.ts';
import type { Tenant } from '../catalog/tenant.ts';
import type { Clock } from '../core/clock.ts';
import { ScopeQuota, type Traffic } from './quota-state.ts';
import { refused, TopicQuota } from './topic-quota.ts';

/** What a tenant or namespace uses on this broker. */
export interface ScopeUsage {
  readonly storedBytes: number;
  readonly connections: number;
  readonly publishBytesPerSecond: number;
  readonly publishRecordsPerSecond: number;
  readonly deliveryBytesPerSecond: number;
  readonly adminCallsPerSecond: number;
  readonly heldBackTotal: number;
  readonly refusedTotal: number;
  readonly traffic: Traffic;
}

const noTraffic: Traffic = {
  publishBytes: 0,
  publishRecords: 0,
  deliveryBytes: 0,
  adminCalls: 0,
};
const noUsage: ScopeUsage = {
  storedBytes: 0,
  connections: 0,
  publishBytesPerSecond: 0,
  publishRecordsPerSecond: 0,
  deliveryBytesPerSecond: 0,
  adminCallsPerSecond: 0,
  heldBackTotal: 0,
  refusedTotal: 0,
  traffic: noTraffic,
};

interface Entry {
  readonly quota: ScopeQuota;
  /** At the last look, for rates. */
  seen: Traffic;
  perSecond: Traffic;
  /** Counted as stored when the look that is under way began. */
  storedAtLook: number;
}

/** A scope, and what its tenant's spec says of it. */
type ScopeLimit = readonly [scope: string, quota: Quota];

export class QuotaRegistry {
  private readonly clock: Clock;
  private readonly entries = new Map<string, Entry>();
  private seenAtMs: number;

  constructor(clock: Clock) {
    this.clock = clock;
    this.seenAtMs = clock.monotonicMs();
  }

  nowMs(): number {
    return this.clock.monotonicMs();
  }

  get scopeCount(): number {
    return this.entries.size;
  }

  /** The quotas of a topic of the tenant. */
  ofTopic({ namespace }: TopicName, tenant: Tenant): TopicQuota {
    const [whole, part] = [limitOfTenant(tenant), limitOfNamespace(tenant, namespace)];
    return new TopicQuota(this.entry(...whole).quota, this.entry(...part).quota);
  }

  /**
   * A call on what is in the tenant, or in that namespace of it. Throws QUOTA_EXCEEDED. Where nothing limits calls they
   * are counted only if the scope is known for something else.
   */
  admitCall(tenant: Tenant, namespace: NamespaceName | undefined): void {
    const nowMs = this.nowMs();
    const limits = [limitOfTenant(tenant)];
    if (namespace !== undefined) limits.push(limitOfNamespace(tenant, namespace));
    const scopes = limits
      .filter(([scope, quota]) => quota.adminCallsPerSecond > 0 || this.entries.has(scope))
      .map(([scope, quota]) => this.entry(scope, quota).quota);
    for (const scope of scopes) {
      const hold = scope.callHold(nowMs);
      if (hold === undefined) continue;
      throw refused(scope, hold.quota, scope.quota.adminCallsPerSecond, hold.waitMs);
    }
    for (const scope of scopes) scope.called(nowMs);
  }

  /** What the tenant's spec says now holds at once. */
  change({ name, spec }: Tenant): void {
    const nowMs = this.nowMs();
    const byScope = new Map(
      [...spec.namespaces].map(([one, { quota }]) => [`${name}/${one}`, quota]),
    );
    for (const [scope, { quota }] of this.entries) {
      if (scope === name) quota.change(spec.quota, nowMs);
      else if (scope.startsWith(`${name}/`)) quota.change(byScope.get(scope) ?? noQuota, nowMs);
    }
  }

  /** A tenant of the same name that comes later begins with nothing. */
  forget(tenant: string): void {
    for (const scope of this.entries.keys()) {
      if (scope === tenant || scope.startsWith(`${tenant}/`)) this.entries.delete(scope);
    }
  }

  usageOf(scope: string): ScopeUsage {
    const entry = this.entries.get(scope);
    if (entry === undefined) return noUsage;
    const { quota, perSecond } = entry;
    const { storedBytes, connectionCount, heldBackTotal, refusedTotal } = quota;
    return {
      storedBytes,
      connections: connectionCount,
      publishBytesPerSecond: Math.round(perSecond.publishBytes),
      publishRecordsPerSecond: Math.round(perSecond.publishRecords),
      deliveryBytesPerSecond: Math.round(perSecond.deliveryBytes),
      adminCallsPerSecond: Math.round(perSecond.adminCalls),
      heldBackTotal,
      refusedTotal,
      traffic: { ...quota.traffic },
    };
  }

  /** Before stored bytes are summed up: what is published from now on is counted on top of the sum. */
  beginLook(): void {
    for (const entry of this.entries.values()) entry.storedAtLook = entry.quota.storedBytes;
  }

  /** With the sums. A scope that has no topics any more is forgotten. */
  endLook(storedBytes: ReadonlyMap<string, number>, hasTopics: (scope: string) => boolean): void {
    const nowMs = this.nowMs();
    const seconds = Math.max((nowMs - this.seenAtMs) / 1000, 0.001);
    this.seenAtMs = nowMs;
    for (const [scope, entry] of this.entries) {
      const { quota, seen, storedAtLook } = entry;
      if (!hasTopics(scope) && quota.connectionCount === 0 && quota.hasRested(nowMs)) {
        this.entries.delete(scope);
        continue;
      }
      quota.storedBytes = (storedBytes.get(scope) ?? 0) + quota.storedBytes - storedAtLook;
      entry.seen = { ...quota.traffic };
      entry.perSecond = {
        publishBytes: (entry.seen.publishBytes - seen.publishBytes) / seconds,
        publishRecords: (entry.seen.publishRecords - seen.publishRecords) / seconds,
        deliveryBytes: (entry.seen.deliveryBytes - seen.deliveryBytes) / seconds,
        adminCalls: (entry.seen.adminCalls - seen.adminCalls) / seconds,
      };
    }
  }

  private entry(scope: string, limits: Quota): Entry {
    const known = this.entries.get(scope);
    if (known !== undefined) return known;
    const quota = new ScopeQuota(scope, this.clock);
    quota.change(limits, this.nowMs());
    const entry = { quota, seen: noTraffic, perSecond: noTraffic, storedAtLook: 0 };
    this.entries.set(scope, entry);
    return entry;
  }
}

function limitOfTenant({ name, spec }: Tenant): ScopeLimit {
  return [name, spec.quota];
}

function limitOfNamespace({ name, spec }: Tenant, namespace: NamespaceName): ScopeLimit {
  return [`${name}/${namespace}`, spec.namespaces.get(namespace)?.quota ?? noQuota];
}
