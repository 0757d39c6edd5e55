// The noisy neighbour: one tenant tries ten times its quota in bytes, records, connections and calls of administration,
// while another one works at its own pace. What the quiet one gets alone and beside it is what a quota is for.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { randomBytes } from 'node:crypto';
import type { Client } from '../../client/src/index.ts';
import type { Figure, Workload, WorkloadContext } from '../workload.ts';
import { percentile } from '../workload.ts';
import { noisyQuota } from '../noisy-quota.ts';
import { publishAtRate } from './fixed-rate.ts';

const noisyTenant = join(import.meta.dirname, '..', 'noisy-tenant.ts');
const quietRecordsPerSecond = 2_000;
const valueBytes = 1_000;

export const neighbourWorkloads: readonly Workload[] = [
  {
    name: 'noisy-neighbour',
    description:
      'a tenant publishes 2,000 1 KB records/s, alone and beside one in a process of its own that tries ten times its ' +
      'quota of 5 MB/s, 5,000 records/s, 10 connections and 50 calls/s; what the quiet one gets, and what the noisy one',
    run: noisyNeighbour,
  },
];

async function noisyNeighbour(context: WorkloadContext): Promise<readonly Figure[]> {
  const admin = context.connect();
  const suffix = randomBytes(4).toString('hex');
  const [noisy, quiet] = [`noisy-${suffix}`, `quiet-${suffix}`];
  const topics = [`${noisy}/bench/t`, `${quiet}/bench/t`] as const;
  try {
    await admin.tenants.apply(noisy, { quota: noisyQuota });
    await admin.tenants.apply(quiet);
    for (const topic of topics) await admin.topics.apply(topic);
    const alone = await quietFor(context, topics[1]);
    const neighbour = spawn(process.execPath, [noisyTenant, context.server, topics[0]], {
      stdio: 'inherit',
    });
    const ended = once(neighbour, 'exit');
    try {
      await untilRefused(admin, noisy);
      const beside = await quietFor(context, topics[1]);
      const { usage } = await admin.tenants.get(noisy);
      return [
        { name: 'quiet alone', value: alone.perSecond, unit: 'records/s' },
        { name: 'alone p99', value: alone.p99, unit: 'ms' },
        { name: 'quiet beside', value: beside.perSecond, unit: 'records/s' },
        { name: 'beside p99', value: beside.p99, unit: 'ms' },
        { name: 'of its rate', value: share(beside.perSecond, alone.perSecond), unit: '%' },
        { name: 'noisy got', value: round(usage.publishBytesPerSecond / 1e6), unit: 'MB/s' },
        { name: 'noisy got', value: usage.publishRecordsPerSecond, unit: 'records/s' },
        { name: 'noisy connections', value: usage.connections, unit: '' },
        { name: 'noisy admin calls', value: usage.adminCallsPerSecond, unit: '/s' },
        { name: 'noisy was refused', value: usage.refusedTotal, unit: 'times' },
      ];
    } finally {
      neighbour.kill('SIGTERM');
      await ended;
    }
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

/** The noisy one has got going. */
async function untilRefused(admin: Client, tenant: string): Promise<void> {
  while ((await admin.tenants.get(tenant)).usage.refusedTotal === 0) await delay(100);
}

function share(value: number, of: number): number {
  return Math.round((value * 1_000) / of) / 10;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
