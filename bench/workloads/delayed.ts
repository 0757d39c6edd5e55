// Records with a delivery time: millions pending, and a million due at the same moment beside other traffic.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Publisher } from '../../client/src/index.ts';
import {
  memoryFigure,
  percentile,
  type Figure,
  type Workload,
  type WorkloadContext,
} from '../workload.ts';

const MiB = 1024 * 1024;
const valueBytes = 100;
const pendingRecords = 10_000_000;
const firstRecords = 1_000_000;
const dueRecords = 1_000_000;

const pending: Workload = {
  name: 'delayed-pending',
  description:
    '10 million 100-byte records in 64 KiB batches, due tomorrow: publishing, and memory',
  async run(context) {
    const topic = await context.createTopic();
    const client = context.connect();
    await client.subscriptions.apply(topic, 'work', { kind: 'queue' });
    const publisher = client.publisher(topic, { windowBytes: 4 * MiB });
    // The page caches are full after it.
    await publishDelayed(publisher, firstRecords, Date.now() + 86_400_000);
    const beforeMiB = await context.residentMiB();
    const startMs = performance.now();
    const records = pendingRecords - firstRecords;
    await publishDelayed(publisher, records, Date.now() + 86_400_000);
    const rate = Math.round((records / (performance.now() - startMs)) * 1000);
    const { partitions } = await client.subscriptions.get(topic, 'work');
    return [
      { name: 'rate', value: rate, unit: 'records/s' },
      { name: 'pending', value: partitions[0]?.delayed ?? 0, unit: 'records' },
      ...memoryFigure('resident with 1 million', beforeMiB),
      ...memoryFigure('with 10 million', await context.residentMiB()),
    ];
  },
};

async function publishDelayed(
  publisher: Publisher,
  count: number,
  deliverAt: number,
): Promise<void> {
  const value = Buffer.alloc(valueBytes, 'x');
  for (let i = 0; i < count; i++) {
    publisher.send({ value, deliverAt });
    const full = publisher.ready();
    if (full !== undefined) await full;
  }
  await publisher.flush();
}

/** How long the records are published before they are due: long enough on a busy machine too. */
const leadMs = (context: WorkloadContext): number => context.seconds * 8_000;

async function comeDue(context: WorkloadContext, batchBytes: number): Promise<Figure[]> {
  const topic = await context.createTopic();
  const probed = await context.createTopic();
  const admin = context.connect();
  await admin.subscriptions.apply(topic, 'work', { kind: 'queue' });
  await admin.subscriptions.apply(probed, 'probe', { kind: 'queue' });
  const dueMs = Date.now() + leadMs(context);
  const publisher = context.connect().publisher(topic, { batchBytes, windowBytes: 4 * MiB });
  await publishDelayed(publisher, dueRecords, dueMs);
  const calmFromMs = Date.now();
  if (calmFromMs > dueMs - 2_000) {
    throw new Error('publishing took too long to measure; give the workload more --seconds');
  }
  const probe = startProbe(context.server, probed);
  const workedMs = await workOff(context, topic, dueMs);
  const samples = await probe.stop();
  const within = (fromMs: number, toMs: number): number[] =>
    samples.filter(([at]) => at >= fromMs && at < toMs).map(([, ms]) => ms);
  return [
    { name: 'all worked off after', value: Math.round(workedMs / 10) / 100, unit: 's' },
    ...tail('other traffic before', within(calmFromMs, dueMs - 100)),
    ...tail('meanwhile', within(dueMs - 100, dueMs + workedMs)),
  ];
}

function tail(name: string, latencies: number[]): Figure[] {
  const ms = (share: number): number => Math.round(percentile(latencies, share) * 10) / 10;
  return [
    { name: `${name}: p99`, value: ms(0.99), unit: 'ms' },
    { name: 'max', value: ms(1), unit: 'ms' },
  ];
}

/** Four consumers; ms from when the records are due until all are acked. */
async function workOff(context: WorkloadContext, topic: string, dueMs: number): Promise<number> {
  let left = dueRecords;
  const consumers = Array.from({ length: 4 }, () => context.connect().consumer(topic, 'work'));
  await Promise.all(
    consumers.map(async (consumer) => {
      for await (const message of consumer) {
        message.ack();
        if (--left === 0) break;
      }
      for (const other of consumers) void other.close();
    }),
  );
  return Date.now() - dueMs;
}

interface Probe {
  /** Pairs of when a record was sent, wall clock, and ms until it was delivered. */
  stop(): Promise<readonly (readonly [number, number])[]>;
}

function startProbe(server: string, topic: string): Probe {
  const script = join(import.meta.dirname, '..', 'probe-latency.ts');
  const child = spawn(process.execPath, [script, server, topic], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  return {
    async stop() {
      child.stdin.end();
      let output = '';
      for await (const chunk of child.stdout) output += String(chunk);
      return JSON.parse(output) as [number, number][];
    },
  };
}

const dueAtOnce = (name: string, what: string, batchBytes: number): Workload => ({
  name,
  description: `a million 100-byte records, ${what}, due at the same ms; 4 consumers; p99 and max of another topic's records, from publish() to their consumer, in a process of its own`,
  run: (context) => comeDue(context, batchBytes),
});

export const delayedWorkloads: readonly Workload[] = [
  pending,
  dueAtOnce('delayed-due', 'in 64 KiB batches', 64 * 1024),
  dueAtOnce('delayed-due-1', 'each a batch of its own', 1),
];
