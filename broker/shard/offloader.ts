// Brings a shard's sealed records to the object store: looks, plans, writes, records. One pass at a time.
//
//   seal what is old → candidates → tasks → segments (read back) → control entry → manifest pages
//
// Invariants:
// - Data before pointer: the entry that names an object is appended after every byte of it was read back.
// - Segments of a partition are recorded in the order of their offsets, without a hole.
// - A failure ends the pass, is told, and is tried again after a back-off; nothing on the disk is touched.
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
  readonly sealAgeMs: number;
  readonly offloadAgeMs: number;
  readonly bytesPerSecond: number;
  /** Rows of a page of a manifest. */
  readonly manifestPageRows: number;
}

export interface OffloadFigures {
  /** Written and recorded since the start. */
  objects: number;
  bytes: number;
  failures: number;
  /** Of the last failed pass; empty since one went well. */
  lastFailure: string;
  /** Append time of the oldest sealed record that only this disk has; Infinity when there is none. */
  oldestSealedMs: number;
  /** Stored bytes that only this disk has, sealed ones. */
  waitingBytes: number;
}

interface Candidate extends OffloadCandidate {
  readonly log: PartitionLog;
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

  /**
   * Offloads all of these partitions now. Resolves when that is recorded; throws why it failed.
   */
  async offloadNow(partitions: readonly PartitionId[]): Promise<void> {
    await this.options.journal.sealNewest();
    // A pass that is under way has looked before.
    while (this.running !== undefined) await this.running;
    for (const id of partitions) this.wanted.add(id);
    try {
      await this.pass();
    } finally {
      for (const id of partitions) this.wanted.delete(id);
    }
    if (this.figures.lastFailure !== '') throw offloadFailed(this.figures.lastFailure);
  }

  /** Append time of the oldest record that only the disk has; 0 when there is none. */
  get oldestUnoffloadedMs(): number {
    const sealed = this.figures.oldestSealedMs;
    const oldest = Math.min(sealed, this.options.journal.index.newest.oldestTimeMs);
    return oldest === Infinity ? 0 : oldest;
  }

  async stop(): Promise<void> {
    this.isStopped = true;
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
    const { journal, clock, offloadAgeMs } = this.options;
    if (this.isSealDue()) await journal.sealNewest();
    const candidates = this.candidates();
    // On a nearly full volume small objects: each needs room before its generation gives any.
    const roomBytes = Math.max(
      objectBytesMin,
      this.options.storeRoomBytes() / (2 * limits.offloadsMax),
    );
    const tasks = planOffload(candidates, clock.wallMs(), {
      bytesMin: limits.segmentBytesMin,
      bytesMax: Math.min(limits.segmentBytesMax, roomBytes),
      ageMs: offloadAgeMs,
    });
    await this.run(tasks);
    for (const { log } of candidates) await this.pageManifest(log);
    if (tasks.length > 0) this.candidates();
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
          const oldest = { oldestTimeMs: firstTimeMs, isUrgent };
          byPartition.set(log.id, { log, partition: log.id, tenant, bytes: left, ...oldest });
        } else {
          known.bytes += left;
          known.isUrgent ||= isUrgent;
        }
      }
    }
    this.figures.oldestSealedMs = oldestTimeMs;
    this.figures.waitingBytes = 0;
    for (const { bytes } of byPartition.values()) this.figures.waitingBytes += bytes;
    return [...byPartition.values()];
  }

  /** Writes all tasks, some at once; each partition's segments are recorded one after another. */
  private async run(tasks: readonly OffloadTask[]): Promise<void> {
    const ends = new Map<PartitionId, Offset>();
    let recorded: Promise<unknown> = Promise.resolve();
    let failure: BrokerError | undefined;
    const written = tasks.map(async (task) =>
      this.slots.run(async () => {
        if (this.isStopped || failure !== undefined) return;
        const before = recorded;
        const mine = this.write(task, ends, before).catch((error: unknown) => {
          failure ??= toBrokerError(error);
          throw error;
        });
        recorded = mine;
        await mine.catch(() => {});
      }),
    );
    await Promise.all(written);
    if (failure !== undefined) throw failure;
  }

  /** `ends`: where the segments so far will have ended. `before`: the tasks that must be recorded first. */
  private async write(
    task: OffloadTask,
    ends: Map<PartitionId, Offset>,
    before: Promise<unknown>,
  ): Promise<void> {
    const { logOf, writer } = this.options;
    const runs: SealedRun[] = [];
    for (const { partition, bytesMax } of task.parts) {
      const log = logOf(partition);
      if (log === undefined) continue;
      const run = this.cut(log, Math.max(ends.get(partition) ?? 0, log.offloadedEnd), bytesMax);
      if (run === undefined) continue;
      ends.set(partition, run.lastOffset + 1);
      runs.push(run);
    }
    if (runs.length === 0) return;
    const bytes = runs.reduce((sum, run) => sum + run.bytes, 0);
    if (bytes > this.options.storeRoomBytes()) throw noStoreRoom(bytes);
    await this.rate.take(bytes, this.bytesPerSecond());
    await writer.writeSegment(task.tenant, runs, async (segment) => {
      await before;
      await this.record(task, runs, segment);
    });
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
    this.figures.lastFailure = '';
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
