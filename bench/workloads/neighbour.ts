// The noisy neighbour: one tenant tries ten times its quota in bytes, records, connections and calls of administration,
// while another one works at its own pace. What a quota is for is that the quiet one feels no more of that than of a
// neighbour that keeps within its quota; alone it has the machine too.
import { randomBytes } from 'node:crypto';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Client, Usage } from '../../client/src/index.ts';
import { noisyQuota, valueBytes } from '../noisy-quota.ts';
import type { Figure, Workload, WorkloadContext } from '../workload.ts';
import { percentile } from '../workload.ts';
import { publishAtRate } from './fixed-rate.ts';

const noisyTenant = join(import.meta.dirname, '..', 'noisy-tenant.ts');
const quietRecordsPerSecond = 2_000;
const rounds = 3;
/** Its burst and its connections come at once: told apart from what follows. */
const startSeconds = 2;

export const neighbourWorkloads: readonly Workload[] = [
  {
    name: 'noisy-neighbour',
    description:
      'a tenant publishes 2,000 1 KB records/s: alone, beside one in a process of its own that uses its quota of 5 MB/s, ' +
      '5,000 records/s, 10 connections and 50 calls/s, and beside it when it tries ten times that; three rounds in ' +
      'turns, medians; the first two seconds of ten times apart',
    run: noisyNeighbour,
  },
];

interface Quiet {
  readonly perSecond: number;
  readonly p99: number;
}
type Phases = Record<'alone' | 'within' | 'starting' | 'beside', Quiet[]>;

async function noisyNeighbour(context: WorkloadContext): Promise<readonly Figure[]> {
  const admin = context.connect();
  const suffix = randomBytes(4).toString('hex');
  const [noisy, quiet] = [`noisy-${suffix}`, `quiet-${suffix}`];
  const [noisyTopic, quietTopic] = [`${noisy}/bench/t`, `${quiet}/bench/t`];
  try {
    await admin.tenants.apply(noisy, { quota: noisyQuota });
    await admin.tenants.apply(quiet);
    for (const topic of [noisyTopic, quietTopic]) await admin.topics.apply(topic);
    const quietFor = (seconds: number) => publishQuietly(context.connect(), quietTopic, seconds);
    const noiseOf = (times: number) => startNoise(context.server, noisyTopic, times);
    await quietFor(startSeconds);
    const phases: Phases = { alone: [], within: [], starting: [], beside: [] };
    const usages: Usage[] = [];
    for (let round = 0; round < rounds; round++) {
      phases.alone.push(await quietFor(context.seconds));
      {
        await using _ = await noiseOf(1);
        await quietFor(startSeconds);
        phases.within.push(await quietFor(context.seconds));
      }
      await using _ = await noiseOf(10);
      phases.starting.push(await quietFor(startSeconds));
      phases.beside.push(await quietFor(context.seconds));
      usages.push((await admin.tenants.get(noisy)).usage);
    }
    const [alone, beside] = [medianOf(phases.alone), medianOf(phases.beside)];
    return [
      { name: 'quiet alone', value: alone.perSecond, unit: 'records/s' },
      { name: 'quiet beside', value: beside.perSecond, unit: 'records/s' },
      { name: 'of its rate', value: share(beside.perSecond, alone.perSecond), unit: '%' },
      { name: 'alone p99', value: alone.p99, unit: 'ms' },
      { name: 'within p99', value: medianOf(phases.within).p99, unit: 'ms' },
      { name: 'beside p99', value: beside.p99, unit: 'ms' },
      { name: 'its start p99', value: medianOf(phases.starting).p99, unit: 'ms' },
      ...usages.slice(-1).flatMap(usageFigures),
    ];
  } finally {
    for (const topic of [noisyTopic, quietTopic]) await admin.topics.delete(topic).catch(() => {});
    for (const tenant of [noisy, quiet]) await admin.tenants.delete(tenant).catch(() => {});
  }
}

/** The other tenant at work, at so many times its quota, until it is disposed of. */
async function startNoise(server: string, topic: string, times: number) {
  const args = [noisyTenant, server, topic, String(times)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  // It says so when it begins.
  await Promise.race([once(child.stdout, 'data'), ended]);
  return {
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

async function publishQuietly(client: Client, topic: string, seconds: number): Promise<Quiet> {
  const publisher = client.publisher(topic);
  const value = Buffer.alloc(valueBytes, 'q');
  const { latencies, elapsedMs } = await publishAtRate(
    publisher,
    value,
    quietRecordsPerSecond,
    (passedMs) => passedMs > seconds * 1_000,
  );
  await publisher.close();
  const perSecond = Math.round((latencies.length * 1_000) / elapsedMs);
  return { perSecond, p99: round(percentile(latencies, 0.99)) };
}

/** Of each figure. */
function medianOf(samples: readonly Quiet[]): Quiet {
  const median = (figure: (one: Quiet) => number) => percentile(samples.map(figure), 0.5);
  return { perSecond: median(({ perSecond }) => perSecond), p99: median(({ p99 }) => p99) };
}

function usageFigures(usage: Usage): Figure[] {
  return [
    { name: 'noisy got', value: round(usage.publishBytesPerSecond / 1e6), unit: 'MB/s' },
    { name: 'noisy got', value: usage.publishRecordsPerSecond, unit: 'records/s' },
    { name: 'noisy connections', value: usage.connections, unit: '' },
    { name: 'noisy admin calls', value: usage.adminCallsPerSecond, unit: '/s' },
    { name: 'noisy was refused', value: usage.refusedTotal, unit: 'times' },
  ];
}

function share(value: number, of: number): number {
  return Math.round((value * 1_000) / of) / 10;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
