// Quotas of tenants against a real broker: each is hit, told, and released, and another tenant feels nothing.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, type Client, type Quota } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';

let broker: BrokerProcess;
let client: Client;

beforeAll(async () => {
  broker = await BrokerProcess.start({ args: ['--retention-interval-ms', '50'] });
  client = connect({ server: broker.server });
}, 60_000);

afterAll(async () => {
  await client.close();
  await broker[Symbol.asyncDispose]();
});

async function tenantWithTopic(tenant: string, quota: Partial<Quota>): Promise<string> {
  await client.tenants.apply(tenant, { quota });
  const topic = `${tenant}/x/t`;
  await client.topics.apply(topic);
  return topic;
}

/** Publishes so many records of 10 KB through a stream; answers how long that took, ms. */
async function publish(topic: string, count: number): Promise<number> {
  const begunMs = performance.now();
  const publisher = client.publisher(topic, { batchBytes: 20_000 });
  for (let i = 0; i < count; i++) await publisher.publish({ value: Buffer.alloc(10_000) });
  await publisher.close();
  return performance.now() - begunMs;
}

const raised = { publishBytesPerSecond: 0, deliveryBytesPerSecond: 0 };

describe('publishing', () => {
  it('is held back at the rate beyond the burst, loses nothing, and another tenant goes on', async () => {
    const topic = await tenantWithTopic('slow', { publishBytesPerSecond: 100_000 });
    const other = await tenantWithTopic('quick', {});
    // The burst of one second, then two seconds' worth.
    const slow = publish(topic, 30);
    const quickMs = await publish(other, 30);
    const slowMs = await slow;
    expect(slowMs).toBeGreaterThan(1_500);
    expect(quickMs).toBeLessThan(slowMs);
    const { usage } = await client.tenants.get('slow');
    expect(usage.heldBackTotal).toBeGreaterThan(0);
    expect(usage.refusedTotal).toBe(0);
    expect((await client.topics.get(topic)).partitions[0]?.endOffset).toBe(30);
    expect((await client.tenants.get('quick')).usage.heldBackTotal).toBe(0);
  }, 60_000);

  it('goes on at once when the quota is raised', async () => {
    const topic = await tenantWithTopic('raised', { publishBytesPerSecond: 1_000 });
    // At this rate it would take five minutes.
    const publishing = publish(topic, 30);
    const held = async () => (await client.tenants.get('raised')).usage.heldBackTotal;
    await expect.poll(held, { timeout: 20_000 }).toBeGreaterThan(0);
    await client.tenants.apply('raised', { quota: raised });
    expect(await publishing).toBeLessThan(60_000);
  }, 90_000);

  it('is refused when the stored bytes are used up, and admitted when retention made room', async () => {
    const topic = await tenantWithTopic('full', { storedBytes: 50_000 });
    const publisher = client.publisher(topic, { batchBytes: 10_000 });
    const refused = (async () => {
      for (let i = 0; i < 10; i++) await publisher.publish({ value: Buffer.alloc(10_000) });
    })();
    const usage = async () => (await client.tenants.get('full')).usage;
    await expect
      .poll(async () => (await usage()).refusedTotal, { timeout: 20_000 })
      .toBeGreaterThan(0);
    expect((await usage()).storedBytes).toBeGreaterThanOrEqual(50_000);
    const retention = { ageMs: 1, bytes: 0, forever: false, unackedAgeMs: 0 };
    await client.tenants.apply('full', { policy: { retention } });
    await refused;
    await publisher.close();
    expect((await client.topics.get(topic)).partitions[0]?.endOffset).toBe(10);
  }, 90_000);
});

describe('unary calls', () => {
  it('are refused with the name of the quota and a delay, and charge nothing then', async () => {
    const topic = await tenantWithTopic('calls', {
      publishRecordsPerSecond: 1,
      deliveryBytesPerSecond: 1_000,
    });
    await client.subscriptions.apply(topic, 'q', { kind: 'queue' });
    await publish(topic, 1);
    expect((await client.pull(topic, 'q', { waitMs: 5_000 })).length).toBe(1);
    await expect(client.pull(topic, 'q')).rejects.toMatchObject({
      reason: 'QUOTA_EXCEEDED',
      metadata: { quota: 'delivery_bytes_per_second', scope: 'calls', limit: '1000' },
    });
  }, 60_000);
});

describe('calls of administration', () => {
  it('are refused over the rate, of this tenant only, and its streams go on', async () => {
    const topic = await tenantWithTopic('asks', { adminCallsPerSecond: 5 });
    const other = await tenantWithTopic('asks2', {});
    const ask = (name: string) =>
      client.topics.get(name).then(
        () => undefined,
        (error: unknown) => error,
      );
    const answers = await Promise.all(Array.from({ length: 50 }, () => ask(topic)));
    const refused = answers.filter((answer) => answer !== undefined);
    expect(refused.length).toBeGreaterThan(30);
    expect(refused[0]).toMatchObject({
      reason: 'QUOTA_EXCEEDED',
      metadata: { quota: 'admin_calls_per_second', scope: 'asks', limit: '5' },
    });
    expect((refused[0] as { readonly retryAfterMs?: number }).retryAfterMs).toBeGreaterThan(0);
    expect(await ask(other)).toBeUndefined();
    await publish(topic, 1);
    expect((await client.tenants.get('asks')).usage.refusedTotal).toBe(refused.length);
    await expect.poll(() => ask(topic), { timeout: 10_000 }).toBeUndefined();
  }, 60_000);
});

