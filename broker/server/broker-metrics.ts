// The broker's own metrics. Figures are read when they are asked for: nothing is counted twice, nothing on hot paths.
//
// Invariant: no label here has a topic's or a client's name: the number of series does not depend on what users do.
// Subscriptions and tenants have series of their own, bounded (subscription-metrics.ts, tenant-metrics.ts).
import type { Broker } from '../cluster/broker.ts';
import type { Metrics } from '../core/metrics.ts';
import { refusalCauses } from './connections.ts';
import type { GrpcServer } from './grpc-server.ts';
import { registerSubscriptionMetrics } from './subscription-metrics.ts';
import { registerTenantMetrics } from './tenant-metrics.ts';

/** Name, help, how it is read. */
type Gauge = readonly [string, string, () => number];

export function registerBrokerMetrics(metrics: Metrics, broker: Broker, server: GrpcServer): void {
  const gauges: Gauge[] = [
    ['millrace_topics', 'Topics that exist.', () => broker.topicCount],
    ['millrace_connections', 'Open client connections.', () => server.connectionCount],
    ['millrace_streams', 'Open publish, consume and read streams.', () => server.streamCount],
    [
      'millrace_unauthenticated_calls_total',
      'Calls without a credential that is good.',
      () => server.gateFigures.unauthenticated,
    ],
    [
      'millrace_denied_calls_total',
      'Calls that no grant allowed; opens on publish and consume streams are not among them.',
      () => server.gateFigures.denied,
    ],
    [
      'millrace_publish_pending_bytes',
      'Bytes that were published and are not durable yet.',
      () => broker.publishBudget.usedBytes,
    ],
    ['millrace_published_records_total', 'Records confirmed.', () => broker.traffic.records],
    ['millrace_published_bytes_total', 'Bytes of batches confirmed.', () => broker.traffic.bytes],
    ['millrace_published_batches_total', 'Batches confirmed.', () => broker.traffic.batches],
    [
      'millrace_journal_bytes',
      'Bytes of journal files on disk.',
      () => sum(broker.shardFigures().map(({ journalBytes }) => journalBytes)),
    ],
    [
      'millrace_journal_generations',
      'Journal files on disk.',
      () => sum(broker.shardFigures().map(({ generationCount }) => generationCount)),
    ],
    ['millrace_journal_commits_total', 'Commits, each with an fsync.', () => broker.commitCount],
    [
      'millrace_disk_free_bytes',
      'Free bytes of the data volume at the last look.',
      () => broker.diskFreeBytes,
    ],
    [
      'millrace_disk_full',
      '1 while publishing is refused because the volume is nearly full.',
      () => (broker.isDiskFull ? 1 : 0),
    ],
  ];
  gauges.push(...tieringGauges(broker));
  for (const [name, help, read] of gauges) metrics.gauge(name, help, read);
  metrics.gauges(
    'millrace_connections_refused_total',
    'Connections that were refused or ended by the broker, by cause.',
    ['cause'],
    () =>
      refusalCauses.map((cause) => ({
        labels: { cause },
        value: server.connections.refusedCount(cause),
      })),
  );
  registerSubscriptionMetrics(metrics, broker);
  registerTenantMetrics(metrics, broker);
}

function tieringGauges(broker: Broker): Gauge[] {
  return [
    [
      'millrace_offloaded_objects_total',
      'Segment objects written and verified.',
      () => broker.tieringFigures().offloadedObjects,
    ],
    [
      'millrace_offloaded_bytes_total',
      'Bytes of segment objects written and verified.',
      () => broker.tieringFigures().offloadedBytes,
    ],
    [
      'millrace_offload_failures_total',
      'Passes of offload that failed and were tried again.',
      () => broker.tieringFigures().offloadFailures,
    ],
    [
      'millrace_unoffloaded_bytes',
      'Sealed records that only the disk of the broker has.',
      () => sum(broker.shardFigures().map(({ unoffloadedBytes }) => unoffloadedBytes)),
    ],
    [
      'millrace_unoffloaded_age_seconds',
      'Age of the oldest record that only the disk of the broker has: what a lost disk would cost.',
      () => unoffloadedAge(broker),
    ],
    [
      'millrace_checkpoint_age_seconds',
      'Age of the oldest checkpoint that a new broker would start from; 0 before the first.',
      () => checkpointAge(broker),
    ],
    [
      'millrace_garbage_deleted_objects_total',
      'Objects deleted because nothing referred to them.',
      () => broker.tieringFigures().deletedObjects,
    ],
    [
      'millrace_garbage_deleted_bytes_total',
      'Bytes of those objects.',
      () => broker.tieringFigures().deletedBytes,
    ],
  ];
}

function unoffloadedAge(broker: Broker): number {
  const since = broker.shardFigures().flatMap(({ unoffloadedSinceMs }) => unoffloadedSinceMs || []);
  return since.length === 0 ? 0 : (broker.clock.wallMs() - Math.min(...since)) / 1000;
}

function checkpointAge(broker: Broker): number {
  const at = Math.min(...broker.shardFigures().map((shard) => shard.checkpointUploadedMs));
  return at === 0 ? 0 : (broker.clock.wallMs() - at) / 1000;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
