// How far subscriptions are behind, each under its name.
//
// Invariant: at most `subscriptionSeriesMax` subscriptions have series, whatever users create; how many have none is a
// series too. They are looked at once per scrape.
import type { Broker } from '../cluster/broker.ts';
import { limits } from '../core/limits.ts';
import type { Metrics } from '../core/metrics.ts';
import type { BlockedReason } from '../subscription/consumer.ts';

interface Figures {
  readonly labels: Readonly<Record<string, string>>;
  readonly backlog: number;
  readonly inFlight: number;
  readonly waiting: number;
  readonly delayed: number;
  readonly dead: number;
  readonly oldestUnackedMs: number;
  readonly blocked: readonly BlockedReason[];
}

const labels = ['topic', 'subscription'] as const;

/** What one scrape has read is good for its other families. */
const freshMs = 200;

export function registerSubscriptionMetrics(metrics: Metrics, broker: Broker): void {
  let figures: readonly Figures[] = [];
  let readAtMs = -Infinity;
  const read = (): readonly Figures[] => {
    const nowMs = broker.clock.monotonicMs();
    if (nowMs - readAtMs > freshMs) {
      figures = [...readFigures(broker)];
      readAtMs = nowMs;
    }
    return figures;
  };
  const families: readonly (readonly [string, string, (one: Figures) => number])[] = [
    ['backlog_records', 'Records that are not acked.', ({ backlog }) => backlog],
    ['in_flight_records', 'Records that consumers hold.', ({ inFlight }) => inFlight],
    ['waiting_records', 'Records that wait for their back-off.', ({ waiting }) => waiting],
    ['delayed_records', 'Records held back until their delivery time.', ({ delayed }) => delayed],
    ['dead_records', 'Records on their way to the dead-letter topic.', ({ dead }) => dead],
    [
      'oldest_unacked_age_seconds',
      'Age of the oldest record that is not acked; 0: all are.',
      ({ oldestUnackedMs }) => ageSeconds(broker, oldestUnackedMs),
    ],
  ];
  for (const [name, help, valueOf] of families) {
    metrics.gauges(`millrace_subscription_${name}`, help, labels, () =>
      read().map((one) => ({ labels: one.labels, value: valueOf(one) })),
    );
  }
  metrics.gauges(
    'millrace_subscription_blocked',
    '1 for each reason why records of a backlog are not delivered.',
    [...labels, 'reason'],
    () =>
      read().flatMap((one) =>
        one.blocked.map((reason) => ({ labels: { ...one.labels, reason }, value: 1 })),
      ),
  );
  metrics.gauge(
    'millrace_subscriptions_unlisted',
    `Subscriptions beyond the first ${limits.subscriptionSeriesMax}, which have no series of their own.`,
    () => Math.max(0, broker.subscriptionCount - limits.subscriptionSeriesMax),
  );
}

function* readFigures(broker: Broker): Generator<Figures> {
  let left: number = limits.subscriptionSeriesMax;
  for (const { topic, name, partitions } of broker.subscriptionStatuses()) {
    if (left-- <= 0) return;
    const total = { backlog: 0, inFlight: 0, waiting: 0, delayed: 0, dead: 0 };
    let oldestUnackedMs = Infinity;
    const blocked = new Set<BlockedReason>();
    for (const { status } of partitions) {
      total.inFlight += status.inFlight;
      total.waiting += status.waiting;
      total.delayed += status.delayed;
      total.dead += status.dead;
      total.backlog +=
        status.ready + status.inFlight + status.waiting + status.delayed + status.dead;
      if (status.oldestUnackedMs > 0) {
        oldestUnackedMs = Math.min(oldestUnackedMs, status.oldestUnackedMs);
      }
      for (const reason of status.blocked) blocked.add(reason);
    }
    yield {
      labels: { topic, subscription: name },
      ...total,
      oldestUnackedMs: oldestUnackedMs === Infinity ? 0 : oldestUnackedMs,
      blocked: [...blocked],
    };
  }
}

function ageSeconds(broker: Broker, sinceMs: number): number {
  return sinceMs === 0 ? 0 : Math.max(0, broker.clock.wallMs() - sinceMs) / 1000;
}
