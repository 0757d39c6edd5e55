// The broker's own metrics. Figures are read when they are asked for: nothing is counted twice, nothing on hot paths.
//
// Invariant: no label has a topic's or a client's name: the number of series does not depend on what users do.
import type { Broker } from '../cluster/broker.ts';
import type { Metrics } from '../core/metrics.ts';
import type { GrpcServer } from './grpc-server.ts';

export function registerBrokerMetrics(metrics: Metrics, broker: Broker, server: GrpcServer): void {
  const gauges: readonly (readonly [string, string, () => number])[] = [
    ['millrace_topics', 'Topics that exist.', () => broker.topicCount],
    ['millrace_connections', 'Open client connections.', () => server.connectionCount],
    ['millrace_streams', 'Open publish, consume and read streams.', () => server.streamCount],
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
  for (const [name, help, read] of gauges) metrics.gauge(name, help, read);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
