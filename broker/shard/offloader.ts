// Brings a shard's sealed records to the object store: looks, plans, writes, records. One pass at a time.
//
//   seal what is old → candidates → tasks → segments (read back) → control entry → manifest pages
//
// Invariants:
// - Data before pointer: the entry that names an object is appended after every byte of it was read back.
// - Segments of a partition are recorded in the order of their offsets, without a hole.
// - A failure of the store ends the pass, is told, and is tried again after a back-off; nothing on the disk is touched.
// - Records that cannot be read hold up their own partition only.
import { BrokerError, toBrokerError } from '../core/errors.ts';
import { entryTypes } from '../core/entry-types.ts';
import type { FailPoint } from '../core/fail-point.ts';
import type { Clock } from '../core/clock.ts';
import type { Log } from '../core/log.ts';
import { partitionId, type Offset, type PartitionId } from '../core/ids.ts';
import { limits } from '../core/limits.ts';
import { frameHeaderBytes } from '../journal/format.ts';
import type { Journal } from '../journal/journal.ts';
import { encodeManifestPaged, encodeSegmentsAdded } from '../log/entries.ts';
import type { PartitionLog } from '../log/partition-log.ts';
import { pagePointer } from '../tier/manifest.ts';
import { encodeManifestPage } from '../tier/manifest-page.ts';
import { planOffload, type OffloadCandidate, type OffloadTask } from '../tier/offload-plan.ts';
import { RateLimit } from '../tier/rate-limit.ts';
import { SegmentRows } from '../tier/segment-rows.ts';
import type { SealedRun, SegmentWriter, WrittenSegment } from '../tier/segment-writer.ts';
import { Slots } from '../tier/slots.ts';
import type { TierSizes } from '../tier/tier-sizes.ts';
import { DamagedPartitions } from './damaged-partitions.ts';
import type { ShardPolicies } from './policies.ts';

export interface OffloaderOptions {
  readonly journal: Journal;
  readonly writer: SegmentWriter;
  readonly policies: ShardPolicies;
  readonly clock: Clock;
  readonly log: Log;
  readonly failPoint: FailPoint;
  /** The log of a partition that is not deleted. */
  readonly logOf: (id: PartitionId) => PartitionLog | undefined;
  /** How many of the oldest generations have to go soon. */
  readonly urgentGenerations: () => number;
  readonly storeRoomBytes: () => number;
  readonly takeStoreRoom: (bytes: number) => (() => void) | undefined;
  readonly sealAgeMs: number;
  readonly offloadAgeMs: number;
  readonly bytesPerSecond: number;
  /** Rows of a page of a manifest. */
  readonly manifestPageRows: number;
  readonly sizes: Pick<TierSizes, 'segmentBytesMin' | 'segmentBytesMax'>;
}

export interface OffloadFigures {
  /** Written and recorded since the start. */
  objects: number;
  bytes: number;
  failures: number;
  /** Of the last failed pass, or of records that cannot be read; empty since all goes well. */
  lastFailure: string;
  /** Append time of the oldest sealed record that only this disk has; Infinity when there is none. */
  oldestSealedMs: number;
  /** Stored bytes that only this disk has, sealed ones. */
  waitingBytes: number;
}

interface Candidate extends OffloadCandidate {
  readonly log: PartitionLog;
}

/** The tasks of one plan, while they are written. */
interface Round {
  /** Where the segments of a partition so far will have ended. */
  readonly ends: Map<PartitionId, Offset>;
  /** Where a segment of a partition was given up: none that begins there or later may be recorded. */
  readonly stuckAt: Map<PartitionId, Offset>;
  /** Resolves when all tasks that were begun are recorded or given up. */
  recorded: Promise<void>;
  /** Of the store: no more tasks are begun. */
  failure: BrokerError | undefined;
  /** Tasks were given up and can go otherwise at once: one by one, or without what has expired meanwhile. */
  isBrokenUp: boolean;
}

/** Smaller objects are not worth their calls, however little room there is. */
const objectBytesMin = 256 * 1024;

/** Without a new sealed generation a look is repeated after this: every partition of every generation is looked at. */
const lookMs = 5_000;

/** Back-off after a failed pass. */
const retryMs = { min: 500, max: 30_000 } as const;

export class Offloader {
  readonly figures: OffloadFigures = {
    objects: 0,
    bytes: 0,
    failures: 0,
    lastFailure: '',
    oldestSealedMs: Infinity,
    waitingBytes: 0,
  };
  private readonly options: OffloaderOptions;
  private readonly rate: RateLimit;
  private readonly slots = new Slots(limits.offloadsMax);
  private running: Promise<void> | undefined;
  private failedPasses = 0;
  private retryAtMs = 0;
  private lookedAtGeneration = 0;
  private lookAtMs = 0;
  private readonly wanted = new Set<PartitionId>();
  private readonly damaged = new DamagedPartitions();
  private isStopped = false;

