// The orders example on a real broker: a real event file through the SDK, replayed and worked through.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, type Client } from '../../client/src/index.ts';
import { writeOrders } from '../../examples/orders/generate.ts';
import {
  ingest,
  replay,
  workThrough,
  type Ingested,
  type Replayed,
  type WorkedThrough,
} from '../../examples/orders/pipeline.ts';
import { BrokerProcess } from '../support/broker-process.ts';

const orders = 100_000;

describe('100,000 orders from a file', () => {
  let directory: string;
  let broker: BrokerProcess;
  let client: Client;
  let ingested: Ingested;
  let replayed: Replayed;
  let worked: WorkedThrough;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'millrace-orders-'));
    const file = join(directory, 'orders.jsonl');
    await writeOrders({ orders, seed: 7, file });
    broker = await BrokerProcess.start();
    client = connect({ server: broker.server });
    await client.topics.apply('orders', { partitions: 4 });
    ingested = await ingest(client, 'orders', file);
    replayed = await replay(client, 'orders');
    worked = await workThrough(client, 'orders', 'billing', orders);
  }, 120_000);

  afterAll(async () => {
    await client.close();
    await broker[Symbol.asyncDispose]();
    await rm(directory, { recursive: true, force: true });
  });

  it('is a file of believable size', () => {
    expect(ingested.records).toBe(orders);
    expect(ingested.bytes).toBeGreaterThan(20_000_000);
    expect(ingested.bytes).toBeLessThan(50_000_000);
  });

  it('is replayed completely, in order per partition, with the bytes that were published', () => {
    expect(replayed).toEqual({ records: orders, checksum: ingested.checksum, outOfOrder: 0 });
  });

  it('is worked through completely, although one worker fails now and then', () => {
    expect(worked.done).toBe(orders);
    expect(worked.failed).toBeGreaterThan(0);
  });

  it('leaves nothing unacked, and nothing came again after it had succeeded', async () => {
    expect(worked.repeatedAfterAck).toBe(0);
    const { partitions } = await client.subscriptions.get('orders', 'billing');
    expect(partitions.map(({ backlog }) => backlog)).toEqual([0, 0, 0, 0]);
  });
});
