// Tenants as the services see them.
//
// Invariant: a change is durable, and has reached the open topics of the tenant, before the caller has its answer.
import type { QuotaRegistry } from '../access/quota-registry.ts';
import { parseNamespaceName, parseTenantName } from '../catalog/names.ts';
import type { Page, PageRequest } from '../catalog/page.ts';
import { planApplyTenant, planDeleteTenant, type TenantPlan } from '../catalog/tenant-plan.ts';
import type { Tenant, TenantSpecPatch } from '../catalog/tenant.ts';
import type { Clock } from '../core/clock.ts';
import type { CatalogStore } from '../shard/catalog-store.ts';
import { lookAtStored, usageOf, type Usage } from './tenant-usage.ts';
import type { TopicDirectory } from './topic-directory.ts';

export class TenantAdmin {
  private readonly catalog: CatalogStore;
  private readonly directory: TopicDirectory;
  private readonly quotas: QuotaRegistry;
  private readonly clock: Clock;

  constructor(
    catalog: CatalogStore,
    directory: TopicDirectory,
    quotas: QuotaRegistry,
    clock: Clock,
  ) {
    this.catalog = catalog;
    this.directory = directory;
    this.quotas = quotas;
    this.clock = clock;
  }

  async apply(request: {
    readonly name: string;
    readonly patch: TenantSpecPatch;
    readonly revision: string;
    readonly dryRun: boolean;
  }): Promise<TenantPlan> {
    const { patch: spec, revision, dryRun } = request;
    const name = parseTenantName(request.name);
    const plan = await this.catalog.change((state) =>
      planApplyTenant(state, { name, spec, revision, dryRun }, this.clock.wallMs()),
    );
    if (plan.events.length > 0) this.directory.tenantChanged(plan.tenant);
    return plan;
  }

  /** Throws NAME_INVALID, TENANT_NOT_FOUND. */
  get(name: string): Tenant {
    return this.catalog.state.tenants.require(parseTenantName(name));
  }

  /** Of `tenant` or `tenant/namespace`. */
  usageOf(scope: string): Usage {
    return usageOf(this.catalog.state, this.quotas, scope);
  }

  /** A call of administration on what is in `TENANT[/NAMESPACE[/TOPIC]]`. Throws QUOTA_EXCEEDED. */
  admitCall(scope: string): void {
    const [name = '', namespace = ''] = scope.split('/', 2);
    const tenant = this.catalog.state.tenants.named(name);
    // What does not exist is answered as ever, and costs nobody.
    if (tenant === undefined) return;
    this.quotas.admitCall(tenant, namespace === '' ? undefined : parseNamespaceName(namespace));
  }

  /** Sums up what is stored; called again and again. */
  async lookAtUsage(): Promise<void> {
    const topics = this.directory.openTopics();
    await lookAtStored(topics, this.catalog.state, this.quotas, this.clock);
  }

  all(): Iterable<Tenant> {
    return this.catalog.state.tenants.all();
  }

  get count(): number {
    return this.catalog.state.tenants.count;
  }

  list(request: PageRequest): Page<Tenant> {
    return this.catalog.state.tenants.list(request);
  }

  /** `tenantId` as text; empty: whichever is there. */
  async delete(name: string, tenantId: string): Promise<void> {
    const parsed = parseTenantName(name);
    await this.catalog.change((state) => planDeleteTenant(state, parsed, tenantId));
    this.quotas.forget(parsed);
  }
}
