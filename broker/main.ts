// Composition: makes a broker out of settings. The only place that joins ports to adapters of other layers.
//
//   lock the directory → volume → roots (epochs) → catalog → shards → topics → listen → ready
//
// A step that fails undoes nothing: the process ends with the reason, and the next start begins again.
import { hostname } from 'node:os';
import { join } from 'node:path';
import { Broker } from './cluster/broker.ts';
import { lockDataDirectory } from './cluster/data-lock.ts';
import { claimRoot } from './cluster/root.ts';
import { openVolume, type Volume } from './cluster/volume.ts';
import { systemClock } from './core/clock.ts';
import type { BrokerError } from './core/errors.ts';
import type { Log } from './core/log.ts';
import { systemRandom } from './core/random.ts';
import { formatHostPort } from './host-port.ts';
import { newestEpoch } from './journal/generation-list.ts';
import { lmdbStorage } from './journal/storage-lmdb.ts';
import { DirectoryObjectStore } from './objects/directory.ts';
import { registerBrokerMetrics } from './server/broker-metrics.ts';
import { GrpcServer } from './server/grpc-server.ts';
import { HttpServer } from './server/http-server.ts';
import { pinoLog } from './server/pino-log.ts';
import { prometheusMetrics } from './server/prometheus-metrics.ts';
import type { Settings } from './settings.ts';
import { catalogShard, CatalogStore } from './shard/catalog-store.ts';
import { DiskGuard, volumeOf } from './shard/disk-guard.ts';
import { Shard } from './shard/shard.ts';

export const version = '0.1.0';

export interface RunningBroker {
  /** host:port of the gRPC listener. */
  readonly grpcAddress: string;
  /** host:port of the HTTP listener. */
  readonly httpAddress: string;
  readonly log: Log;
  /** Tells clients, waits up to the grace period, makes everything durable. */
  close(): Promise<void>;
}

/** How often the file system is asked for free space. What is admitted in between is counted. */
const diskIntervalMs = 200;

/** `onFatal` ends the process: nothing may be confirmed after a failed commit. */
export async function startBroker(
  settings: Settings,
  onFatal: (error: BrokerError) => void,
): Promise<RunningBroker> {
  const log = pinoLog(settings.logLevel, logFormat(settings));
  const lock = await lockDataDirectory(settings.dataDir);
  const volume = await openVolume(settings.dataDir, systemRandom);
  const broker = await openBroker(settings, volume, log, onFatal);
  await broker.refreshDisk();
  const stopUpkeep = startUpkeep(broker, settings, log);

  let notReady = '';
  const { host, port } = settings.listen;
  const grpc = new GrpcServer({ host, port, broker, log });
  const grpcAddress = formatHostPort({ host, port: await grpc.listen() });
  broker.address = settings.advertiseAddress
    ? formatHostPort(settings.advertiseAddress)
    : grpcAddress;
  const metrics = prometheusMetrics();
  registerBrokerMetrics(metrics, broker, grpc);
  const http = new HttpServer({ ...settings.httpListen, metrics, notReady: () => notReady });
  const httpAddress = formatHostPort({
    host: settings.httpListen.host,
    port: await http.listen(),
  });
  log.info('ready', { grpc: grpcAddress, http: httpAddress, dataDir: settings.dataDir, version });

  return {
    grpcAddress,
    httpAddress,
    log,
    async close() {
      notReady = 'shutting down';
      log.info('shutting down', { graceMs: settings.shutdownGraceMs });
      await grpc.close(settings.shutdownGraceMs);
      await stopUpkeep();
      await broker.close();
      await http.close();
      await lock.close();
      log.info('stopped');
    },
  };
}

async function openBroker(
  settings: Settings,
  volume: Volume,
  log: Log,
  onFatal: (error: BrokerError) => void,
): Promise<Broker> {
  const { dataDir, generationBytes, tailCacheBytes } = settings;
  const store = await DirectoryObjectStore.open(join(dataDir, 'objects'));
  const brokerId = hostname();
  const journalOf = async (shard: string) => {
    // A generation outgrows its size by the commit that fills it, its index and its seal.
    const storage = lmdbStorage(join(dataDir, shard), 2 * generationBytes + 256 * 1024 * 1024);
    const { epoch } = await claimRoot(store, shard, {
      owner: brokerId,
      volume,
      random: systemRandom,
      epochSeen: await newestEpoch(storage),
      signal: new AbortController().signal,
    });
    const { volumeId } = volume;
    return { storage, epoch, volumeId, log, generationBytes, tailCacheBytes, onFatal };
  };

  const names = Array.from({ length: settings.shards }, (_, i) => String(i));
  const catalogJournal = await journalOf(catalogShard);
  const catalog = await CatalogStore.open(catalogJournal, names);
  const shards = new Map<string, Shard>();
  for (const name of new Set([...names, ...catalog.state.shardsInUse()])) {
    const journal = await journalOf(name);
    const options = { ...journal, name, clock: systemClock, random: systemRandom };
    shards.set(name, await Shard.open(options));
  }
  return Broker.open({
    identity: { clusterId: volume.clusterId, brokerId, version },
    catalog,
    catalogEpoch: catalogJournal.epoch,
    shards,
    disk: new DiskGuard(() => volumeOf(dataDir)),
    clock: systemClock,
    random: systemRandom,
    log,
    publishPendingBytes: settings.publishPendingBytes,
  });
}

/** Looks at the disk and applies retention, again and again. Answers how to stop that. */
function startUpkeep(broker: Broker, settings: Settings, log: Log): () => Promise<void> {
  const stops = [
    repeat(diskIntervalMs, () => broker.refreshDisk()),
    repeat(settings.retentionIntervalMs, () => broker.retain()),
  ];
  return async () => {
    await Promise.all(stops.map((stop) => stop()));
  };

  function repeat(intervalMs: number, task: () => Promise<void>): () => Promise<void> {
    let isStopped = false;
    let running: Promise<void> = Promise.resolve();
    const next = (): void => {
      if (isStopped) return;
      running = task().catch((error: unknown) => {
        log.error('upkeep failed', { cause: error instanceof Error ? error.message : '' });
      });
      void running.then(() => systemClock.after(intervalMs, next));
    };
    systemClock.after(intervalMs, next);
    return async () => {
      isStopped = true;
      await running;
    };
  }
}

function logFormat(settings: Settings): 'json' | 'text' {
  if (settings.logFormat !== 'auto') return settings.logFormat;
  return process.stderr.isTTY ? 'text' : 'json';
}