  constructor(options: OffloaderOptions) {
    this.options = options;
    this.rate = new RateLimit(options.clock);
  }

  /** Looks whether there is something to do, and does it, unless a look or a failure is too fresh. */
  async tick(): Promise<void> {
    const nowMs = this.options.clock.monotonicMs();
    const { newest } = this.options.journal.index;
    const isNew = newest.header.number !== this.lookedAtGeneration;
    const isOld = this.isSealDue();
    if (nowMs < this.retryAtMs || (!isNew && !isOld && nowMs < this.lookAtMs)) return;
    this.lookedAtGeneration = newest.header.number;
    this.lookAtMs = nowMs + lookMs;
    await this.pass();
  }

  /** Offloads all that these partitions have now. Resolves when that is recorded; throws why it failed. */
  async offloadNow(partitions: readonly PartitionId[]): Promise<void> {
    const { journal, logOf } = this.options;
    const wanted = partitions.map((id) => ({ id, end: logOf(id)?.endOffset ?? 0 }));
    /** Records that only the disk has; none of a partition that was deleted meanwhile. */
    const left = (): number =>
      wanted.reduce((sum, { id, end }) => {
        return sum + Math.max(0, end - (logOf(id)?.offloadedEnd ?? end));
      }, 0);
    for (let leftBefore = Infinity; ; leftBefore = left()) {
      await journal.sealNewest();
      // A pass that is under way has looked before.
      while (this.running !== undefined) await this.running;
      for (const id of partitions) this.wanted.add(id);
      await this.pass();
      for (const id of partitions) this.wanted.delete(id);
      if (left() === 0) return;
      if (this.figures.lastFailure !== '') throw offloadFailed(this.figures.lastFailure);
      // Cutting at batches leaves some behind, but never everything; a broker that stops does.
      if (left() >= leftBefore) throw offloadFailed('records stayed on the disk; try again');
    }
  }

  /** Append time of the oldest record that only the disk has; 0 when there is none. */
  get oldestUnoffloadedMs(): number {
    const sealed = this.figures.oldestSealedMs;
    const oldest = Math.min(sealed, this.options.journal.index.newest.oldestTimeMs);
    return oldest === Infinity ? 0 : oldest;
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    this.rate.stop();
    await this.running;
  }

  private pass(): Promise<void> {
    this.running ??= this.onePass()
      .then(
        () => this.succeeded(),
        (error: unknown) => this.failed(toBrokerError(error)),
      )
      .finally(() => (this.running = undefined));
    return this.running;
  }

  private async onePass(): Promise<void> {
    if (this.isSealDue()) await this.options.journal.sealNewest();
    const candidates = this.candidates();
    let round = await this.round(candidates);
    while (round.isBrokenUp && round.failure === undefined && !this.isStopped) {
      round = await this.round(this.candidates());
    }
    if (round.failure !== undefined) throw round.failure;
    for (const { log } of candidates) await this.pageManifest(log);
    if (candidates.length > 0) this.candidates();
  }

  /** Plans and writes once. */
  private round(candidates: readonly Candidate[]): Promise<Round> {
    const { clock, offloadAgeMs, storeRoomBytes, sizes } = this.options;
    // On a nearly full volume small objects: each needs room before its generation gives any.
    const roomBytes = Math.max(objectBytesMin, storeRoomBytes() / (2 * limits.offloadsMax));
    const nowMs = clock.monotonicMs();
    const ready = candidates.filter(
      ({ partition }) => this.wanted.has(partition) || !this.damaged.isHeld(partition, nowMs),
    );
    const tasks = planOffload(ready, clock.wallMs(), {
      bytesMin: sizes.segmentBytesMin,
      bytesMax: Math.min(sizes.segmentBytesMax, roomBytes),
      ageMs: offloadAgeMs,
    });
    return this.run(tasks);
  }

  private isSealDue(): boolean {
    const { journal, clock, sealAgeMs } = this.options;
    return clock.wallMs() - journal.index.newest.oldestTimeMs >= sealAgeMs;
  }

