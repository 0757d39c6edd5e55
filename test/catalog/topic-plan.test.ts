import { describe, expect, it } from 'vitest';
import type { Retention } from '../../broker/catalog/policy.ts';
import { parseTopicName } from '../../broker/catalog/names.ts';
import { planTopicDropped } from '../../broker/catalog/topic-plan.ts';
import { errorOf, reasonOf } from '../support/reason-of.ts';
import { CatalogFixture } from './catalog-fixture.ts';

const window: Retention = { ageMs: 0, bytes: 0, forever: false, unackedAgeMs: 0 };

describe('creating a topic', () => {
  it('stores only what was said', () => {
    const { topic, created, changes } = new CatalogFixture().applyTopic('orders');
    expect(created).toBe(true);
    expect(topic.spec).toEqual({ partitions: 1, labels: new Map() });
    expect(topic.partitions).toHaveLength(1);
    expect(topic.shards).toEqual(['0']);
    expect(topic.createdAtMs).toBe(1_000);
    expect(changes).toHaveLength(1);
    expect(changes[0]).toContain('create topic public/default/orders');
  });

  it('puts partitions where fewest are', () => {
    const catalog = new CatalogFixture(['0', '1', '2']);
    expect(catalog.applyTopic('a', { partitions: 2 }).topic.shards).toEqual(['0', '1']);
    expect(catalog.applyTopic('b', { partitions: 4 }).topic.shards).toEqual(['2', '0', '1', '2']);
    catalog.deleteTopic('a');
    expect(catalog.applyTopic('b', { partitions: 6 }).topic.shards.slice(4)).toEqual(['0', '1']);
  });

  it('gives ids that no other topic or partition ever had', () => {
    const catalog = new CatalogFixture();
    const first = catalog.applyTopic('a', { partitions: 3 }).topic;
    catalog.deleteTopic('a');
    const second = catalog.applyTopic('a', { partitions: 3 }).topic;
    expect(second.id).toBeGreaterThan(first.id);
    expect(Math.min(...second.partitions)).toBeGreaterThan(Math.max(...first.partitions));
    expect(second.revision).toBeGreaterThan(first.revision);
  });

  it('refuses tenants that do not exist', () => {
    expect(reasonOf(() => new CatalogFixture().applyTopic('acme/default/orders'))).toBe(
      'TENANT_NOT_FOUND',
    );
  });

  it('decides all and does nothing in a dry run', () => {
    const catalog = new CatalogFixture();
    const plan = catalog.applyTopic('a', { partitions: 2 }, { dryRun: true });
    expect(plan.events).toEqual([]);
    expect(plan.created).toBe(true);
    expect(plan.changes).toHaveLength(1);
    expect(catalog.state.topicCount).toBe(0);
  });
});

describe('changing a topic', () => {
  it('does nothing when nothing differs', () => {
    const catalog = new CatalogFixture();
    const before = catalog.applyTopic('a', { partitions: 2 }).topic;
    const plan = catalog.applyTopic('a', { partitions: 2 });
    expect(plan).toEqual({ events: [], changes: [], created: false, topic: before });
  });

  it('changes only what is set, and says so field by field', () => {
    const catalog = new CatalogFixture();
    catalog.applyTopic('a', { batchBytesMax: 4096 });
    const plan = catalog.applyTopic('a', { retention: { ...window, bytes: 5 } });
    expect(plan.changes).toEqual([
      'retention.age_ms: inherited -> 0',
      'retention.bytes: inherited -> 5',
      'retention.forever: inherited -> false',
      'retention.unacked_age_ms: inherited -> 0',
    ]);
    const again = catalog.applyTopic('a', { retention: { ...window, bytes: 6 } });
    expect(again.changes).toEqual(['retention.bytes: 5 -> 6']);
    expect(plan.topic.spec.batchBytesMax).toBe(4096);
  });

  it('takes back what was said, so that it is inherited', () => {
    const catalog = new CatalogFixture();
    catalog.applyTopic('a', { batchBytesMax: 4096, timeToLiveMs: 0 });
    const plan = catalog.applyTopic('a', { inherit: ['batchBytesMax', 'retention'] });
    expect(plan.changes).toEqual(['batch_bytes_max: 4096 -> inherited']);
    expect(plan.topic.spec).toEqual({ partitions: 1, labels: new Map(), timeToLiveMs: 0 });
    expect(
      reasonOf(() => catalog.applyTopic('a', { timeToLiveMs: 1, inherit: ['timeToLiveMs'] })),
    ).toBe('ARGUMENT_INVALID');
  });

  it('adds partitions behind those there are', () => {
    const catalog = new CatalogFixture();
    const before = catalog.applyTopic('a', { partitions: 2 }).topic;
    const after = catalog.applyTopic('a', { partitions: 4 }).topic;
    expect(after.partitions.slice(0, 2)).toEqual(before.partitions);
    expect(new Set(after.partitions).size).toBe(4);
    expect(after.id).toBe(before.id);
  });

  it('never removes partitions', () => {
    const catalog = new CatalogFixture();
    catalog.applyTopic('a', { partitions: 2 });
    const error = errorOf(() => catalog.applyTopic('a', { partitions: 1 }));
    expect(error?.reason).toBe('SPEC_IMMUTABLE');
    expect(error?.metadata['field']).toBe('partitions');
  });
});

