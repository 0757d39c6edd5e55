// A broker on a real S3 store: records leave the disk, come back, live through kill -9 and a store that is away.
import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Client as MinioClient } from 'minio';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { fsckAt } from '../../broker/fsck.ts';
import { recover } from '../../broker/recover.ts';
import { connect, type Client } from '../../client/src/index.ts';
import { missingS3, S3Store } from '../services/minio.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { describeNeeding } from '../support/needs.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

describeNeeding(missingS3(), 'a broker on S3', () => {
  let server: S3Store;
  let proxy: TcpProxy;
  let broker: BrokerProcess;
  let client: Client;
  let url = '';
  let variables: Readonly<Record<string, string>> = {};

  beforeAll(async () => {
    server = await S3Store.start();
    const { endpoint, accessKey, secretKey, region } = server.address;
    const { hostname, port } = new URL(endpoint);
    const bucket = `tiering-${randomBytes(4).toString('hex')}`;
    const admin = { endPoint: hostname, port: Number(port), useSSL: false, accessKey, secretKey };
    await new MinioClient({ ...admin, region }).makeBucket(bucket, region);
    proxy = await TcpProxy.start(`${hostname}:${port}`);
    url = `s3://${bucket}/m?endpoint=http://${proxy.address}&region=${region}`;
    variables = { AWS_ACCESS_KEY_ID: accessKey, AWS_SECRET_ACCESS_KEY: secretKey };
    broker = await BrokerProcess.start({
      env: variables,
      args: [
        ['--object-store', url, '--generation-bytes', '2M', '--hot-bytes', '1'],
        ['--retention-interval-ms', '50', '--checkpoint-upload-interval-ms', '100'],
        ['--garbage-interval-ms', '300', '--garbage-grace-ms', '0'],
      ].flat(),
    });
    client = connect({ server: broker.server });
    const forever = { ageMs: 0, bytes: 0, forever: true, unackedAgeMs: 0 };
    await client.topics.apply('t', { retention: forever });
  }, 60_000);

  afterAll(async () => {
    await client.close();
    await broker[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  const valueOf = (i: number): string => `${i} `.padEnd(1_000, 'x');
  let published = 0;

  async function publish(count: number): Promise<void> {
    const publisher = client.publisher('t');
    const from = published;
    published += count;
    const records = Array.from({ length: count }, (_, i) => ({ value: valueOf(from + i) }));
    await Promise.all(records.map((record) => publisher.publish(record)));
    await publisher.close();
  }

  async function expectAll(): Promise<void> {
    let next = 0;
    for await (const record of client.reader('t', { from: 'earliest', stopAtEnd: true })) {
      if (record.offset !== next || record.text() !== valueOf(next)) {
        expect({ offset: record.offset, value: record.text() }).toEqual({ offset: next });
      }
      next++;
    }
    expect(next).toBe(published);
  }

  it('offloads, reads back, and is the same after kill -9', async () => {
    await publish(8_000);
    await client.topics.offload('t', { wait: true });
    await publish(3_000);
    await expectAll();
    await broker.kill('SIGKILL');
    await broker.restart();
    await expectAll();
    expect((await client.topics.get('t')).coldBytes).toBeGreaterThan(7_000_000);
  }, 60_000);

  it('goes on publishing while the store is away, and catches up when it is back', async () => {
    proxy.setAccepting(false);
    proxy.cut();
    await publish(4_000);
    await expect(client.topics.offload('t', { wait: true })).rejects.toMatchObject({
      reason: 'STORE_FAILED',
    });
    proxy.setAccepting(true);
    await expect
      .poll(async () => (await client.topics.get('t')).partitions[0]?.offloadedEndOffset, {
        timeout: 30_000,
      })
      .toBeGreaterThan(12_000);
    await expectAll();
  }, 60_000);

  it('that starts while the store is away waits, alive and not ready, and says why', async () => {
    await broker.kill('SIGKILL');
    proxy.setAccepting(false);
    proxy.cut();
    const starting = broker.restart();
    const ready = async (): Promise<string> => {
      const response = await fetch(`http://${broker.http}/readyz`).catch(() => undefined);
      return response === undefined ? '' : await response.text();
    };
    await expect.poll(ready, { timeout: 10_000 }).toContain('waiting for the object store');
    proxy.setAccepting(true);
    await starting;
    await expectAll();
  }, 60_000);

  it('leaves a store that is clean, and from which a new broker is made', async () => {
    await client.topics.offload('t', { wait: true });
    const options = { isFast: false, nowMs: 0, progress: () => {} };
    await expect
      .poll(async () => (await fsckAt(url, variables, options)).findings, { timeout: 20_000 })
      .toEqual([]);
    const dataDir = join(broker.dataDir, 'recovered');
    await broker.kill('SIGKILL');
    const report = await recover({ objectStore: url, variables, dataDir, owner: 'test' });
    expect(report.partitions).toMatchObject([{ topic: 'public/default/t', endOffset: published }]);
    await rm(dataDir, { recursive: true });
  }, 60_000);
});
