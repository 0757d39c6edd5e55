// Measures tiered storage: offload, cold replay, and what both do to publishing beside them. Starts a broker of its
// own; an S3 store has to be there already, and is measured raw first.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type Client } from '../client/src/index.ts';
import { startBroker, stop, type StartedBroker } from './broker-process.ts';
import { machine } from './machine.ts';
import { measureRawStore } from './raw-store.ts';
import type { Figure } from './workload.ts';
import { latencyFigures, publishAtRate } from './workloads/fixed-rate.ts';

export interface TieringOptions {
  /** As --object-store; undefined: a directory. */
  readonly objectStore: string | undefined;
  readonly seconds: number;
}

interface Measured {
  readonly what: string;
  readonly figures: readonly Figure[];
}

const MiB = 1024 * 1024;
const recordBytes = 1024;
const backlogBytes = 1536 * MiB;
const calmBytes = 512 * MiB;
/** No generation is sealed by its size: offload begins when it is asked for. */
const sealedOnDemand = ['--generation-bytes', '2G', '--seal-age-ms', '3600000'];
/** What is offloaded leaves the disk at once. */
const nothingHot = ['--hot-bytes', '1', '--retention-interval-ms', '100'];

export async function runTiering({ objectStore, seconds }: TieringOptions): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-bench-'));
  const base = objectStore ?? `file://${join(directory, 'objects')}`;
  const flags = (name: string): string[] => [
    ...['--object-store', below(base, name)],
    ...['--offload-bytes-per-second', '0'],
  ];
  try {
    process.stdout.write(`Machine: ${machine()}. Store: ${base}. 1 KiB records.\n\n`);
    if (objectStore !== undefined) print(await measureRawStore(objectStore));
    print(await keepingUp(join(directory, 'paced'), flags('paced'), seconds));
    const calm = join(directory, 'calm');
    for (const measured of await calmOffload(calm, flags('calm'), seconds)) print(measured);
    const cold = join(directory, 'cold');
    for (const measured of await offloadAndReplay(cold, flags('cold'))) print(measured);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** A store for one broker below the given one: each broker is an installation of its own. */
function below(store: string, name: string): string {
  const url = new URL(store);
  url.pathname = `${url.pathname.replace(/\/$/, '')}/${name}-${randomBytes(4).toString('hex')}`;
  return url.href;
}

/** Publishing at 100 MB/s while everything sealed is offloaded: how far offload is behind at the end. */
async function keepingUp(
  dataDir: string,
  flags: readonly string[],
  seconds: number,
): Promise<Measured> {
  const broker = await startBroker(dataDir, [...flags, '--generation-bytes', '64M']);
  try {
    await using client = connect({ server: broker.server });
    await client.topics.apply('paced');
    const publisher = client.publisher('paced', { windowBytes: 4 * MiB });
    const value = Buffer.alloc(recordBytes, 'x');
    const { latencies, elapsedMs } = await publishAtRate(
      publisher,
      value,
      100_000_000 / recordBytes,
      (ms) => ms >= seconds * 1000,
    );
    const [shard] = (await client.cluster()).shards.slice(-1);
    const rate = (latencies.length * recordBytes) / elapsedMs / 1000;
    return {
      what: 'publishing at 100 MB/s, offload beside it',
      figures: [
        { name: 'published', value: Math.round(rate), unit: 'MB/s' },
        {
          name: 'sealed and not offloaded at the end',
          value: Math.round((shard?.unoffloadedBytes ?? 0) / MiB),
          unit: 'MiB',
        },
        ...latencyFigures(latencies),
      ],
    };
  } finally {
    await stop(broker);
  }
}

/** Little waits, so offload goes calmly: what publishing notices of it. */
async function calmOffload(
  dataDir: string,
  flags: readonly string[],
  seconds: number,
): Promise<Measured[]> {
  const broker = await startBroker(dataDir, [...flags, ...sealedOnDemand]);
  try {
    await using client = connect({ server: broker.server });
    await client.topics.apply('tail');
    const alone = await tailLatency(client, untilElapsed(seconds));
    await publishBacklog(client, 'busy', calmBytes);
    const offloading = offload(client, 'busy', calmBytes);
    const during = await tailLatency(client, untilSettled(offloading, 2));
    return [
      { what: '10,000 records/s beside nothing', figures: alone },
      { what: '10,000 records/s beside a calm offload of 512 MiB', figures: during },
      { what: 'that offload', figures: [megabytes(await offloading)] },
    ];
  } finally {
    await stop(broker);
  }
}

/** The disk needs the room, so offload goes as fast as it can; then everything is cold. */
async function offloadAndReplay(dataDir: string, flags: readonly string[]): Promise<Measured[]> {
  const broker = await startBroker(dataDir, [...flags, ...sealedOnDemand, ...nothingHot]);
  try {
    await using client = connect({ server: broker.server });
    await client.topics.apply('tail');
    await publishBacklog(client, 'cold', backlogBytes);
    const urgent = await offload(client, 'cold', backlogBytes);
    await leaveDisk(client, 'cold');
    const one = await coldReplay(broker, 1, 'cold');
    const eight = await coldReplay(broker, 8, 'cold');
    const replaying = coldReplay(broker, 1, 'cold');
    const beside = await tailLatency(client, untilSettled(replaying, 2));
    await replaying;
    return [
      { what: 'offload of 1.5 GiB in a hurry', figures: [megabytes(urgent)] },
      { what: 'cold replay, 1 reader', figures: [megabytes(one)] },
      { what: 'cold replay, 8 readers together', figures: [megabytes(eight)] },
      { what: '10,000 records/s beside a cold replay', figures: beside },
    ];
  } finally {
    await stop(broker);
  }
}

async function tailLatency(
  client: Client,
  isDone: (elapsedMs: number) => boolean,
): Promise<Figure[]> {
  const publisher = client.publisher('tail');
  const value = Buffer.alloc(recordBytes, 'x');
  const { latencies } = await publishAtRate(publisher, value, 10_000, isDone);
  await publisher.close();
  return latencyFigures(latencies);
}

async function publishBacklog(client: Client, topic: string, total: number): Promise<void> {
  await client.topics.apply(topic);
  const publisher = client.publisher(topic, { windowBytes: 4 * MiB });
  const value = Buffer.alloc(recordBytes, 'x');
  for (let bytes = 0; bytes < total; bytes += recordBytes) {
    publisher.send({ value });
    const full = publisher.ready();
    if (full !== undefined) await full;
  }
  await publisher.close();
}

/** Bytes per ms. */
async function offload(client: Client, topic: string, bytes: number): Promise<number> {
  const startMs = performance.now();
  await client.topics.offload(topic, { wait: true });
  return bytes / (performance.now() - startMs);
}

/** Until the topic is in the store only: a generation goes once the second one after it has begun. */
async function leaveDisk(client: Client, topic: string): Promise<void> {
  const publisher = client.publisher('tail');
  await publisher.publish({ value: 'the generation after it' });
  await publisher.close();
  await client.topics.offload('tail', { wait: true });
  while ((await client.topics.get(topic)).hotBytes > 0) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Bytes per ms of all readers together, in a process of their own: the tail's client is measured beside them. */
async function coldReplay(broker: StartedBroker, readers: number, topic: string): Promise<number> {
  const records = backlogBytes / recordBytes;
  const script = join(import.meta.dirname, 'read-all.ts');
  const args = [script, broker.server, topic, String(records), String(readers)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  for await (const chunk of child.stdout) output += String(chunk);
  return (backlogBytes * readers) / Number(output);
}

function untilElapsed(seconds: number): (elapsedMs: number) => boolean {
  return (elapsedMs) => elapsedMs >= seconds * 1000;
}

/** Until the work is done, but at least so many seconds. */
function untilSettled(work: Promise<unknown>, secondsMin: number): (elapsedMs: number) => boolean {
  let isSettled = false;
  void work.finally(() => (isSettled = true)).catch(() => {});
  return (elapsedMs) => isSettled && elapsedMs >= secondsMin * 1000;
}

function megabytes(bytesPerMs: number): Figure {
  return { name: 'throughput', value: Math.round(bytesPerMs / 1000), unit: 'MB/s' };
}

function print({ what, figures }: Measured): void {
  const texts = figures.map(({ name, value, unit }) => `${name} ${value} ${unit}`);
  process.stdout.write(`| ${what} | ${texts.join(', ')} |\n`);
}
