// Why a subscription delivers nothing, in one sentence that says what to do.
import type { BlockedReason, Subscription, SubscriptionPartition } from './subscriptions.ts';

/** Empty: nothing is in the way, or everything is acked. */
export function whyIdle({ partitions, consumers, spec }: Subscription): string {
  const blocked = partitions.filter(({ blockReasons }) => blockReasons.length > 0);
  const total = (read: (partition: SubscriptionPartition) => number): number =>
    partitions.reduce((sum, partition) => sum + read(partition), 0);
  const backlog = total((partition) => partition.backlog);
  if (backlog === 0) return '';
  const reason = mostSerious(blocked.flatMap(({ blockReasons }) => blockReasons));
  if (reason === undefined) return '';
  const detail = blocked.find(({ blockDetail }) => blockDetail !== '')?.blockDetail ?? '';
  const where =
    blocked.length < partitions.length
      ? ` in ${blocked.length} of ${partitions.length} partitions`
      : '';
  switch (reason) {
    case 'data loss':
      return `records are damaged${where}: ${detail}`;
    case 'cold read failing':
      return `the object store does not give records${where}: ${detail}; it is tried again by itself`;
    case 'paused':
      return `it is paused with ${backlog} records to do; go on with --resume`;
    case 'no consumers':
      return `${backlog} records wait and nobody consumes; start a consumer`;
    case 'dead letter failing':
      return `dead letters do not arrive in ${spec.deadLetterTopic}: ${detail}; other records go on`;
    case 'no credit':
      return `all ${consumers.length} consumers are busy with ${total((p) => p.inFlight)} records; add consumers, or let each take more`;
    case 'throttled':
      return `its limit of ${spec.recordsPerSecondMax} records/s is used up; raise records_per_second_max if that is too little`;
    case 'too many unacked':
      return `${total((p) => p.inFlight + p.waiting)} records are in flight or wait for a retry, which is the limit; consumers must ack`;
    case 'keys busy':
      return `every record that is left waits for an older one of its key${where}: ${total((p) => p.inFlight)} in flight, ${total((p) => p.waiting)} in back-off`;
    case 'all delayed or in flight':
      return `what is left is not due: ${total((p) => p.delayed)} delayed, ${total((p) => p.waiting)} in back-off, ${total((p) => p.inFlight)} in flight`;
    case 'unknown':
      return 'the broker says a reason that this client does not know; update it';
  }
}

/** What stops everything first. */
const bySeriousness: readonly BlockedReason[] = [
  'data loss',
  'cold read failing',
  'paused',
  'no consumers',
  'dead letter failing',
  'no credit',
  'throttled',
  'too many unacked',
  'keys busy',
  'all delayed or in flight',
  'unknown',
];

function mostSerious(reasons: readonly BlockedReason[]): BlockedReason | undefined {
  return bySeriousness.find((reason) => reasons.includes(reason));
}
