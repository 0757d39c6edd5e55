// Composition: makes a broker out of settings. The only place that joins ports to adapters of other layers.
//
//   lock the directory → volume → HTTP (not ready) → object store → roots (epochs) → catalog → shards → topics →
//   listen → ready
//
// A step that fails undoes nothing: the process ends with the reason, and the next start begins again.
import { hostname } from 'node:os';
import { join } from 'node:path';
import { policyDefaults, type Policy } from './catalog/policy.ts';
import { openAccess } from './open-access.ts';
import { Broker } from './cluster/broker.ts';
import { lockDataDirectory } from './cluster/data-lock.ts';
import { claimRoot, publishCheckpoint } from './cluster/root.ts';
import { openVolume, type Volume } from './cluster/volume.ts';
import { systemClock } from './core/clock.ts';
import { toBrokerError, type BrokerError } from './core/errors.ts';
import { noFailPoint, type FailPoint } from './core/fail-point.ts';
import { limits } from './core/limits.ts';
import type { Log } from './core/log.ts';
import { systemRandom } from './core/random.ts';
import { formatHostPort } from './host-port.ts';
import { checkNodeVersion } from './node-version.ts';
import { newestEpoch } from './journal/generation-list.ts';
import { lmdbStorage } from './journal/storage-lmdb.ts';
import type { ObjectStore } from './objects/object-store.ts';
import { openObjects, type OpenedObjects } from './open-objects.ts';
import { registerBrokerMetrics } from './server/broker-metrics.ts';
import { GrpcServer } from './server/grpc-server.ts';
import { HttpServer } from './server/http-server.ts';
import { pinoLog } from './server/pino-log.ts';
import { prometheusMetrics, type PrometheusMetrics } from './server/prometheus-metrics.ts';
import { TlsCredentials } from './server/tls-credentials.ts';
import type { Settings } from './settings.ts';
import { catalogShard, CatalogStore, type CatalogUpload } from './shard/catalog-store.ts';
import { DiskGuard, volumeOf } from './shard/disk-guard.ts';
import type { ShardTierOptions } from './shard/shard-tier.ts';
import { Shard } from './shard/shard.ts';
import { BlockCache } from './tier/block-cache.ts';
import { Slots } from './tier/slots.ts';
import { TierStore } from './tier/tier-store.ts';
import { untilReachable } from './until-reachable.ts';

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
/** How soon after a start, and after a change of the catalog, a new broker could be made from the store. */
const firstUploadMs = 500;
const catalogUploadMs = 1_000;
/** How often garbage is collected while it takes room that the journal needs. */
const tightIntervalMs = 1_000;
/** How often stored bytes are summed up. What is published in between is counted. */
const usageIntervalMs = 2_000;
/** How often subscriptions are looked at that delete themselves when nobody consumes them. */
const idleIntervalMs = 500;
/** How often it is asked whether something is due for the object store. */
const offloadIntervalMs = 500;

/** Doors for tests; nothing stands behind them otherwise. */
export interface StartHooks {
  readonly failPoint?: FailPoint;
  /** Rows of a page of a manifest; small, so that there are pages soon. */
  readonly manifestPageRows?: number;
  readonly wrapStore?: (store: ObjectStore) => ObjectStore;
}

/** `onFatal` ends the process: nothing may be confirmed after a failed commit. */
export async function startBroker(
  settings: Settings,
  onFatal: (error: BrokerError) => void,
  hooks: StartHooks = {},
): Promise<RunningBroker> {
  checkNodeVersion(process.version);
  const log = pinoLog(settings.logLevel, logFormat(settings));
  const lock = await lockDataDirectory(settings.dataDir);
  const volume = await openVolume(settings.dataDir, systemRandom);
  const metrics = prometheusMetrics();
  const readiness = { not: 'starting' };
  const http = new HttpServer({ ...settings.httpListen, metrics, notReady: () => readiness.not });
  const port = await http.listen();
  const httpAddress = formatHostPort({ host: settings.httpListen.host, port });
  try {
    const serving = await serve({ settings, volume, metrics, log, readiness, onFatal }, hooks);
    readiness.not = '';
    const { grpcAddress } = serving;
    log.info('ready', { grpc: grpcAddress, http: httpAddress, dataDir: settings.dataDir, version });
    return {
      grpcAddress,
      httpAddress,
      log,
      async close() {
        readiness.not = 'shutting down';
        log.info('shutting down', { graceMs: settings.shutdownGraceMs });
        await serving.close();
        await http.close();
        await lock.close();
        log.info('stopped');
      },
    };
  } catch (error) {
    await http.close();
    throw error;
  }
}

/** What is there before the object store is reached. */
interface Ground {
  readonly settings: Settings;
  readonly volume: Volume;
  readonly metrics: PrometheusMetrics;
  readonly log: Log;
  /** Why the broker does not serve; empty when it does. */
  readonly readiness: { not: string };
  readonly onFatal: (error: BrokerError) => void;
}

