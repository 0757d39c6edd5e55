import { describe, expect, it } from 'vitest';
import { limits } from '../../broker/core/limits.ts';
import { planSubscriptionDropped } from '../../broker/catalog/subscription-plan.ts';
import type { SubscriptionSpecPatch } from '../../broker/catalog/subscription.ts';
import { errorOf, reasonOf } from '../support/reason-of.ts';
import { CatalogFixture } from './catalog-fixture.ts';

function withTopic(partitions = 1): CatalogFixture {
  const catalog = new CatalogFixture();
  catalog.applyTopic('t', { partitions });
  return catalog;
}

describe('creating a subscription', () => {
  it('gives queues a deadline, a back-off and all of the past', () => {
    const { subscription } = withTopic().applySubscription('t', 's', { kind: 'queue' });
    expect(subscription).toMatchObject({
      kind: 'queue',
      start: { kind: 'earliest' },
      spec: { ackDeadlineMs: 30_000, backoffMinMs: 100, backoffMaxMs: 60_000, paused: false },
    });
  });

  it('gives streams none of these, and starts them at the end', () => {
    const { subscription } = withTopic().applySubscription('t', 's', { kind: 'stream' });
    expect(subscription.start).toEqual({ kind: 'latest' });
    expect(subscription.spec.ackDeadlineMs).toBe(0);
  });

  it('needs a kind and a topic', () => {
    const catalog = withTopic();
    const error = errorOf(() => catalog.applySubscription('t', 's'));
    expect(error?.reason).toBe('SPEC_INVALID');
    expect(error?.metadata['field']).toBe('kind');
    expect(reasonOf(() => catalog.applySubscription('u', 's', { kind: 'queue' }))).toBe(
      'TOPIC_NOT_FOUND',
    );
    expect(reasonOf(() => catalog.applySubscription('x/y/z', 's', { kind: 'queue' }))).toBe(
      'TENANT_NOT_FOUND',
    );
  });

  it('keeps the start as it was given', () => {
    const catalog = withTopic();
    const start = { kind: 'offset', offset: 7, epoch: 3 } as const;
    expect(
      catalog.applySubscription('t', 's', { kind: 'stream', start }).subscription.start,
    ).toEqual(start);
    const again = catalog.applySubscription('t', 's', { start: { kind: 'earliest' } });
    expect(again.changes).toEqual([]);
    expect(again.subscription.start).toEqual(start);
  });

  it('refuses one offset for several partitions', () => {
    const start = { kind: 'offset', offset: 7, epoch: 0 } as const;
    const error = errorOf(() => withTopic(2).applySubscription('t', 's', { kind: 'queue', start }));
    expect(error?.reason).toBe('SPEC_INVALID');
    expect(error?.metadata['field']).toBe('start.offset');
  });
});

describe('specs', () => {
  it.each([
    [{ ackDeadlineMs: 999 }, 'ack_deadline_ms'],
    [{ ackDeadlineMs: limits.ackDeadlineMsMax + 1 }, 'ack_deadline_ms'],
    [{ backoffMinMs: -1 }, 'backoff_min_ms'],
    [{ backoffMaxMs: limits.backoffMsMax + 1 }, 'backoff_max_ms'],
    [{ backoffMinMs: 60_001 }, 'backoff_min_ms'],
    [{ backoffMinMs: 2, backoffMaxMs: 1 }, 'backoff_min_ms'],
    [{ attemptsMax: 5 }, 'attempts_max'],
    [{ attemptsMax: limits.attemptsMaxMax + 1, deadLetterTopic: 'd' }, 'attempts_max'],
    [{ deadLetterTopic: 't' }, 'dead_letter_topic'],
    [{ deadLetterTopic: 'other/default/d' }, 'dead_letter_topic'],
    [{ recordsPerSecondMax: -1 }, 'records_per_second_max'],
    [{ expiresAfterMs: 999 }, 'expires_after_ms'],
    [{ start: { kind: 'time', timeMs: -1 } as const }, 'start.append_time_ms'],
    [{ start: { kind: 'offset', offset: 2 ** 53, epoch: 0 } as const }, 'start.offset'],
  ])('refuses %j in a queue and names %s', (spec, field) => {
    const error = errorOf(() =>
      withTopic().applySubscription('t', 's', { kind: 'queue', ...spec }),
    );
    expect(error?.reason).toBe('SPEC_INVALID');
    expect(error?.metadata['field']).toBe(field);
  });

  it('refuses what only queues have in a stream, but takes back what it has told', () => {
    const catalog = withTopic();
    const error = errorOf(() =>
      catalog.applySubscription('t', 's', { kind: 'stream', ackDeadlineMs: 5_000 }),
    );
    expect(error?.reason).toBe('SPEC_INVALID');
    expect(error?.metadata['field']).toBe('ack_deadline_ms');
    const { spec } = catalog.applySubscription('t', 's', { kind: 'stream' }).subscription;
    expect(catalog.applySubscription('t', 's', { kind: 'stream', ...spec }).changes).toEqual([]);
  });
});

