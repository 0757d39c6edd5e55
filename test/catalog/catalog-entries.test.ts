import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeCatalogCheckpoint,
  decodeCatalogEvent,
  encodeCatalogCheckpoint,
  encodeCatalogEvent,
} from '../../broker/catalog/catalog-entries.ts';
import type {
  CatalogCheckpointEntry,
  CatalogEvent,
  SubscriptionTombstone,
  TopicTombstone,
} from '../../broker/catalog/catalog-events.ts';
import type { DeadLetterJob } from '../../broker/catalog/dead-letter-job.ts';
import {
  parseNamespaceName,
  parseSubscriptionName,
  parseTenantName,
  parseTopicName,
} from '../../broker/catalog/names.ts';
import type { SaidPolicy } from '../../broker/catalog/policy.ts';
import { quotaFields, quotaOf, type Quota } from '../../broker/catalog/quota.ts';
import { roleNames, type Grant } from '../../broker/catalog/grant.ts';
import { parsePrincipal } from '../../broker/catalog/principal.ts';
import { parseScope } from '../../broker/catalog/scope.ts';
import type { ApiToken } from '../../broker/catalog/token.ts';
import type { StartPosition, Subscription } from '../../broker/catalog/subscription.ts';
import type { Tenant } from '../../broker/catalog/tenant.ts';
import type { Topic } from '../../broker/catalog/topic.ts';
import { partitionId, subscriptionId, tenantId, topicId } from '../../broker/core/ids.ts';
import { reasonOf } from '../support/reason-of.ts';

const id = fc.integer({ min: 1, max: 2 ** 32 - 1 });
const count = fc.oneof(fc.nat(3), fc.maxSafeNat());
const topicText = fc.constantFrom('a', 'public/default/b-1', 'acme/x/Y_2', 'z'.repeat(128));
const subscriptionName = fc.constantFrom('s', 'S.2', 'y'.repeat(128)).map(parseSubscriptionName);
const shard = fc.constantFrom('0', '15', 'system');
const partitions = fc.array(id.map(partitionId), { minLength: 1, maxLength: 256 });

/** Any of its fields may be said, also to be 0. */
const policy: fc.Arbitrary<SaidPolicy> = fc.record(
  {
    retention: fc.record({
      ageMs: count,
      bytes: count,
      forever: fc.boolean(),
      unackedAgeMs: count,
    }),
    tiering: fc.record({ hotAgeMs: count, hotBytes: count }),
    backlogQuota: fc.record({
      bytes: count,
      policy: fc.constantFrom('refuse_publish' as const, 'drop_oldest' as const),
    }),
    timeToLiveMs: count,
    batchBytesMax: count,
  },
  { requiredKeys: [] },
);

const labels = fc
  .uniqueArray(fc.tuple(fc.constantFrom('a', 'b/c'), fc.constantFrom('x', 'y'.repeat(256))), {
    selector: ([name]) => name,
  })
  .map((entries) => new Map(entries));

const topic: fc.Arbitrary<Topic> = fc
  .record({
    id: id.map(topicId),
    name: topicText.map(parseTopicName),
    tenantId: id.map(tenantId),
    partitions,
    shard,
    policy,
    labels,
    revision: count,
    createdAtMs: count,
  })
  .map(({ partitions, shard: place, policy, labels, ...rest }) => ({
    ...rest,
    partitions,
    shards: partitions.map(() => place),
    spec: { partitions: partitions.length, labels, ...policy },
  }));

const quota: fc.Arbitrary<Quota> = fc
  .array(count, { minLength: 8, maxLength: 8 })
  .map((values) => quotaOf((field) => values[quotaFields.indexOf(field)] ?? 0));
const said = fc.record({ policy, quota });
const tenant: fc.Arbitrary<Tenant> = fc.record({
  id: id.map(tenantId),
  name: fc.constantFrom('acme', 'z'.repeat(128)).map(parseTenantName),
  spec: fc
    .tuple(
      said,
      fc.uniqueArray(fc.tuple(fc.constantFrom('a', 'b-1', 'Y_2').map(parseNamespaceName), said), {
        selector: ([name]) => name,
      }),
      labels,
    )
    .map(([own, namespaces, said]) => ({
      ...own,
      namespaces: new Map(namespaces),
      labels: said,
    })),
  revision: count,
  createdAtMs: count,
});

const start: fc.Arbitrary<StartPosition> = fc.oneof(
  fc.record({ kind: fc.constant('offset' as const), offset: count, epoch: fc.nat(2 ** 32 - 1) }),
  fc.record({ kind: fc.constant('time' as const), timeMs: count }),
  fc.constantFrom({ kind: 'earliest' as const }, { kind: 'latest' as const }),
);

