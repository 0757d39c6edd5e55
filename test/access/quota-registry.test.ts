import { expect, it } from 'vitest';
import { QuotaRegistry } from '../../broker/access/quota-registry.ts';
import { parseNamespaceName, parseTopicName } from '../../broker/catalog/names.ts';
import { CatalogFixture } from '../catalog/catalog-fixture.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const name = parseTopicName('acme/x/a');

function made() {
  const clock = new VirtualClock();
  const catalog = new CatalogFixture();
  const registry = new QuotaRegistry(clock);
  const { tenant } = catalog.applyTenant('acme', { quota: { publishBytesPerSecond: 10 } });
  return { clock, catalog, registry, tenant };
}

it('shares a limit between all topics of a scope, and follows the spec at once', () => {
  const { catalog, registry, tenant } = made();
  const one = registry.ofTopic(name, tenant);
  const other = registry.ofTopic(parseTopicName('acme/y/b'), tenant);
  one.published(1_000, 1, registry.nowMs());
  expect(other.publishHold(registry.nowMs())?.scope).toBe('acme');
  const x = parseNamespaceName('x');
  const changed = catalog.applyTenant('acme', {
    quota: { publishBytesPerSecond: 0 },
    namespaces: new Map([[x, { quota: { storedBytes: 5 } }]]),
  });
  registry.change(changed.tenant);
  expect(other.publishHold(registry.nowMs())).toBeUndefined();
  expect(() => one.admitPublish('held', registry.nowMs())).toThrow('stored_bytes');
  expect(() => other.admitPublish('held', registry.nowMs())).not.toThrow();
});

it('counts what is published while the stored bytes are summed up on top of the sum', () => {
  const { registry, tenant } = made();
  const quota = registry.ofTopic(name, tenant);
  quota.published(100, 1, registry.nowMs());
  registry.beginLook();
  quota.published(7, 1, registry.nowMs());
  registry.endLook(new Map([['acme', 60]]), () => true);
  expect(registry.usageOf('acme').storedBytes).toBe(67);
  expect(registry.usageOf('acme').traffic.publishBytes).toBe(107);
});

it('counts calls of administration, and keeps a scope until its burst is whole again', () => {
  const { clock, catalog, registry } = made();
  const x = parseNamespaceName('x');
  const { tenant } = catalog.applyTenant('acme', {
    quota: { adminCallsPerSecond: 3 },
    namespaces: new Map([[x, { quota: { adminCallsPerSecond: 2 } }]]),
  });
  registry.admitCall(tenant, x);
  registry.admitCall(tenant, x);
  expect(() => registry.admitCall(tenant, x)).toThrow('admin_calls_per_second of acme/x is 2');
  // What a namespace is refused costs its tenant nothing.
  registry.admitCall(tenant, undefined);
  expect(() => registry.admitCall(tenant, undefined)).toThrow(
    'admin_calls_per_second of acme is 3',
  );
  registry.endLook(new Map(), () => false);
  expect(registry.usageOf('acme').traffic.adminCalls).toBe(3);
  expect(registry.usageOf('acme/x').refusedTotal).toBe(1);
  clock.advance(400);
  registry.admitCall(tenant, undefined);
  clock.advance(1_000);
  registry.endLook(new Map(), () => false);
  expect(registry.scopeCount).toBe(0);
  const { tenant: free } = catalog.applyTenant('acme', { quota: { adminCallsPerSecond: 0 } });
  registry.admitCall(free, undefined);
  expect(registry.scopeCount).toBe(0);
});

it('forgets scopes without topics and connections, and a deleted tenant at once', () => {
  const { registry, tenant } = made();
  const close = registry.ofTopic(name, tenant).openStream('c');
  const look = (topics: readonly string[]): number => {
    registry.beginLook();
    registry.endLook(new Map(), (scope) => topics.includes(scope));
    return registry.scopeCount;
  };
  expect(look([])).toBe(2);
  close();
  expect(look(['acme'])).toBe(1);
  expect(look([])).toBe(0);
  registry.ofTopic(name, tenant).published(5, 1, registry.nowMs());
  registry.forget('acm');
  expect(registry.scopeCount).toBe(2);
  registry.forget('acme');
  expect(registry.usageOf('acme').traffic.publishBytes).toBe(0);
});