describe('deliveries', () => {
  it('to readers and consumers are held back, and another tenant goes on', async () => {
    const topic = await tenantWithTopic('reads', { deliveryBytesPerSecond: 100_000 });
    const other = await tenantWithTopic('reads2', {});
    await client.subscriptions.apply(topic, 'q', { kind: 'queue' });
    await publish(topic, 40);
    await publish(other, 40);
    const read = async (name: string): Promise<number> => {
      const begunMs = performance.now();
      let count = 0;
      for await (const record of client.reader(name, { from: 'earliest', stopAtEnd: true })) {
        count += record.value.length > 0 ? 1 : 0;
      }
      expect(count).toBe(40);
      return performance.now() - begunMs;
    };
    const [slowMs, quickMs] = await Promise.all([read(topic), read(other)]);
    expect(slowMs).toBeGreaterThan(1_500);
    expect(quickMs).toBeLessThan(slowMs);
    let consumed = 0;
    const begunMs = performance.now();
    const work = client.consume(topic, 'q', () => void consumed++);
    await expect.poll(() => consumed, { timeout: 30_000 }).toBe(40);
    expect(performance.now() - begunMs).toBeGreaterThan(1_500);
    await work.close();
    await client.tenants.apply('reads', { quota: raised });
  }, 90_000);
});

describe('connections', () => {
  it('are counted per tenant while they have a stream open', async () => {
    const topic = await tenantWithTopic('few', { connections: 1 });
    const first = connect({ server: broker.server });
    const publisher = first.publisher(topic);
    await publisher.publish({ value: 'a' });
    const usage = async () => (await client.tenants.get('few')).usage;
    await using second = connect({ server: broker.server });
    const waiting = second.reader(topic, { from: 'earliest' })[Symbol.asyncIterator]().next();
    await expect.poll(async () => (await usage()).refusedTotal).toBeGreaterThan(0);
    // The same connection may open as many streams as it likes.
    const again = first.reader(topic, { from: 'earliest' });
    expect((await again[Symbol.asyncIterator]().next()).done).toBe(false);
    expect((await usage()).connections).toBe(1);
    await first.close();
    expect((await waiting).done).toBe(false);
    expect((await usage()).connections).toBe(1);
  }, 60_000);
});

describe('policies', () => {
  it('of a tenant and a namespace reach existing topics at once, with their source', async () => {
    const topic = await tenantWithTopic('heirs', {});
    const inForce = async () => {
      const { policy, policySources } = await client.topics.get(topic);
      return [policy.batchBytesMax, policySources.batchBytesMax];
    };
    expect(await inForce()).toEqual([1024 * 1024, 'cluster']);
    await client.tenants.apply('heirs', { policy: { batchBytesMax: 2048 } });
    expect(await inForce()).toEqual([2048, 'tenant']);
    await expect(
      client.publisher(topic).publish({ value: Buffer.alloc(4096) }),
    ).rejects.toMatchObject({ reason: 'BATCH_TOO_LARGE' });
    await client.tenants.apply('heirs', { namespaces: { x: { policy: { batchBytesMax: 8192 } } } });
    expect(await inForce()).toEqual([8192, 'namespace']);
    const publisher = client.publisher(topic);
    await publisher.publish({ value: Buffer.alloc(4096) });
    await publisher.close();
    await client.topics.apply(topic, { batchBytesMax: 1024 });
    expect(await inForce()).toEqual([1024, 'topic']);
    await client.topics.apply(topic, {}, { inherit: ['batchBytesMax'] });
    await client.tenants.apply('heirs', { namespaces: { x: { unset: true } } });
    expect(await inForce()).toEqual([2048, 'tenant']);
    await client.tenants.apply('heirs', { inherit: ['batchBytesMax'] });
    expect(await inForce()).toEqual([1024 * 1024, 'cluster']);
  }, 60_000);

  it('of retention are what the shards delete by, without the topic being touched', async () => {
    const topic = await tenantWithTopic('short', {});
    await publish(topic, 3);
    const retention = { ageMs: 1, bytes: 0, forever: false, unackedAgeMs: 0 };
    await client.tenants.apply('short', { policy: { retention } });
    const start = async () => (await client.topics.get(topic)).partitions[0]?.startOffset;
    await expect.poll(start, { timeout: 20_000 }).toBe(3);
  }, 60_000);
});

it('shows tenants in the metrics, and keeps them over a restart', async () => {
  const metrics = await broker.metrics();
  expect(metrics).toMatch(/^millrace_tenant_published_bytes_total\{tenant="slow"\} [1-9]/m);
  expect(metrics).toMatch(/^millrace_tenants_unlisted 0$/m);
  await client.tenants.apply('gone');
  await client.tenants.delete('gone');
  const before = await client.tenants.apply('gone', { quota: { topics: 7 } });
  await broker.kill('SIGKILL');
  await broker.restart();
  const after = await client.tenants.get('gone');
  expect(after).toMatchObject({ tenantId: before.tenant.tenantId, quota: { topics: 7 } });
  await client.topics.apply('gone/x/t');
  await expect(client.tenants.delete('gone')).rejects.toMatchObject({ reason: 'TENANT_NOT_EMPTY' });
}, 60_000);