/** Opens everything and listens for gRPC. */
async function serve(ground: Ground, hooks: StartHooks) {
  const { settings, metrics, log, readiness, onFatal } = ground;
  // Before anything is opened: what is wrong with them is known at once.
  const tls = await openTls(ground);
  const disk = new DiskGuard(() => volumeOf(settings.dataDir));
  await disk.refresh(0);
  const tellWaiting = (why: string): void => void (readiness.not = why);
  const objects = await openObjects(settings, log, tellWaiting);
  const {
    failPoint = noFailPoint,
    manifestPageRows = limits.manifestPageRows,
    wrapStore = (store: ObjectStore) => store,
  } = hooks;
  const stopping = new AbortController();
  const { broker, catalog } = await openBroker({
    ...ground,
    stopping: stopping.signal,
    objects: { ...objects, store: wrapStore(objects.store) },
    disk,
    failPoint,
    manifestPageRows,
    brokerId: hostname(),
    tellWaiting,
  });
  await broker.refreshDisk();
  const stopUpkeep = startUpkeep(broker, settings, log, onFatal);
  const { host, port } = settings.listen;
  const access = await openAccess(settings, catalog.state, systemClock, log);
  const { control, audit } = access;
  const grpc = new GrpcServer({
    ...{ host, port, broker, catalog, log, tls },
    ...{ access: control, audit, connections: settings },
  });
  const grpcAddress = formatHostPort({ host, port: await grpc.listen() });
  broker.address = settings.advertiseAddress
    ? formatHostPort(settings.advertiseAddress)
    : grpcAddress;
  registerBrokerMetrics(metrics, broker, grpc);
  return {
    grpcAddress,
    async close() {
      await grpc.close(settings.shutdownGraceMs);
      await access.close();
      stopping.abort(new Error('the broker stops'));
      await Promise.all([stopUpkeep(), broker.stopTiering()]);
      await broker.close();
      await objects.close();
      tls?.close();
    },
  };
}

/** Undefined: plain text. Throws CERTIFICATE_INVALID. */
async function openTls({ settings, log, metrics }: Ground): Promise<TlsCredentials | undefined> {
  const { tlsCert: certificate, tlsKey: key, tlsClientCa: clientCa } = settings;
  if (certificate === undefined || key === undefined) return undefined;
  return TlsCredentials.open({
    files: { certificate, key, clientCa },
    clientCertificates: settings.tlsClientCertificates,
    reloadIntervalMs: settings.tlsReloadIntervalMs,
    clock: systemClock,
    log,
    metrics,
  });
}

/** What the parts of one broker share. */
interface Surroundings extends Ground {
  /** What waits for the object store is given up. */
  readonly stopping: AbortSignal;
  readonly objects: Omit<OpenedObjects, 'close'>;
  readonly disk: DiskGuard;
  readonly failPoint: FailPoint;
  readonly manifestPageRows: number;
  readonly brokerId: string;
  /** Why the start waits. */
  readonly tellWaiting: (why: string) => void;
}

async function openBroker(
  surroundings: Surroundings,
): Promise<{ readonly broker: Broker; readonly catalog: CatalogStore }> {
  const { settings, volume, disk, log, brokerId, failPoint } = surroundings;
  const names = Array.from({ length: settings.shards }, (_, i) => String(i));
  const catalogJournal = await claimJournal(surroundings, catalogShard);
  const catalog = await CatalogStore.open(
    catalogJournal,
    names,
    catalogUpload(surroundings, catalogJournal.epoch),
  );
  const shards = new Map<string, Shard>();
  const allNames = new Set([...names, ...catalog.state.shardsInUse()]);
  const tierOf = shardTiers(surroundings, allNames.size);
  for (const name of allNames) {
    const journal = await claimJournal(surroundings, name);
    const options = { ...journal, name, clock: systemClock, random: systemRandom };
    shards.set(name, await Shard.open({ ...options, tier: tierOf(name, journal.epoch) }));
  }
  const broker = await Broker.open({
    identity: { clusterId: volume.clusterId, brokerId, version },
    catalog,
    catalogEpoch: catalogJournal.epoch,
    shards,
    disk,
    clock: systemClock,
    random: systemRandom,
    log,
    failPoint,
    publishPendingBytes: settings.publishPendingBytes,
    clusterPolicy: clusterPolicy(settings),
    objectStore: surroundings.objects.description,
  });
  return { broker, catalog };
}

function clusterPolicy({ retentionAgeMs, backlogBytes, batchBytesMax }: Settings): Policy {
  return {
    ...policyDefaults,
    retention: { ...policyDefaults.retention, ageMs: retentionAgeMs },
    backlogQuota: { ...policyDefaults.backlogQuota, bytes: backlogBytes },
    batchBytesMax,
  };
}

