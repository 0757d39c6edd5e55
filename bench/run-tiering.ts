// Measures tiered storage: offload, cold replay, and what both do to publishing beside them. Starts a broker of its
// own; an S3 store has to be there already, and is measured raw first.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type Client } from '../client/src/index.ts';
import { startBroker, stop, type StartedBroker } from './broker-process.ts';
import { machine } from './machine.ts';
import { measureRawStore } from './raw-store.ts';
import type { Figure } from './workload.ts';
import { latencyFigures, publishAtRate } from './workloads/fixed-rate.ts';
import { readRecords } from './workloads/replay.ts';

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
/** No generation is sealed by its size: offload begins when it is asked for. */
const sealedOnDemand = ['--generation-bytes', '2G', '--seal-age-ms', '3600000'];
/** What is offloaded leaves the disk at once. */
const nothingHot = ['--hot-bytes', '1', '--retention-interval-ms', '100'];

export async function runTiering({ objectStore, seconds }: TieringOptions): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-bench-'));
  const store = objectStore ?? `file://${join(directory, 'objects')}`;
  const flags = ['--object-store', store, '--offload-bytes-per-second', '0'];
  try {
    process.stdout.write(`Machine: ${machine()}. Store: ${store}. 1 KiB records.\n\n`);
    if (objectStore !== undefined) print(await measureRawStore(objectStore));
    print(await keepingUp(join(directory, 'paced'), flags, seconds));
    for (const measured of await offloadAndReplay(join(directory, 'backlog'), flags, seconds)) {
      print(measured);
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
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

async function offloadAndReplay(
  dataDir: string,
  flags: readonly string[],
  seconds: number,
): Promise<Measured[]> {
  const broker = await startBroker(dataDir, [...flags, ...sealedOnDemand, ...nothingHot]);
  try {
    await using client = connect({ server: broker.server });
    await client.topics.apply('tail');
    const alone = await tailLatency(client, untilElapsed(seconds));
    await publishBacklog(client, 'quiet');
    const quiet = await offload(client, 'quiet');
    await publishBacklog(client, 'busy');
    const busyOffload = offload(client, 'busy');
    const during = await tailLatency(client, untilSettled(busyOffload, 2));
    const busy = await busyOffload;
    const one = await coldReplay(broker, 1, ['quiet']);
    const eight = await coldReplay(broker, 8, ['quiet']);
    const replaying = coldReplay(broker, 1, ['busy']);
    const beside = await tailLatency(client, untilSettled(replaying, 2));
    await replaying;
    return [
      { what: '10,000 records/s beside nothing', figures: alone },
      { what: 'offload alone', figures: [megabytes(quiet)] },
      { what: 'offload beside 10,000 records/s', figures: [megabytes(busy)] },
      { what: '10,000 records/s beside offload', figures: during },
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

async function publishBacklog(client: Client, topic: string): Promise<void> {
  await client.topics.apply(topic);
  const publisher = client.publisher(topic, { windowBytes: 4 * MiB });
  const value = Buffer.alloc(recordBytes, 'x');
  for (let bytes = 0; bytes < backlogBytes; bytes += recordBytes) {
    publisher.send({ value });
    const full = publisher.ready();
    if (full !== undefined) await full;
  }
  await publisher.close();
}

/** Bytes per ms. */
async function offload(client: Client, topic: string): Promise<number> {
  const startMs = performance.now();
  await client.topics.offload(topic, { wait: true });
  return backlogBytes / (performance.now() - startMs);
}

/** Bytes per ms of all readers together. */
async function coldReplay(
  broker: StartedBroker,
  readers: number,
  [topic = '']: readonly string[],
): Promise<number> {
  const clients = Array.from({ length: readers }, () => connect({ server: broker.server }));
  const records = backlogBytes / recordBytes;
  const startMs = performance.now();
  await Promise.all(clients.map((client) => readRecords(client, topic, (n) => n >= records)));
  const elapsedMs = performance.now() - startMs;
  await Promise.all(clients.map((client) => client.close()));
  return (backlogBytes * readers) / elapsedMs;
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
