import { describe, expect, it } from 'vitest';
import { parseNamespaceName } from '../../broker/catalog/names.ts';
import { noQuota } from '../../broker/catalog/quota.ts';
import { errorOf, reasonOf } from '../support/reason-of.ts';
import { CatalogFixture } from './catalog-fixture.ts';

const billing = parseNamespaceName('billing');

describe('tenants', () => {
  it('begin with public, which has id 1 and stays', () => {
    const catalog = new CatalogFixture();
    expect(catalog.state.tenants.require('public').id).toBe(1);
    expect(reasonOf(() => catalog.deleteTenant('public'))).toBe('ARGUMENT_INVALID');
    expect(catalog.applyTenant('acme').tenant.id).toBe(2);
  });

  it('are created once, by revision if wanted', () => {
    const catalog = new CatalogFixture();
    const { tenant, created, changes } = catalog.applyTenant('acme', {}, { revision: '0' });
    expect(created).toBe(true);
    expect(changes).toEqual(['create tenant acme']);
    expect(tenant.spec).toEqual({
      policy: {},
      quota: noQuota,
      namespaces: new Map(),
      labels: new Map(),
    });
    expect(reasonOf(() => catalog.applyTenant('acme', {}, { revision: '0' }))).toBe(
      'REVISION_MISMATCH',
    );
    expect(catalog.applyTenant('acme')).toMatchObject({ created: false, changes: [], events: [] });
  });

  it('keep what is not named, and say what changes with the names of the API', () => {
    const catalog = new CatalogFixture();
    catalog.applyTenant('acme', { policy: { timeToLiveMs: 5 }, quota: { topics: 3 } });
    const namespaces = new Map([[billing, { quota: { partitions: 4 } }]]);
    const plan = catalog.applyTenant('acme', {
      quota: { storedBytes: 7 },
      inherit: ['timeToLiveMs'],
      namespaces,
    });
    expect(plan.changes).toEqual([
      'time_to_live_ms: 5 -> inherited',
      'quota.stored_bytes: 0 -> 7',
      'billing/quota.partitions: 0 -> 4',
    ]);
    expect(plan.tenant.spec.quota).toEqual({ ...noQuota, topics: 3, storedBytes: 7 });
  });

  it('have no entry for a namespace that says nothing', () => {
    const catalog = new CatalogFixture();
    const say = (change: object) =>
      catalog.applyTenant('acme', { namespaces: new Map([[billing, change]]) }).tenant.spec;
    expect(say({}).namespaces.size).toBe(0);
    expect(say({ policy: { timeToLiveMs: 0 } }).namespaces.size).toBe(1);
    expect(say({ quota: { topics: 1 } }).namespaces.size).toBe(1);
    expect(say({ inherit: ['timeToLiveMs'] }).namespaces.size).toBe(1);
    expect(say({ quota: { topics: 0 } }).namespaces.size).toBe(0);
    say({ policy: { timeToLiveMs: 0 }, quota: { topics: 1 } });
    expect(say({ remove: true }).namespaces.size).toBe(0);
  });

  it('have at most 1,000 namespaces that say something', () => {
    const catalog = new CatalogFixture();
    const many = (count: number) =>
      new Map(
        Array.from({ length: count }, (_, i) => [
          parseNamespaceName(`n${i}`),
          { quota: { topics: 1 } },
        ]),
      );
    expect(reasonOf(() => catalog.applyTenant('acme', { namespaces: many(1_001) }))).toBe(
      'LIMIT_REACHED',
    );
    expect(catalog.applyTenant('acme', { namespaces: many(1_000) }).created).toBe(true);
  });

  it('are at most 10,000', () => {
    const catalog = new CatalogFixture();
    for (let i = 1; i < 10_000; i++) catalog.applyTenant(`t${i}`);
    expect(reasonOf(() => catalog.applyTenant('more'))).toBe('LIMIT_REACHED');
    catalog.deleteTenant('t1');
    expect(catalog.applyTenant('more').created).toBe(true);
  });

  it('refuse quotas that are no amounts', () => {
    for (const topics of [-1, 0.5, 2 ** 53]) {
      const error = errorOf(() => new CatalogFixture().applyTenant('acme', { quota: { topics } }));
      expect(error?.reason).toBe('SPEC_INVALID');
      expect(error?.metadata['field']).toBe('quota.topics');
    }
  });
});