/** Takes the shard over for this process; answers how its journal is opened. */
async function claimJournal(surroundings: Surroundings, shard: string) {
  const { settings, volume, objects, log, brokerId, onFatal, tellWaiting } = surroundings;
  const { dataDir, generationBytes, tailCacheBytes } = settings;
  // A generation outgrows its size by the commit that fills it, its index and its seal.
  const storage = lmdbStorage(join(dataDir, shard), 2 * generationBytes + 256 * 1024 * 1024);
  const epochSeen = await newestEpoch(storage);
  const { epoch } = await untilReachable({ clock: systemClock, log }, tellWaiting, () =>
    claimRoot(objects.store, shard, {
      owner: brokerId,
      volume,
      random: systemRandom,
      epochSeen,
      signal: new AbortController().signal,
    }),
  );
  const { volumeId } = volume;
  return { storage, epoch, volumeId, log, generationBytes, tailCacheBytes, onFatal };
}

function catalogUpload(surroundings: Surroundings, epoch: number): CatalogUpload {
  const { objects, failPoint, stopping: signal } = surroundings;
  const { store } = objects;
  const clock = systemClock;
  const random = systemRandom;
  const owner = { epoch, random, signal };
  const tierStore = new TierStore({ store, shard: catalogShard, clock, random });
  signal.addEventListener('abort', () => tierStore.stop(), { once: true });
  return {
    store: tierStore,
    epoch,
    clock,
    failPoint,
    publish: (pointer) => publishCheckpoint(store, catalogShard, owner, pointer),
  };
}

/** The tiers of all shards share one pool of reads and one cache. */
function shardTiers(
  { settings, objects, disk, metrics, failPoint, manifestPageRows, stopping }: Surroundings,
  shardCount: number,
): (shard: string, epoch: number) => ShardTierOptions {
  const memory = {
    blocks: new BlockCache(settings.coldCacheBytes),
    slots: new Slots(limits.coldReadsMax),
  };
  const readLatency = metrics.histogram(
    'millrace_cold_read_seconds',
    'Time from asking the object store for records to having them.',
    [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
  );
  const hotBytes = (): number =>
    settings.hotBytes > 0 ? settings.hotBytes : disk.totalBytes * limits.hotShareDefault;
  return (shard, epoch) => ({
    objects: objects.store,
    memory,
    readLatency,
    failPoint,
    sealAgeMs: settings.sealAgeMs,
    offloadAgeMs: settings.offloadAgeMs,
    offloadBytesPerSecond: settings.offloadBytesPerSecond,
    garbageGraceMs: settings.garbageGraceMs,
    manifestPageRows,
    hotRoom: () => ({ budgetBytes: hotBytes() / shardCount, isDiskTight: disk.isTight }),
    storeRoomBytes: () => (objects.sharesVolume ? disk.storeRoomBytes : Infinity),
    takeStoreRoom: (bytes) => (objects.sharesVolume ? disk.takeStoreRoom(bytes) : () => {}),
    publishCheckpoint: (pointer) => {
      const owner = { epoch, random: systemRandom, signal: stopping };
      return publishCheckpoint(objects.store, shard, owner, pointer);
    },
  });
}

/** Looks at the disk and applies retention, again and again. Answers how to stop that. */
function startUpkeep(
  broker: Broker,
  settings: Settings,
  log: Log,
  onFatal: (error: BrokerError) => void,
): () => Promise<void> {
  const stops = [
    repeat(diskIntervalMs, () => broker.refreshDisk()),
    repeat(usageIntervalMs, () => broker.tenants.lookAtUsage()),
    repeat(settings.retentionIntervalMs, () => broker.retain()),
    repeat(idleIntervalMs, () => broker.deleteIdleSubscriptions()),
    repeat(offloadIntervalMs, () => broker.offload()),
    repeat(settings.checkpointUploadIntervalMs, uploadCheckpoints, firstUploadMs),
    // Small, and what nobody wants to make again by hand.
    repeat(Math.min(catalogUploadMs, settings.checkpointUploadIntervalMs), () =>
      broker.uploadCatalog(),
    ),
    repeat(settings.garbageIntervalMs, () => broker.collectGarbage()),
    repeat(tightIntervalMs, () => broker.collectGarbageIfTight()),
  ];
  return async () => {
    await Promise.all(stops.map((stop) => stop()));
  };

  async function uploadCheckpoints(): Promise<void> {
    await broker.uploadCheckpoints();
    await broker.deleteOldCheckpoints();
  }

  function repeat(
    intervalMs: number,
    task: () => Promise<void>,
    firstMs = intervalMs,
  ): () => Promise<void> {
    let isStopped = false;
    let running: Promise<void> = Promise.resolve();
    const next = (): void => {
      if (isStopped) return;
      running = task().catch((thrown: unknown) => {
        const error = toBrokerError(thrown);
        if (error.reason === 'SHARD_TAKEN_OVER') onFatal(error);
        // What the stop gave up, and what is tried again, is no reason to wake anybody.
        if (isStopped) return;
        if (error.kind === 'unavailable') log.warn('upkeep waits', { cause: error.message });
        else log.error('upkeep failed', { cause: error.message });
      });
      void running.then(() => systemClock.after(intervalMs, next));
    };
    systemClock.after(Math.min(firstMs, intervalMs), next);
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