const subscription: fc.Arbitrary<Subscription> = fc.record({
  id: id.map(subscriptionId),
  topicId: id.map(topicId),
  name: subscriptionName,
  kind: fc.constantFrom('stream' as const, 'queue' as const, 'keyed_queue' as const),
  start,
  spec: fc.record({
    ackDeadlineMs: count,
    backoffMinMs: count,
    backoffMaxMs: count,
    paused: fc.boolean(),
    attemptsMax: count,
    deadLetterTopic: fc.option(
      topicText.map((text) => parseTopicName(text).full),
      { nil: '' },
    ),
    deadLetterExpired: fc.boolean(),
    recordsPerSecondMax: count,
    expiresAfterMs: count,
  }),
  revision: count,
  createdAtMs: count,
});

const pending = fc.array(fc.record({ shard, partitions }), { minLength: 1, maxLength: 3 });
const topicTombstone: fc.Arbitrary<TopicTombstone> = fc.record({
  of: fc.constant('topic' as const),
  topicId: id.map(topicId),
  name: topicText.map((text) => parseTopicName(text).full),
  subscriptions: fc.array(id.map(subscriptionId), { maxLength: 5 }),
  pending,
});
const subscriptionTombstone: fc.Arbitrary<SubscriptionTombstone> = fc.record({
  of: fc.constant('subscription' as const),
  subscriptionId: id.map(subscriptionId),
  topicId: id.map(topicId),
  name: subscriptionName,
  pending,
});

const jobId = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const bytes = fc.uint8Array({ maxLength: 20 });
const job: fc.Arbitrary<DeadLetterJob> = fc.record({
  id: jobId,
  topicId: id.map(topicId),
  subscriptionId: id.map(subscriptionId),
  action: fc.constantFrom('redrive', 'purge'),
  filter: fc.record({
    reasons: fc.uniqueArray(fc.constantFrom('attempts_exhausted', 'rejected', 'expired')),
    key: fc.option(
      bytes.map((key) => Buffer.from(key)),
      { nil: undefined },
    ),
    headers: fc.array(fc.record({ name: fc.string({ minLength: 1 }), value: bytes })),
    sinceMs: count,
    untilMs: count,
    originTopic: fc.constantFrom('', 'public/default/a'),
    originSubscription: fc.constantFrom('', 'work'),
  }),
  to: fc.constantFrom('', 'public/default/a'),
  recordsPerSecondMax: count,
  dryRun: fc.boolean(),
  until: fc.array(count, { maxLength: 5 }),
  state: fc.constantFrom('running', 'done', 'cancelled'),
  createdAtMs: count,
  endedAtMs: count,
  figures: fc.record({
    scanned: count,
    matched: count,
    done: count,
    stayed: count,
    stayedBecause: fc.string(),
  }),
});

const principal = fc
  .constantFrom('token:a', 'token:acme/b', 'jwt:corp:x%20y', 'certificate:ops')
  .map(parsePrincipal);
const scope = fc.constantFrom('*', 'acme', 'acme/x', 'acme/x/y').map(parseScope);
const grant: fc.Arbitrary<Grant> = fc.record({
  principal,
  scope,
  roles: fc.subarray([...roleNames], { minLength: 1 }),
  revision: count,
  createdAtMs: count,
});
const token: fc.Arbitrary<ApiToken> = fc.record({
  tenant: fc.constantFrom('', 'acme'),
  name: fc.constantFrom('a', 'b.C-1'),
  secretHash: fc.constantFrom('0'.repeat(64), 'a1'.repeat(32)),
  createdAtMs: count,
  expiresAtMs: count,
  revision: count,
});