  /** What sealed generations hold and the store does not. Keeps the figures of the lag. */
  private candidates(): Candidate[] {
    const { journal, logOf, policies } = this.options;
    const urgent = this.options.urgentGenerations();
    const byPartition = new Map<PartitionId, Candidate & { bytes: number; isUrgent: boolean }>();
    let oldestTimeMs = Infinity;
    for (const [i, generation] of journal.index.views().entries()) {
      if (!generation.sealed) break;
      for (const {
        stream,
        firstOffset,
        lastOffset,
        firstTimeMs,
        bytes,
      } of generation.summaries()) {
        const log = logOf(partitionId(stream));
        if (log === undefined || lastOffset < log.offloadedEnd) continue;
        const tenant = policies.of(log.id)?.tenant;
        // No policy loaded: the catalog does not know it (yet).
        if (tenant === undefined) continue;
        const isWhole = firstOffset >= log.offloadedEnd;
        const left = isWhole ? bytes : generation.bytesFrom(stream, log.offloadedEnd);
        oldestTimeMs = Math.min(oldestTimeMs, firstTimeMs);
        const known = byPartition.get(log.id);
        const isUrgent = i < urgent || this.wanted.has(log.id);
        if (known === undefined) {
          const isAlone = this.damaged.isAlone(log.id);
          const how = { oldestTimeMs: firstTimeMs, isUrgent, isAlone };
          byPartition.set(log.id, { log, partition: log.id, tenant, bytes: left, ...how });
        } else {
          known.bytes += left;
          known.isUrgent ||= isUrgent;
        }
      }
    }
    this.damaged.keepOnly((id) => byPartition.has(id));
    this.figures.oldestSealedMs = oldestTimeMs;
    this.figures.waitingBytes = 0;
    for (const { bytes } of byPartition.values()) this.figures.waitingBytes += bytes;
    return [...byPartition.values()];
  }

  /** Writes all tasks, some at once; each partition's segments are recorded one after another. */
  private async run(tasks: readonly OffloadTask[]): Promise<Round> {
    const round: Round = {
      ends: new Map(),
      stuckAt: new Map(),
      recorded: Promise.resolve(),
      failure: undefined,
      isBrokenUp: false,
    };
    const written = tasks.map(async (task) =>
      this.slots.run(async () => {
        if (this.isStopped || round.failure !== undefined) return;
        const runs: SealedRun[] = [];
        const before = round.recorded;
        round.recorded = this.write(task, runs, round, before)
          .catch((error: unknown) => this.giveUp(task, runs, round, toBrokerError(error)))
          .then(() => before);
        await round.recorded;
      }),
    );
    await Promise.all(written);
    return round;
  }

  private giveUp(
    { parts }: OffloadTask,
    runs: readonly SealedRun[],
    round: Round,
    error: BrokerError,
  ): void {
    const { clock, log } = this.options;
    const partitions = parts.map(({ partition }) => partition);
    for (const partition of partitions) {
      const run = runs.find((one) => one.partition === partition);
      const at = run?.firstOffset ?? round.ends.get(partition) ?? 0;
      round.stuckAt.set(partition, Math.min(at, round.stuckAt.get(partition) ?? Infinity));
    }
    if (this.hasExpired(runs)) {
      round.isBrokenUp = true;
      return;
    }
    if (error.kind !== 'corrupt') {
      round.failure ??= error;
      return;
    }
    this.figures.failures++;
    log.error('records cannot be offloaded', {
      partitions: partitions.join(' '),
      cause: error.message,
    });
    const nowMs = clock.monotonicMs();
    if (this.damaged.note(partitions, error.message, nowMs)) round.isBrokenUp = true;
  }

  /** Whether some of it is expired or deleted by now, so that its generation may be gone: no failure, and no damage. */
  private hasExpired(runs: readonly SealedRun[]): boolean {
    return runs.some(({ partition, firstOffset }) => {
      const log = this.options.logOf(partition);
      return log === undefined || log.startOffset > firstOffset;
    });
  }

  /** `runs`: filled with what the object takes. `before`: resolves when what must be recorded first is, or is not. */
  private async write(
    task: OffloadTask,
    runs: SealedRun[],
    { ends, stuckAt }: Round,
    before: Promise<void>,
  ): Promise<void> {
    const { logOf, writer } = this.options;
    for (const { partition, bytesMax } of task.parts) {
      const log = logOf(partition);
      if (log === undefined) continue;
      const run = this.cut(log, Math.max(ends.get(partition) ?? 0, log.offloadedEnd), bytesMax);
      if (run === undefined) continue;
      ends.set(partition, run.lastOffset + 1);
      runs.push(run);
    }
    const isStuck = (): boolean =>
      runs.some(
        ({ partition, firstOffset }) => firstOffset >= (stuckAt.get(partition) ?? Infinity),
      );
    if (runs.length === 0 || isStuck()) return;
    const bytes = runs.reduce((sum, run) => sum + run.bytes, 0);
    await this.rate.take(bytes, this.bytesPerSecond());
    const giveRoomBack = this.options.takeStoreRoom(bytes);
    if (giveRoomBack === undefined) throw noStoreRoom(bytes);
    try {
      await writer.writeSegment(task.tenant, runs, async (segment) => {
        await before;
        // Behind a hole: the object is given up, and becomes garbage.
        if (isStuck()) return;
        await this.record(task, runs, segment);
        for (const { partition } of runs) this.damaged.forget(partition);
      });
    } finally {
      giveRoomBack();
    }
  }

