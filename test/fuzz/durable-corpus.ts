// Valid bytes of everything that the broker stores beside batches: what the fuzzing of decoders starts from.
import { entryTypes } from '../../broker/core/entry-types.ts';
import {
  partitionId,
  publisherId,
  subscriptionId,
  tenantId,
  topicId,
} from '../../broker/core/ids.ts';
import {
  encodeCatalogCheckpoint,
  encodeCatalogEvent,
} from '../../broker/catalog/catalog-entries.ts';
import type { Tombstone } from '../../broker/catalog/catalog-events.ts';
import { parseSubscriptionName, parseTopicName } from '../../broker/catalog/names.ts';
import type { StartPosition, Subscription } from '../../broker/catalog/subscription.ts';
import { noQuota } from '../../broker/catalog/quota.ts';
import type { Tenant } from '../../broker/catalog/tenant.ts';
import type { Topic } from '../../broker/catalog/topic.ts';
import { ControlEntry } from '../../broker/journal/control-entry.ts';
import { OpenPage } from '../../broker/journal/page.ts';
import {
  encodePartitionCheckpoint,
  encodePartitionDropped,
  encodePublisherOpened,
  encodeTrimmed,
} from '../../broker/log/entries.ts';
import { SegmentRows } from '../../broker/tier/segment-rows.ts';
import { AckSet } from '../../broker/subscription/ack-set.ts';
import {
  encodeEntry,
  entryTypeOf,
  type SubscriptionEntry,
} from '../../broker/subscription/entries.ts';
import { OutboxState } from '../../broker/subscription/outbox-state.ts';
import { encodeQueueCheckpoint } from '../../broker/subscription/queue-checkpoint.ts';
import { StreamState } from '../../broker/subscription/stream-state.ts';

const head = { subscriptionId: subscriptionId(7), partitionId: partitionId(300) };
const large = 2 ** 40;

/** A queue with single acks, full chunks and attempts between them. */
function queueCheckpoint(): Buffer {
  const acks = new AckSet();
  for (const [first, last] of [
    [0, 70_000],
    [70_002, 70_010],
    [140_000, 140_000],
    [200_000, 300_000],
  ] as const) {
    acks.add(first, last);
  }
  for (let offset = 400_001; offset < 404_000; offset += 2) acks.add(offset, offset);
  const runs = [
    { first: 70_001, last: 70_001, attempts: 1, readyAtMs: 0 },
    { first: 140_001, last: 140_005, attempts: 3, readyAtMs: 1_000 },
  ];
  const outbox = new OutboxState();
  outbox.put(300, 16, 'attempts_exhausted', 'it failed');
  outbox.put(301, 1, 'rejected', '');
  outbox.detachWithin(301, 301);
  return Buffer.from(encodeQueueCheckpoint(acks, 5, runs, 1_700_000_000_000, outbox));
}

export const queueCheckpoints: readonly Buffer[] = [
  queueCheckpoint(),
  Buffer.from(encodeQueueCheckpoint(new AckSet(), 0, [], 0, new OutboxState())),
];

export const streamCheckpoints: readonly Buffer[] = [0, 1, large].map((offset) =>
  Buffer.from(new StreamState(offset).encode()),
);

const subscriptionEntryList: readonly SubscriptionEntry[] = [
  { kind: 'acked', ...head, ranges: [{ first: 0, last: 0 }] },
  {
    kind: 'acked',
    ...head,
    ranges: [
      { first: 5, last: 900 },
      { first: large, last: large + 3 },
    ],
  },
  {
    kind: 'attempts',
    ...head,
    runs: [
      { first: 3, last: 9, attempts: 2, readyAtWallMs: 1_700_000_000_000 },
      { first: 10, last: 10, attempts: 1, readyAtWallMs: 0 },
    ],
  },
  { kind: 'seek', ...head, offset: large, fence: 12 },
  {
    kind: 'subscriptionCheckpoint',
    ...head,
    subscriptionKind: 'queue',
    state: queueCheckpoint(),
  },
  {
    kind: 'subscriptionCheckpoint',
    ...head,
    subscriptionKind: 'stream',
    state: new StreamState(4).encode(),
  },
  { kind: 'subscriptionRemoved', ...head },
];

/** Each behind one byte with its type. */
export const subscriptionEntries: readonly Buffer[] = subscriptionEntryList.map((entry) =>
  Buffer.concat([Buffer.from([entryTypeOf(entry)]), encodeEntry(entry)]),
);

