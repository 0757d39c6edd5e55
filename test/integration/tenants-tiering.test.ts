// Two tenants on one object store: what is of one is never in an object of the other, over deletion, restart and
// recovery from the bucket.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { fsckAt } from '../../broker/fsck.ts';
import { recover } from '../../broker/recover.ts';
import type { Client } from '../../client/src/index.ts';
import { connect } from '../../client/src/index.ts';
import { startBroker } from '../../broker/main.ts';
import { readSettings } from '../../broker/settings.ts';
import { TieredBroker } from '../support/tiered-broker.ts';

const topicsEach = 3;

/** Small topics, whose batches share objects as far as they may. */
async function publishMarked(client: Client, tenant: string): Promise<void> {
  const topics = Array.from({ length: topicsEach }, (_, i) => `${tenant}/n${i}/t`);
  for (const topic of topics) {
    await client.topics.apply(topic);
    const publisher = client.publisher(topic);
    for (let i = 0; i < 20; i++) {
      await publisher.publish({ value: `record of ${tenant}: ${'.'.repeat(200)}` });
    }
    await publisher.close();
  }
  await Promise.all(topics.map((topic) => client.topics.offload(topic, { wait: true })));
}

/** Ids of the tenants in whose objects the text stands. */
async function holdersOf(broker: TieredBroker, text: string): Promise<string[]> {
  const holders = new Set<string>();
  for (const path of await broker.objectPaths('.seg')) {
    const bytes = await readFile(path);
    if (bytes.includes(text)) holders.add(/tenants\/(\d+)\//.exec(path)?.[1] ?? path);
  }
  return [...holders];
}

it('keeps two tenants apart in the object store, also when one comes again', async () => {
  await using broker = await TieredBroker.start();
  const { client } = broker;
  const ids: Record<string, string> = {};
  for (const name of ['acme', 'beta']) {
    ids[name] = (await client.tenants.apply(name)).tenant.tenantId;
  }
  await Promise.all(['acme', 'beta'].map((tenant) => publishMarked(client, tenant)));
  for (const name of ['acme', 'beta']) {
    expect(await holdersOf(broker, `record of ${name}:`)).toEqual([ids[name]]);
  }

  for (let i = 0; i < topicsEach; i++) await client.topics.delete(`acme/n${i}/t`);
  await client.tenants.delete('acme');
  const holders = () => holdersOf(broker, 'record of acme:');
  await expect.poll(holders, { timeout: 20_000 }).toEqual([]);
  expect(await holdersOf(broker, 'record of beta:')).toEqual([ids['beta']]);

  const again = (await client.tenants.apply('acme')).tenant.tenantId;
  expect(Number(again)).toBeGreaterThan(Number(ids['beta']));
  await publishMarked(client, 'acme');
  expect(await holders()).toEqual([again]);
  const url = `file://${join(broker.directory, 'objects')}`;
  await broker.close();
  const report = await fsckAt(url, {}, { isFast: false, nowMs: 0, progress: () => {} });
  expect(report.findings.filter(({ kind }) => kind !== 'orphan')).toEqual([]);
}, 90_000);

it('brings tenants back from the bucket, with ids, policies and quotas', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'millrace-recovered-'));
  try {
    await using broker = await TieredBroker.start();
    const { client } = broker;
    const { tenant } = await client.tenants.apply('acme', {
      policy: { batchBytesMax: 4_096 },
      quota: { topics: topicsEach },
      namespaces: { n1: { policy: { timeToLiveMs: 60_000 } } },
    });
    await publishMarked(client, 'acme');
    await broker.close();
    const objectStore = `file://${join(broker.directory, 'objects')}`;
    await recover({ objectStore, dataDir, variables: {}, owner: 'test' });
    const flags = { dataDir, objectStore, listen: '127.0.0.1:0', httpListen: '127.0.0.1:0' };
    const recovered = await startBroker(readSettings(flags, {}), (error) => {
      throw error;
    });
    try {
      await using again = connect({ server: recovered.grpcAddress });
      const { usage: _usage, namespaceUsage: _of, ...found } = await again.tenants.get('acme');
      expect(found).toEqual(tenant);
      const { policy, policySources } = await again.topics.get('acme/n1/t');
      expect([policy.batchBytesMax, policy.timeToLiveMs]).toEqual([4_096, 60_000]);
      expect([policySources.batchBytesMax, policySources.timeToLiveMs]).toEqual([
        'tenant',
        'namespace',
      ]);
      await expect(again.topics.apply('acme/n1/more')).rejects.toMatchObject({
        reason: 'QUOTA_EXCEEDED',
        metadata: { quota: 'topics', scope: 'acme' },
      });
    } finally {
      await recovered.close();
    }
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}, 90_000);
