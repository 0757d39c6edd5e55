// The noisy neighbour: one tenant tries ten times its quota in bytes, from several connections, while another one works
// at its own pace. What the quiet one gets alone and beside the noisy one is what a quota is for.
import { randomBytes } from 'node:crypto';
import type { Client } from '../../client/src/index.ts';
import type { Figure, Workload, WorkloadContext } from '../workload.ts';
import { percentile } from '../workload.ts';
import { publishAtRate } from './fixed-rate.ts';

const quotaBytesPerSecond = 5_000_000;
const noisyConnections = 4;
const quietRecordsPerSecond = 2_000;
const valueBytes = 1_000;

export const neighbourWorkloads: readonly Workload[] = [
  {
    name: 'noisy-neighbour',
    description:
      'a tenant publishes 2,000 1 KB records/s, alone and beside one that tries 50 MB/s against a quota of 5 MB/s on ' +
      '4 connections; what the quiet one gets, and what the noisy one',
    run: noisyNeighbour,
  },
];

async function noisyNeighbour(context: WorkloadContext): Promise<readonly Figure[]> {
  const admin = context.connect();
  const suffix = randomBytes(4).toString('hex');
  const [noisy, quiet] = [`noisy-${suffix}`, `quiet-${suffix}`];
  const topics = [`${noisy}/bench/t`, `${quiet}/bench/t`] as const;
  try {
    const quota = { publishBytesPerSecond: quotaBytesPerSecond };
    await admin.tenants.apply(noisy, { quota });
    await admin.tenants.apply(quiet);
    for (const topic of topics) await admin.topics.apply(topic);
    const alone = await quietFor(context, topics[1]);
    const stop = new AbortController();
    const clients = Array.from({ length: noisyConnections }, () => context.connect());
    const shouting = Promise.all(clients.map((client) => shout(client, topics[0], stop.signal)));
    const before = await storedIn(admin, topics[0]);
    const beside = await quietFor(context, topics[1]);
    const got = (await storedIn(admin, topics[0])) - before;
    stop.abort();
    // What waits is held back by the quota: nobody waits for it.
    await admin.tenants.apply(noisy, { quota: { publishBytesPerSecond: 0 } });
    await shouting;
    return [
      { name: 'quiet alone', value: alone.perSecond, unit: 'records/s' },
      { name: 'alone p99', value: alone.p99, unit: 'ms' },
      { name: 'quiet beside', value: beside.perSecond, unit: 'records/s' },
      { name: 'beside p99', value: beside.p99, unit: 'ms' },
      { name: 'of its rate', value: share(beside.perSecond, alone.perSecond), unit: '%' },
      { name: 'noisy got', value: round(got / beside.elapsedMs / 1_000), unit: 'MB/s' },
    ];
  } finally {
    for (const topic of topics) await admin.topics.delete(topic).catch(() => {});
    for (const tenant of [noisy, quiet]) await admin.tenants.delete(tenant).catch(() => {});
  }
}

async function quietFor(context: WorkloadContext, topic: string) {
  const publisher = context.connect().publisher(topic);
  const value = Buffer.alloc(valueBytes, 'q');
  const { latencies, elapsedMs } = await publishAtRate(
    publisher,
    value,
    quietRecordsPerSecond,
    (passedMs) => passedMs > context.seconds * 1_000,
  );
  await publisher.close();
  const perSecond = Math.round((latencies.length * 1_000) / elapsedMs);
  return { perSecond, p99: round(percentile(latencies, 0.99)), elapsedMs };
}

/** Ten times the quota over all connections, as far as the broker reads it. */
async function shout(client: Client, topic: string, signal: AbortSignal): Promise<void> {
  const publisher = client.publisher(topic);
  const value = Buffer.alloc(valueBytes, 'n');
  const perSecond = (10 * quotaBytesPerSecond) / valueBytes / noisyConnections;
  const startMs = performance.now();
  for (let sent = 0; !signal.aborted;) {
    const due = ((performance.now() - startMs) * perSecond) / 1_000;
    for (; sent < due && !signal.aborted; sent++) {
      publisher.send({ value });
      const full = publisher.ready();
      if (full !== undefined) await full;
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await publisher.close();
}

async function storedIn(admin: Client, topic: string): Promise<number> {
  return (await admin.topics.get(topic)).storedBytes;
}

function share(value: number, of: number): number {
  return Math.round((value * 1_000) / of) / 10;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
