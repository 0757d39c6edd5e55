// What tenants use, each under its name.
//
// Invariant: at most `tenantSeriesMax` tenants have series; how many have none is a series too. They are looked at once
// per scrape.
import type { Broker } from '../cluster/broker.ts';
import type { Usage } from '../cluster/tenant-usage.ts';
import { limits } from '../core/limits.ts';
import type { Metrics } from '../core/metrics.ts';

type Family = readonly [string, string, (usage: Usage) => number];

const families: readonly Family[] = [
  ['topics', 'Topics.', ({ topics }) => topics],
  ['stored_bytes', 'Stored bytes at the last look.', ({ storedBytes }) => storedBytes],
  ['connections', 'Connections with a stream on a topic.', ({ connections }) => connections],
  ['published_bytes_total', 'Bytes of batches taken.', ({ traffic }) => traffic.publishBytes],
  ['published_records_total', 'Records taken.', ({ traffic }) => traffic.publishRecords],
  ['delivered_bytes_total', 'Bytes of batches sent.', ({ traffic }) => traffic.deliveryBytes],
  [
    'held_back_total',
    'Times that a quota made a stream wait.',
    ({ heldBackTotal }) => heldBackTotal,
  ],
  ['refused_total', 'Times that a quota refused something.', ({ refusedTotal }) => refusedTotal],
];

/** What one scrape has read is good for its other families. */
const freshMs = 200;

export function registerTenantMetrics(metrics: Metrics, { tenants, clock }: Broker): void {
  let read: readonly (readonly [string, Usage])[] = [];
  let readAtMs = -Infinity;
  const usages = () => {
    const nowMs = clock.monotonicMs();
    if (nowMs - readAtMs > freshMs) {
      const listed = [...tenants.all()].slice(0, limits.tenantSeriesMax);
      read = listed.map(({ name }) => [name, tenants.usageOf(name)]);
      readAtMs = nowMs;
    }
    return read;
  };
  for (const [name, help, valueOf] of families) {
    metrics.gauges(`millrace_tenant_${name}`, help, ['tenant'], () =>
      usages().map(([tenant, usage]) => ({ labels: { tenant }, value: valueOf(usage) })),
    );
  }
  metrics.gauge(
    'millrace_tenants_unlisted',
    `Tenants beyond the first ${limits.tenantSeriesMax}, which have no series of their own.`,
    () => Math.max(0, tenants.count - limits.tenantSeriesMax),
  );
}