const event: fc.Arbitrary<CatalogEvent> = fc.oneof(
  fc.record({ kind: fc.constant('dead-letter-job-put' as const), job }),
  fc.record({ kind: fc.constant('dead-letter-job-forgotten' as const), id: jobId }),
  fc.record({ kind: fc.constantFrom('tenant-created', 'tenant-changed'), tenant }),
  fc.record({ kind: fc.constant('tenant-deleted' as const), id: id.map(tenantId) }),
  fc.record({ kind: fc.constant('grant-changed' as const), grant }),
  fc.record({ kind: fc.constant('grant-removed' as const), principal, scope }),
  fc.record({ kind: fc.constant('token-created' as const), token }),
  fc.record({
    kind: fc.constant('token-removed' as const),
    tenant: fc.constantFrom('', 'acme'),
    name: fc.constantFrom('a', 'b'),
  }),
  fc.record({ kind: fc.constantFrom('topic-created', 'topic-changed'), topic }),
  fc.record({ kind: fc.constant('topic-deleted' as const), tombstone: topicTombstone }),
  fc.record({
    kind: fc.constantFrom('subscription-created', 'subscription-changed'),
    subscription,
  }),
  fc.record({
    kind: fc.constant('subscription-deleted' as const),
    tombstone: subscriptionTombstone,
  }),
  fc.record({
    kind: fc.constant('tombstone-cleared' as const),
    of: fc.constant('topic' as const),
    id: id.map(topicId),
    shard,
  }),
  fc.record({
    kind: fc.constant('tombstone-cleared' as const),
    of: fc.constant('subscription' as const),
    id: id.map(subscriptionId),
    shard,
  }),
);

const positive = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const checkpointEntry: fc.Arbitrary<CatalogCheckpointEntry> = fc.oneof(
  fc.record({ kind: fc.constant('grant' as const), grant }),
  fc.record({ kind: fc.constant('token' as const), token }),
  fc.record({
    kind: fc.constant('counters' as const),
    counters: fc.record({
      nextTopicId: positive,
      nextPartitionId: positive,
      nextSubscriptionId: positive,
      nextRevision: positive,
      nextTenantId: positive,
    }),
  }),
  fc.record({ kind: fc.constant('tenant' as const), tenant }),
  fc.record({ kind: fc.constant('topic' as const), topic }),
  fc.record({ kind: fc.constant('subscription' as const), subscription }),
  fc.record({ kind: fc.constant('dead-letter-job' as const), job }),
  fc.record({
    kind: fc.constant('tombstone' as const),
    tombstone: fc.oneof(topicTombstone, subscriptionTombstone),
  }),
);

describe('catalog entries', () => {
  it('decode to what was encoded', () => {
    fc.assert(
      fc.property(event, (value) => {
        expect(decodeCatalogEvent(encodeCatalogEvent(value))).toEqual(value);
      }),
    );
    fc.assert(
      fc.property(checkpointEntry, (value) => {
        expect(decodeCatalogCheckpoint(encodeCatalogCheckpoint(value))).toEqual(value);
      }),
    );
  });

  it('are either well-formed or DATA_LOSS when bytes are changed, cut off or added', () => {
    const damage = fc.record({
      at: fc.nat(),
      flip: fc.integer({ min: 1, max: 255 }),
      cut: fc.nat(8),
      added: fc.uint8Array({ maxLength: 3 }),
    });
    fc.assert(
      fc.property(event, checkpointEntry, damage, (one, two, { at, flip, cut, added }) => {
        for (const [bytes, decode] of [
          [encodeCatalogEvent(one), decodeCatalogEvent],
          [encodeCatalogCheckpoint(two), decodeCatalogCheckpoint],
        ] as const) {
          const damaged = Buffer.concat([bytes.subarray(0, bytes.length - cut), added]);
          const index = at % Math.max(1, damaged.length);
          damaged[index] = (damaged[index] ?? 0) ^ flip;
          expect(['nothing', 'DATA_LOSS']).toContain(reasonOf(() => decode(damaged)));
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('are never read from random bytes as anything but damage or a whole entry', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        expect(['nothing', 'DATA_LOSS']).toContain(reasonOf(() => decodeCatalogEvent(bytes)));
        expect(['nothing', 'DATA_LOSS']).toContain(reasonOf(() => decodeCatalogCheckpoint(bytes)));
      }),
      { numRuns: 5_000 },
    );
  });

  it('are DATA_LOSS when empty, of an unknown kind or cut anywhere in their object', () => {
    expect(reasonOf(() => decodeCatalogEvent(new Uint8Array(0)))).toBe('DATA_LOSS');
    expect(reasonOf(() => decodeCatalogEvent(Buffer.from([8, 99])))).toBe('DATA_LOSS');
    expect(reasonOf(() => decodeCatalogCheckpoint(Buffer.from([8, 2])))).toBe('DATA_LOSS');
    const [sample] = fc.sample(fc.record({ kind: fc.constant('topic' as const), topic }), 1);
    if (sample === undefined) throw new Error('no sample');
    const bytes = encodeCatalogCheckpoint(sample);
    for (let length = 0; length < bytes.length; length++) {
      expect(reasonOf(() => decodeCatalogCheckpoint(bytes.subarray(0, length)))).toBe('DATA_LOSS');
    }
  });
});