  /** Calm while little waits: what clients do shares the disk and the processors with it. */
  private bytesPerSecond(): number {
    const { bytesPerSecond } = this.options;
    const isBehind =
      this.figures.waitingBytes > limits.offloadCalmBytes || this.options.urgentGenerations() > 0;
    if (isBehind) return bytesPerSecond;
    const calm = limits.offloadCalmBytesPerSecond;
    return bytesPerSecond === 0 ? calm : Math.min(bytesPerSecond, calm);
  }

  private cut(log: PartitionLog, firstOffset: Offset, bytesMax: number): SealedRun | undefined {
    const run = this.options.journal.index.sealedRun(log.id, firstOffset, bytesMax);
    if (run === undefined) return undefined;
    const { lastOffset, bytes, batches } = run;
    return {
      partition: log.id,
      firstOffset,
      lastOffset,
      bytes: bytes - batches * frameHeaderBytes,
    };
  }

  /** Appends the entry and applies it in the same turn; what a deleted topic had in the object is garbage. */
  private async record(
    { tenant }: OffloadTask,
    runs: readonly SealedRun[],
    { rows, bytes }: WrittenSegment,
  ): Promise<void> {
    const { journal, logOf, failPoint } = this.options;
    const segments = [...rows].flatMap(([partition, row]) => {
      const log = logOf(partition);
      // Trimmed past its first record meanwhile: all the same, the row says what the object holds.
      return log === undefined ? [] : [{ partition, row, log }];
    });
    if (segments.length > 0) {
      const entry = encodeSegmentsAdded({ tenant, segments });
      const durable = journal.write(entryTypes.segmentsAdded, entry);
      for (const { log, row } of segments) log.addSegment(tenant, row);
      await durable;
    }
    await failPoint('offload-after-record');
    this.figures.waitingBytes = Math.max(0, this.figures.waitingBytes - bytes);
    this.figures.objects++;
    this.figures.bytes += bytes;
    this.options.log.info('offloaded a segment', { partitions: runs.length, bytes });
  }

  private async pageManifest(log: PartitionLog): Promise<void> {
    const { journal, writer, logOf, failPoint, manifestPageRows } = this.options;
    const { manifest } = log;
    while (manifest.rows.count >= manifestPageRows && !this.isStopped) {
      const rows = new SegmentRows(Buffer.from(manifest.rows.encodedFirst(manifestPageRows)));
      const bytes = encodeManifestPage({ tenant: manifest.tenant, partition: log.id, rows });
      await writer.writeManifestPage(manifest.tenant, bytes, async (object) => {
        if (logOf(log.id) !== log) return;
        const page = pagePointer(object, rows);
        const entry = encodeManifestPaged({ partition: log.id, page });
        const durable = journal.write(entryTypes.manifestPaged, entry);
        log.pageManifest(page);
        await durable;
        await failPoint('manifest-after-record');
      });
      if (logOf(log.id) !== log) return;
    }
  }

  private succeeded(): void {
    this.failedPasses = 0;
    this.figures.lastFailure = this.damaged.why;
  }

  private failed(error: BrokerError): void {
    const { clock, log } = this.options;
    this.figures.failures++;
    this.figures.lastFailure = error.message;
    const waitMs = Math.min(retryMs.max, retryMs.min * 2 ** this.failedPasses++);
    this.retryAtMs = clock.monotonicMs() + waitMs;
    log.warn('offload failed; records stay on the disk', { cause: error.message, waitMs });
  }
}

function noStoreRoom(bytes: number): BrokerError {
  return new BrokerError(
    'STORE_FAILED',
    `the object store is a directory on the data volume, which has no room for ${bytes} bytes more; enlarge the ` +
      'volume, shorten retention, or start with --object-store elsewhere',
    { metadata: { code: 'volume_full' } },
  );
}

function offloadFailed(message: string): BrokerError {
  return new BrokerError('STORE_FAILED', `the offload failed: ${message}`, { effect: 'unknown' });
}
