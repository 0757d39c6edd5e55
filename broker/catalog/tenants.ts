// The tenants that there are, by name and by id.
//
// Invariant: `public` is always there.
import { assert } from '../core/assert.ts';
import { BrokerError } from '../core/errors.ts';
import type { TenantId } from '../core/ids.ts';
import { quoted } from '../core/quoted.ts';
import { NameIndex } from './name-index.ts';
import { pageOf, type Page, type PageRequest } from './page.ts';
import { publicTenant, type Tenant } from './tenant.ts';

export class Tenants {
  private readonly byId = new Map<TenantId, Tenant>();
  private readonly byName = new Map<string, Tenant>();
  private readonly names = new NameIndex();

  constructor() {
    this.put(publicTenant);
  }

  get count(): number {
    return this.byId.size;
  }

  all(): IterableIterator<Tenant> {
    return this.byId.values();
  }

  withId(id: TenantId): Tenant | undefined {
    return this.byId.get(id);
  }

  named(name: string): Tenant | undefined {
    return this.byName.get(name);
  }

  /** Throws TENANT_NOT_FOUND. */
  require(name: string): Tenant {
    const tenant = this.byName.get(name);
    if (tenant !== undefined) return tenant;
    throw new BrokerError(
      'TENANT_NOT_FOUND',
      `there is no tenant ${quoted(name)}; an operator creates it: millrace tenant create NAME`,
      { metadata: { tenant: quoted(name) } },
    );
  }

  /** In the order of their names. Throws ARGUMENT_INVALID. */
  list(request: PageRequest): Page<Tenant> {
    return pageOf(
      request,
      '',
      (text) => this.names.from(text),
      (name) => this.require(name),
    );
  }

  put(tenant: Tenant): void {
    const holder = this.byName.get(tenant.name);
    assert(
      holder === undefined || holder.id === tenant.id,
      `tenant name ${tenant.name} belongs to one tenant`,
    );
    this.byId.set(tenant.id, tenant);
    this.byName.set(tenant.name, tenant);
    this.names.add(tenant.name);
  }

  remove(id: TenantId): void {
    const tenant = this.byId.get(id);
    if (tenant === undefined) return;
    assert(id !== publicTenant.id, 'the tenant public is never deleted');
    this.byId.delete(id);
    this.byName.delete(tenant.name);
    this.names.remove(tenant.name);
  }
}