describe('a dead-letter topic', () => {
  const create = (spec: SubscriptionSpecPatch) => {
    const catalog = withTopic();
    catalog.applySubscription('t', 's', { kind: 'queue', ...spec });
    return catalog;
  };
  const alter = (catalog: CatalogFixture, spec: SubscriptionSpecPatch) =>
    catalog.applySubscription('t', 's', spec).subscription.spec;

  it('need not exist, is kept by its full name and brings a limit of attempts', () => {
    expect(alter(create({ deadLetterTopic: 'd' }), {})).toMatchObject({
      deadLetterTopic: 'public/default/d',
      attemptsMax: limits.attemptsMaxDefault,
    });
  });

  it('may be there for what is rejected only', () => {
    const catalog = create({ deadLetterTopic: 'd', attemptsMax: 0 });
    expect(alter(catalog, { paused: true }).attemptsMax).toBe(0);
  });

  it('that changes leaves the limit; that is taken away takes it along', () => {
    const catalog = create({ deadLetterTopic: 'd', attemptsMax: 3 });
    expect(alter(catalog, { deadLetterTopic: 'e' }).attemptsMax).toBe(3);
    expect(alter(catalog, { deadLetterTopic: '' })).toMatchObject({
      deadLetterTopic: '',
      attemptsMax: 0,
    });
  });
});

describe('changing a subscription', () => {
  it('says what changed and leaves the rest', () => {
    const catalog = withTopic();
    catalog.applySubscription('t', 's', { kind: 'queue', ackDeadlineMs: 5_000 });
    const plan = catalog.applySubscription('t', 's', { paused: true });
    expect(plan.changes).toEqual(['paused: false -> true']);
    expect(plan.subscription.spec.ackDeadlineMs).toBe(5_000);
  });

  it('never changes the kind', () => {
    const catalog = withTopic();
    catalog.applySubscription('t', 's', { kind: 'queue' });
    expect(reasonOf(() => catalog.applySubscription('t', 's', { kind: 'stream' }))).toBe(
      'SPEC_IMMUTABLE',
    );
  });

  it('guards with revisions like a topic', () => {
    const catalog = withTopic();
    catalog.applySubscription('t', 's', { kind: 'queue' }, { revision: '0' });
    const error = errorOf(() =>
      catalog.applySubscription('t', 's', { paused: true }, { revision: '0' }),
    );
    expect(error?.reason).toBe('REVISION_MISMATCH');
    const revision = error?.metadata['revision'] ?? '';
    expect(catalog.applySubscription('t', 's', { paused: true }, { revision }).changes).toEqual([
      'paused: false -> true',
    ]);
  });
});

describe('deleting a subscription', () => {
  it('leaves a tombstone until its shard has dropped the cursors', () => {
    const catalog = withTopic(2);
    const { subscription, topic } = catalog.applySubscription('t', 's', { kind: 'queue' });
    catalog.deleteSubscription('t', 's');
    expect([...catalog.state.tombstones()]).toEqual([
      {
        of: 'subscription',
        subscriptionId: subscription.id,
        topicId: topic.id,
        name: 's',
        pending: [{ shard: '0', partitions: topic.partitions }],
      },
    ]);
    expect(reasonOf(() => catalog.deleteSubscription('t', 's'))).toBe('SUBSCRIPTION_NOT_FOUND');
    const again = catalog.applySubscription('t', 's', { kind: 'stream' }).subscription;
    expect(again.id).toBeGreaterThan(subscription.id);
    for (const event of planSubscriptionDropped(catalog.state, subscription.id, '0')) {
      catalog.state.apply(event);
    }
    expect([...catalog.state.tombstones()]).toEqual([]);
  });

  it('counts deleted ones against the limit until they are gone', () => {
    const catalog = withTopic();
    for (let i = 0; i < limits.subscriptionsPerTopicMax; i++) {
      catalog.applySubscription('t', `s${i}`, { kind: 'queue' });
    }
    expect(reasonOf(() => catalog.applySubscription('t', 'more', { kind: 'queue' }))).toBe(
      'LIMIT_REACHED',
    );
    catalog.deleteSubscription('t', 's0');
    const error = errorOf(() => catalog.applySubscription('t', 'more', { kind: 'queue' }));
    expect(error?.retryAfterMs).toBeGreaterThan(0);
    expect(catalog.applySubscription('t', 's1', { paused: true }).changes).toHaveLength(1);
  });
});