describe('specs', () => {
  it.each([
    [{ partitions: 0 }, 'partitions'],
    [{ partitions: 257 }, 'partitions'],
    [{ partitions: 1.5 }, 'partitions'],
    [{ batchBytesMax: 1023 }, 'batch_bytes_max'],
    [{ batchBytesMax: 3 * 1024 * 1024 + 1 }, 'batch_bytes_max'],
    [{ retention: { ...window, ageMs: -1 } }, 'retention.age_ms'],
    [{ retention: { ...window, bytes: 2 ** 53 } }, 'retention.bytes'],
    [{ retention: { ...window, ageMs: 1, forever: true } }, 'retention.forever'],
    [{ retention: { ...window, bytes: 1, forever: true } }, 'retention.forever'],
    [{ retention: { ...window, ageMs: 2, unackedAgeMs: 1 } }, 'retention.unacked_age_ms'],
  ])('refuses %j and names %s', (spec, field) => {
    const catalog = new CatalogFixture();
    for (const prepare of [() => {}, () => void catalog.applyTopic('a')]) {
      prepare();
      const error = errorOf(() => catalog.applyTopic('a', spec));
      expect(error?.reason).toBe('SPEC_INVALID');
      expect(error?.metadata['field']).toBe(field);
    }
  });

  it.each([
    { partitions: 256 },
    { batchBytesMax: 1024 },
    { batchBytesMax: 3 * 1024 * 1024 },
    { retention: window },
    { retention: { ...window, forever: true, unackedAgeMs: 1 } },
    { retention: { ...window, ageMs: 2, bytes: 1, unackedAgeMs: 2 } },
  ])('admits %j', (spec) => {
    expect(new CatalogFixture().applyTopic('a', spec).topic.spec).toMatchObject(spec);
  });
});

describe('revisions', () => {
  it('guards creation with 0 and changes with the current one', () => {
    const catalog = new CatalogFixture();
    const first = catalog.applyTopic('a', {}, { revision: '0' }).topic;
    const current = String(first.revision);
    const error = errorOf(() => catalog.applyTopic('a', {}, { revision: '0' }));
    expect(error?.reason).toBe('REVISION_MISMATCH');
    expect(error?.metadata['revision']).toBe(current);
    const second = catalog.applyTopic('a', { partitions: 2 }, { revision: current }).topic;
    expect(second.revision).toBeGreaterThan(first.revision);
    expect(reasonOf(() => catalog.applyTopic('a', {}, { revision: current }))).toBe(
      'REVISION_MISMATCH',
    );
  });

  it('does not take a topic that was created again for the one that was read', () => {
    const catalog = new CatalogFixture();
    const revision = String(catalog.applyTopic('a').topic.revision);
    catalog.deleteTopic('a');
    expect(errorOf(() => catalog.applyTopic('a', {}, { revision }))?.metadata['revision']).toBe(
      '0',
    );
    catalog.applyTopic('a');
    expect(reasonOf(() => catalog.applyTopic('a', { partitions: 2 }, { revision }))).toBe(
      'REVISION_MISMATCH',
    );
  });

  it.each(['x', '-1', '01', '1 ', '1e0'])('is never equal to %j', (revision) => {
    const catalog = new CatalogFixture();
    catalog.applyTopic('a');
    expect(reasonOf(() => catalog.applyTopic('a', {}, { revision }))).toBe('REVISION_MISMATCH');
  });
});

