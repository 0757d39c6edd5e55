// What tenants and namespaces use: amounts from the catalog, the rest from the quotas of this broker.
import type { QuotaRegistry, ScopeUsage } from '../access/quota-registry.ts';
import type { CatalogState } from '../catalog/catalog-state.ts';
import type { Amounts } from '../catalog/scope-counts.ts';
import type { Clock } from '../core/clock.ts';
import type { OpenTopic } from './open-topic.ts';

export interface Usage extends Amounts, ScopeUsage {}

/** Of `tenant` or `tenant/namespace`. */
export function usageOf(state: CatalogState, quotas: QuotaRegistry, scope: string): Usage {
  return { ...state.amountsOf(scope), ...quotas.usageOf(scope) };
}

/** Partitions that are summed up in one turn of the event loop: well below a millisecond. */
const partitionsPerTurn = 2_000;

/** Sums up what is stored, a part at a time. What is published meanwhile is counted on top. */
export async function lookAtStored(
  topics: readonly OpenTopic[],
  state: CatalogState,
  quotas: QuotaRegistry,
  clock: Clock,
): Promise<void> {
  quotas.beginLook();
  const sums = new Map<string, number>();
  let left = partitionsPerTurn;
  for (const { topic, logs } of topics) {
    let bytes = 0;
    for (const log of logs) bytes += log.storedBytes();
    const { tenant, namespace } = topic.name;
    for (const scope of [tenant, `${tenant}/${namespace}`]) {
      sums.set(scope, (sums.get(scope) ?? 0) + bytes);
    }
    left -= logs.length;
    if (left > 0) continue;
    left = partitionsPerTurn;
    await new Promise<void>((resolve) => clock.after(0, resolve));
  }
  quotas.endLook(sums, (scope) => state.amountsOf(scope).topics > 0);
}
