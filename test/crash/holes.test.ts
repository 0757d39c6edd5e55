// Acks with holes everywhere, over `kill -9`: nothing acked comes back, nothing else is lost, and the broker remembers
// them in little memory. HOLES says how many (default 100,000; docs/guarantees.md states what a million take).
import { afterAll, beforeAll, describe, expect, vi } from 'vitest';
import { connect, type Client } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { itNeeding } from '../support/needs.ts';
import { anonymousMiB, noProcFs } from '../support/process-memory.ts';

const holes = Number(process.env['HOLES'] ?? 100_000);
/** Of one partition up to 100,000 records may be in flight. */
const partitions = Math.max(4, Math.ceil(holes / 62_500));
const perPartition = Math.ceil(holes / partitions) * 2;
const total = perPartition * partitions;
/** Every other record, and the first: a consumer may hold a million, and needs room for the last one. */
const isAcked = (offset: number): boolean => offset % 2 === 1 || offset === 0;
const unacked = total / 2 - partitions;
const polled = { timeout: 240_000, interval: 200 };
/** More than an idle broker takes, for the holes and the records on their way. */
const moreMiBMax = 400;

vi.setConfig({ testTimeout: 300_000 });

let broker: BrokerProcess;
let client: Client;

beforeAll(async () => {
  broker = await BrokerProcess.start();
  client = connect({ server: broker.server });
});

afterAll(async () => {
  await client.close();
  await broker[Symbol.asyncDispose]();
});

async function totals() {
  const status = await client.subscriptions.get('holes', 'work');
  let [backlog, acked, inFlight] = [0, 0, 0];
  for (const partition of status.partitions) {
    backlog += partition.backlog;
    acked += partition.ackedOffset + partition.ackedAbove;
    inFlight += partition.inFlight;
  }
  return { backlog, acked, inFlight };
}

async function publishAll(): Promise<void> {
  const publisher = client.publisher('holes');
  for (let i = 0; i < total; i++) {
    publisher.send({ value: '', partition: i % partitions });
    const full = publisher.ready();
    if (full !== undefined) await full;
  }
  await publisher.close();
}

describe(`${holes} holes between acks`, () => {
  itNeeding(
    noProcFs,
    'survive kill -9 in bounded memory: what is acked stays, what is not comes',
    async () => {
      await client.topics.apply('holes', { partitions });
      await client.subscriptions.apply('holes', 'work', {
        kind: 'queue',
        ackDeadlineMs: 3_600_000,
      });
      const idleMiB = await anonymousMiB(broker.pid);
      await publishAll();
      // Credit for all that is held in the end.
      const [prefetchRecords, prefetchBytes] = [Math.min(total, 1_000_000), 256 * 1024 * 1024];
      const holder = client.consumer('holes', 'work', { prefetchRecords, prefetchBytes });
      const messages = holder[Symbol.asyncIterator]();
      const confirmed: Promise<void>[] = [];
      for (let seen = 0; seen < total; seen++) {
        const next = await messages.next();
        if (next.done === true) throw new Error('the consumer has ended');
        const message = next.value;
        if (!isAcked(message.offset)) continue;
        // Whoever is told that the last one is durable knows it of those before.
        if (message.offset === perPartition - 1) confirmed.push(message.ackConfirmed());
        else message.ack();
      }
      await Promise.all(confirmed);
      const half = { backlog: unacked, acked: total - unacked };
      await expect.poll(totals, polled).toMatchObject(half);
      const heldMiB = await anonymousMiB(broker.pid);
      await broker.kill('SIGKILL');
      await holder.close();
      await broker.restart();
      await expect.poll(totals, polled).toMatchObject(half);
      const restartedMiB = await anonymousMiB(broker.pid);

      const wrong: string[] = [];
      let left = 0;
      const work = client.consume('holes', 'work', ({ partition, offset }) => {
        left++;
        if (isAcked(offset)) wrong.push(`${partition}/${offset}`);
      });
      await expect.poll(totals, polled).toEqual({ backlog: 0, acked: total, inFlight: 0 });
      await work.close();
      expect(wrong).toEqual([]);
      expect(left).toBe(unacked);
      const figures = `idle ${idleMiB}, with holes ${heldMiB}, after the restart ${restartedMiB} MiB`;
      expect(Math.max(heldMiB, restartedMiB), figures).toBeLessThan(idleMiB + moreMiBMax);
    },
  );
});