describe('deleting a tenant', () => {
  it('is refused while it has topics', () => {
    const catalog = new CatalogFixture();
    catalog.applyTenant('acme');
    catalog.applyTopic('acme/x/a');
    const error = errorOf(() => catalog.deleteTenant('acme'));
    expect(error?.reason).toBe('TENANT_NOT_EMPTY');
    expect(error?.metadata['topics']).toBe('1');
    catalog.deleteTopic('acme/x/a');
    catalog.deleteTenant('acme');
    expect(reasonOf(() => catalog.applyTopic('acme/x/a'))).toBe('TENANT_NOT_FOUND');
  });

  it('and creating it again gives another tenant, with another id for its topics', () => {
    const catalog = new CatalogFixture();
    const first = catalog.applyTenant('acme').tenant;
    const before = catalog.applyTopic('acme/x/a').topic;
    catalog.deleteTopic('acme/x/a');
    catalog.deleteTenant('acme', String(first.id));
    const second = catalog.applyTenant('acme').tenant;
    expect(second.id).toBeGreaterThan(first.id);
    const after = catalog.applyTopic('acme/x/a').topic;
    expect([before.tenantId, after.tenantId]).toEqual([first.id, second.id]);
    expect(reasonOf(() => catalog.deleteTenant('acme', String(first.id)))).toBe(
      'TENANT_ID_MISMATCH',
    );
  });
});

describe('quotas of amounts', () => {
  it.each([
    ['topics', 2],
    ['partitions', 4],
    ['subscriptions', 2],
  ] as const)('of %s are hit and released, in the tenant and in a namespace', (quota, limit) => {
    for (const scope of ['acme', 'acme/billing']) {
      const catalog = new CatalogFixture();
      const change = { quota: { [quota]: limit } };
      if (scope === 'acme') catalog.applyTenant('acme', change);
      else catalog.applyTenant('acme', { namespaces: new Map([[billing, change]]) });
      const fill = (topic: string): void => {
        catalog.applyTopic(topic, { partitions: 2 });
        catalog.applySubscription(topic, 's', { kind: 'queue' });
      };
      fill('acme/billing/a');
      fill('acme/billing/b');
      const error = errorOf(() => fill('acme/billing/c'));
      expect(error?.reason).toBe('QUOTA_EXCEEDED');
      expect(error?.metadata).toMatchObject({ quota, scope, limit: String(limit) });
      // Whoever is over one namespace's quota may go on in others; over the tenant's in none.
      const inOther = reasonOf(() => fill('acme/other/a'));
      expect(inOther).toBe(scope === 'acme' ? 'QUOTA_EXCEEDED' : 'nothing');
      fill('public/billing/a');
      catalog.deleteTopic('acme/billing/a');
      expect(reasonOf(() => fill('acme/billing/c'))).toBe('nothing');
    }
  });

  it('count partitions that are added', () => {
    const catalog = new CatalogFixture();
    catalog.applyTenant('acme', { quota: { partitions: 3 } });
    catalog.applyTopic('acme/x/a', { partitions: 2 });
    expect(reasonOf(() => catalog.applyTopic('acme/x/a', { partitions: 4 }))).toBe(
      'QUOTA_EXCEEDED',
    );
    expect(catalog.applyTopic('acme/x/a', { partitions: 3 }).topic.partitions).toHaveLength(3);
  });

  it('leave what there is when they are lowered below it', () => {
    const catalog = new CatalogFixture();
    catalog.applyTenant('acme');
    catalog.applyTopic('acme/x/a');
    catalog.applyTopic('acme/x/b');
    catalog.applyTenant('acme', { quota: { topics: 1 } });
    expect(catalog.applyTopic('acme/x/a', { timeToLiveMs: 5 }).changes).toHaveLength(1);
    expect(reasonOf(() => catalog.applyTopic('acme/x/c'))).toBe('QUOTA_EXCEEDED');
  });
});