const name = parseTopicName('acme/shop/orders');
const topic: Topic = {
  id: topicId(3),
  name,
  tenantId: tenantId(7),
  partitions: [4, 5, 600].map(partitionId),
  shards: ['0', '0', '15'],
  spec: {
    partitions: 3,
    labels: new Map([['team', 'orders']]),
    retention: { ageMs: 604_800_000, bytes: large, forever: false, unackedAgeMs: 0 },
    tiering: { hotAgeMs: 86_400_000, hotBytes: large },
    backlogQuota: { bytes: large, policy: 'drop_oldest' },
    timeToLiveMs: 60_000,
    batchBytesMax: 1_048_576,
  },
  revision: 77,
  createdAtMs: 1_700_000_000_000,
};
const starts: readonly StartPosition[] = [
  { kind: 'earliest' },
  { kind: 'latest' },
  { kind: 'offset', offset: large, epoch: 3 },
  { kind: 'time', timeMs: 1_700_000_000_000 },
];
const subscriptions: readonly Subscription[] = starts.map((start, i) => ({
  id: subscriptionId(9 + i),
  topicId: topic.id,
  name: parseSubscriptionName(`billing-${i}`),
  kind: i % 2 === 0 ? 'queue' : 'stream',
  start,
  spec: {
    ackDeadlineMs: 30_000,
    backoffMinMs: 100,
    backoffMaxMs: 60_000,
    paused: i === 1,
    attemptsMax: 16,
    deadLetterTopic: 'public/default/dead',
    deadLetterExpired: false,
    recordsPerSecondMax: 500,
    expiresAfterMs: 60_000,
  },
  revision: 80 + i,
  createdAtMs: 1_700_000_000_000,
}));
const pending = [
  { shard: '0', partitions: [4, 5].map(partitionId) },
  { shard: '15', partitions: [partitionId(600)] },
];
const topicTombstone = {
  of: 'topic',
  topicId: topic.id,
  name: name.full,
  subscriptions: [subscriptionId(9), subscriptionId(10)],
  pending,
} as const satisfies Tombstone;
const subscriptionTombstone = {
  of: 'subscription',
  subscriptionId: subscriptionId(9),
  topicId: topic.id,
  name: parseSubscriptionName('billing-0'),
  pending,
} as const satisfies Tombstone;

const scope = {
  policy: { batchBytesMax: 0, timeToLiveMs: large },
  quota: { ...noQuota, topics: 5 },
};
const tenant: Tenant = {
  id: topic.tenantId,
  name: name.tenant,
  spec: { ...scope, namespaces: new Map([[name.namespace, scope]]), labels: topic.spec.labels },
  revision: 70,
  createdAtMs: 1_700_000_000_000,
};

export const catalogEvents: readonly Buffer[] = [
  encodeCatalogEvent({ kind: 'tenant-created', tenant }),
  encodeCatalogEvent({ kind: 'tenant-changed', tenant }),
  encodeCatalogEvent({ kind: 'tenant-deleted', id: tenant.id }),
  encodeCatalogEvent({ kind: 'topic-created', topic }),
  encodeCatalogEvent({ kind: 'topic-changed', topic }),
  encodeCatalogEvent({ kind: 'topic-deleted', tombstone: topicTombstone }),
  ...subscriptions.map((subscription) =>
    encodeCatalogEvent({ kind: 'subscription-created', subscription }),
  ),
  encodeCatalogEvent({ kind: 'subscription-deleted', tombstone: subscriptionTombstone }),
  encodeCatalogEvent({ kind: 'tombstone-cleared', of: 'topic', id: topic.id, shard: '15' }),
  encodeCatalogEvent({
    kind: 'tombstone-cleared',
    of: 'subscription',
    id: subscriptionId(9),
    shard: 'system',
  }),
];

export const catalogCheckpoints: readonly Buffer[] = [
  encodeCatalogCheckpoint({
    kind: 'counters',
    counters: {
      nextTopicId: 4,
      nextPartitionId: 601,
      nextSubscriptionId: 13,
      nextRevision: large,
      nextTenantId: 8,
    },
  }),
  encodeCatalogCheckpoint({ kind: 'tenant', tenant }),
  encodeCatalogCheckpoint({ kind: 'topic', topic }),
  ...subscriptions.map((subscription) =>
    encodeCatalogCheckpoint({ kind: 'subscription', subscription }),
  ),
  encodeCatalogCheckpoint({ kind: 'tombstone', tombstone: topicTombstone }),
  encodeCatalogCheckpoint({ kind: 'tombstone', tombstone: subscriptionTombstone }),
];

export const publisherEntries: readonly Buffer[] = ['a', 'checkout-7', '~1f', 'x'.repeat(128)].map(
  (publisher, i) =>
    encodePublisherOpened({
      partition: partitionId(4 + i),
      id: publisherId(1 + i),
      name: publisher,
      epoch: 1 + i * 1_000,
      atMs: 1_700_000_000_000,
    }),
);

export const trimmedEntries: readonly Buffer[] = [
  encodeTrimmed({ partition: partitionId(4), startOffset: large }),
  encodePartitionDropped(partitionId(600)),
];

export const partitionCheckpoints: readonly Buffer[] = [0, 1, 3].map((count) =>
  encodePartitionCheckpoint({
    partition: partitionId(4),
    startOffset: 10,
    nextOffset: large,
    lastAppendTimeMs: 1_700_000_000_000,
    manifest: { tenant: tenantId(1), endOffset: 10, pages: [], rows: new SegmentRows() },
    cancelled:
      count === 3
        ? [
            { first: 12, last: 12 },
            { first: 70, last: large },
          ]
        : [],
    publishers: Array.from({ length: count }, (_, i) => ({
      id: publisherId(1 + i),
      name: `publisher-${i}`,
      epoch: 2,
      lastSequence: 64 * i,
      answers: Array.from({ length: 2 * i }, (__, k) => 100 * k),
      lastUsedMs: 1_700_000_000_000,
      openCount: 0,
    })),
  }),
);

/** Pages as they stand on disk, with one to five frames. */
export const pages: readonly Buffer[] = [1, 2, 5].map((count) => {
  const page = new OpenPage(42, Buffer.alloc(4_096));
  for (let i = 0; i < count; i++) {
    const payload = Buffer.alloc(10 * i, i);
    page.add(new ControlEntry(entryTypes.acked + i, payload, () => {}));
  }
  return Buffer.from(page.close(7).bytes);
});
