// Memory stays below a stated ceiling whatever clients do: many idle ones, stalled ones, a backlog, a slow reader.
import { Client as GrpcClient, credentials, type ClientDuplexStream } from '@grpc/grpc-js';
import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { connect, type Client } from '../../client/src/index.ts';
import { SubscriptionKind } from '../../proto/gen/millrace/v1/subscription_pb.ts';
import { encodeConsumerOpen, encodeConsumeRequest } from '../../client/src/wire/deliveries.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { itNeeding } from '../support/needs.ts';
import { anonymousMiB, noProcFs } from '../support/process-memory.ts';

/** As docs/operations.md states it: anonymous memory; mapped journal files are the page cache's. */
const ceilingMiB = 1024;
const backlogBytes = 1024 ** 3;
const idleConnections = 1_000;
const stalledConsumers = 200;

describe('memory of a broker', () => {
  let broker: BrokerProcess;
  let client: Client;

  beforeAll(async () => {
    broker = await BrokerProcess.start();
    client = connect({ server: broker.server });
    await client.topics.apply('backlog', { partitions: 4 });
    await client.subscriptions.apply('backlog', 'work', { kind: 'queue' });
  });

  afterAll(async () => {
    await client.close();
    await broker[Symbol.asyncDispose]();
  });

  itNeeding(
    noProcFs,
    'stays below its ceiling',
    async () => {
      const idleMiB = await anonymousMiB(broker.pid);
      await publishBacklog(client);
      const afterBacklogMiB = await anonymousMiB(broker.pid);
      const idle = await openIdleConnections(broker.server);
      const stalled = await openStalledConsumers(broker.server);
      const slow = client.reader('backlog', { from: 'earliest' });
      for await (const batch of slow.batches()) if (batch.recordCount > 0) break;
      const worstMiB = await highestOf(20, () => anonymousMiB(broker.pid));

      // A well-behaved publisher is still served.
      const publisher = client.publisher('backlog');
      await publisher.publish({ value: 'served' });
      await publisher.close();

      for (const session of idle) session.destroy();
      for (const consumer of stalled) consumer.close();
      const figures = `idle ${idleMiB}, after the backlog ${afterBacklogMiB}, worst ${worstMiB} MiB`;
      expect(worstMiB, figures).toBeLessThan(ceilingMiB);
    },
    120_000,
  );
});

async function publishBacklog(client: Client): Promise<void> {
  const publisher = client.publisher('backlog');
  const value = Buffer.alloc(16 * 1024, 'x');
  for (let bytes = 0; bytes < backlogBytes; bytes += value.length) {
    publisher.send({ value, partition: (bytes / value.length) % 4 });
    const full = publisher.ready();
    if (full !== undefined) await full;
  }
  await publisher.close();
}

async function openIdleConnections(server: string): Promise<ClientHttp2Session[]> {
  const sessions: ClientHttp2Session[] = [];
  for (let i = 0; i < idleConnections; i++) {
    const session = connectHttp2(`http://${server}`);
    session.on('error', () => {});
    // One call each: who makes none is closed.
    const call = session.request({
      ':method': 'POST',
      ':path': '/grpc.health.v1.Health/Check',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    call.on('error', () => {});
    call.resume();
    call.end(Buffer.alloc(5));
    sessions.push(session);
    if (i % 50 === 0) await once(session, 'connect');
  }
  return sessions;
}

/** Consumers that give much credit and then never read. */
async function openStalledConsumers(server: string): Promise<GrpcClient[]> {
  const clients: GrpcClient[] = [];
  const raw = (bytes: Buffer): Buffer => bytes;
  for (let i = 0; i < stalledConsumers; i++) {
    const grpc = new GrpcClient(server, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
    });
    clients.push(grpc);
    const call: ClientDuplexStream<Buffer, Buffer> = grpc.makeBidiStreamRequest(
      '/millrace.v1.ConsumeService/ConsumeStream',
      raw,
      raw,
    );
    call.on('error', () => {});
    call.pause();
    call.write(encodeConsumerOpen('backlog', 'work', '', SubscriptionKind.QUEUE));
    call.write(
      encodeConsumeRequest({
        creditRecords: 1_000_000,
        creditBytes: 1_000_000_000,
        acks: [],
        confirmId: 0,
      }),
    );
  }
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  return clients;
}

async function highestOf(times: number, measure: () => Promise<number>): Promise<number> {
  let highest = 0;
  for (let i = 0; i < times; i++) {
    highest = Math.max(highest, await measure());
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return highest;
}
