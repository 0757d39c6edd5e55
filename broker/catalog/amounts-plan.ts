// Whether a tenant and a namespace may have more topics, partitions or subscriptions. Pure.
import { BrokerError } from '../core/errors.ts';
import type { CatalogState } from './catalog-state.ts';
import type { TopicName } from './names.ts';
import type { Amounts } from './scope-counts.ts';

/** Throws QUOTA_EXCEEDED with the scope and the quota whose limit it would pass, TENANT_NOT_FOUND. */
export function checkAmounts(
  state: CatalogState,
  { tenant: name, namespace }: TopicName,
  added: Partial<Amounts>,
): void {
  const tenant = state.tenants.require(name);
  const entry = tenant.spec.namespaces.get(namespace);
  for (const [scope, spec] of [
    [name, tenant.spec],
    [`${name}/${namespace}`, entry],
  ] as const) {
    if (spec === undefined) continue;
    const used = state.amountsOf(scope);
    for (const quota of ['topics', 'partitions', 'subscriptions'] as const) {
      const limit = spec.quota[quota];
      const more = added[quota] ?? 0;
      if (limit === 0 || more === 0 || used[quota] + more <= limit) continue;
      throw new BrokerError(
        'QUOTA_EXCEEDED',
        `${scope} may have ${limit} ${quota} and has ${used[quota]}; delete some, or have its quota raised`,
        { metadata: { quota, scope, limit: String(limit), used: String(used[quota]) } },
      );
    }
  }
}