describe('deleting a topic', () => {
  it('leaves a tombstone until every shard has dropped its part', () => {
    const catalog = new CatalogFixture(['0', '1']);
    const { topic } = catalog.applyTopic('a', { partitions: 3 });
    const { subscription } = catalog.applySubscription('a', 's', { kind: 'queue' });
    catalog.deleteTopic('a');
    const [p0, p1, p2] = topic.partitions;
    expect([...catalog.state.tombstones()]).toEqual([
      {
        of: 'topic',
        topicId: topic.id,
        name: 'public/default/a',
        subscriptions: [subscription.id],
        pending: [
          { shard: '0', partitions: [p0, p2] },
          { shard: '1', partitions: [p1] },
        ],
      },
    ]);
    expect(catalog.state.subscriptionById(subscription.id)).toBeUndefined();

    for (const event of planTopicDropped(catalog.state, topic.id, '0')) catalog.state.apply(event);
    expect(planTopicDropped(catalog.state, topic.id, '0')).toEqual([]);
    expect(catalog.state.topicTombstone(topic.id)?.pending).toHaveLength(1);
    for (const event of planTopicDropped(catalog.state, topic.id, '1')) catalog.state.apply(event);
    expect([...catalog.state.tombstones()]).toEqual([]);
  });

  it('keeps a shard in use until the last of its data is dropped', () => {
    const catalog = new CatalogFixture(['0', '1']);
    const { topic } = catalog.applyTopic('a');
    expect([...catalog.state.shardsInUse()]).toEqual(['0']);
    catalog.deleteTopic('a');
    expect([...catalog.state.shardsInUse()]).toEqual(['0']);
    for (const event of planTopicDropped(catalog.state, topic.id, '0')) catalog.state.apply(event);
    expect([...catalog.state.shardsInUse()]).toEqual([]);
  });

  it('deletes only the incarnation that is meant', () => {
    const catalog = new CatalogFixture();
    const { topic } = catalog.applyTopic('a');
    const error = errorOf(() => catalog.deleteTopic('a', String(topic.id + 1)));
    expect(error?.reason).toBe('TOPIC_ID_MISMATCH');
    expect(error?.metadata['topic_id']).toBe(String(topic.id));
    catalog.deleteTopic('a', String(topic.id));
    expect(reasonOf(() => catalog.deleteTopic('a'))).toBe('TOPIC_NOT_FOUND');
  });
});

describe('limits', () => {
  it('refuses partitions beyond the limit of the installation', () => {
    const catalog = new CatalogFixture();
    for (let i = 0; i < 781; i++) catalog.applyTopic(`t${i}`, { partitions: 256 });
    catalog.applyTopic('rest', { partitions: 64 });
    expect(catalog.state.partitionCountOfAll).toBe(200_000);
    expect(reasonOf(() => catalog.applyTopic('more'))).toBe('LIMIT_REACHED');
    expect(reasonOf(() => catalog.applyTopic('rest', { partitions: 65 }))).toBe('LIMIT_REACHED');
  });

  it('counts deleted topics until their data is gone', () => {
    const catalog = new CatalogFixture();
    for (let i = 0; i < 100_000; i++) catalog.applyTopic(`t${i}`);
    expect(errorOf(() => catalog.applyTopic('more'))?.retryAfterMs).toBe(0);
    const first = catalog.state.requireTopic(parseTopicName('t0'));
    catalog.deleteTopic('t0');
    const error = errorOf(() => catalog.applyTopic('more'));
    expect(error?.reason).toBe('LIMIT_REACHED');
    expect(error?.retryAfterMs).toBeGreaterThan(0);
    for (const event of planTopicDropped(catalog.state, first.id, '0')) catalog.state.apply(event);
    expect(catalog.applyTopic('more').created).toBe(true);
  });
});

it('asserts that commands do not interleave between plan and apply', () => {
  const catalog = new CatalogFixture();
  const { events } = catalog.applyTopic('a');
  for (const event of events) {
    expect(() => catalog.state.apply(event)).toThrow('a created topic has a new name');
    catalog.deleteTopic('a');
    expect(() => catalog.state.apply(event)).toThrow('a created topic has a new id');
  }
});

describe('adding partitions', () => {
  it('is refused while a keyed queue relies on the order of keys, and names it', () => {
    const catalog = new CatalogFixture();
    catalog.applyTopic('t', { partitions: 1 });
    catalog.applySubscription('t', 'by-customer', { kind: 'keyed_queue' });
    const error = errorOf(() => catalog.applyTopic('t', { partitions: 2 }));
    expect(error?.reason).toBe('SPEC_IMMUTABLE');
    expect(error?.message).toContain('by-customer');
  });
});
