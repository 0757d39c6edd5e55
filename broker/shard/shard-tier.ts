// The object store's side of a shard: cold reads, offload, garbage, uploaded checkpoints.
import type { Clock } from '../core/clock.ts';
import type { FailPoint } from '../core/fail-point.ts';
import type { PartitionId } from '../core/ids.ts';
import type { Log } from '../core/log.ts';
import type { Histogram } from '../core/metrics.ts';
import type { Random } from '../core/random.ts';
import type { Journal } from '../journal/journal.ts';
import type { PartitionLog } from '../log/partition-log.ts';
import type { ObjectStore } from '../objects/object-store.ts';
import { ColdReader, type ColdMemory } from '../tier/cold-reader.ts';
import { Garbage, type SweepFigures } from '../tier/garbage.ts';
import { SegmentWriter } from '../tier/segment-writer.ts';
import { tierSizes, type TierSizes } from '../tier/tier-sizes.ts';
import { TierStore } from '../tier/tier-store.ts';
import type { CheckpointEntry, CheckpointPointer } from './checkpoint-object.ts';
import { CheckpointUploader } from './checkpoint-uploader.ts';
import { urgentGenerations, type HotFacts } from './hot-plan.ts';
import { Offloader } from './offloader.ts';
import type { ShardPolicies } from './policies.ts';
import { sealedBatches } from './sealed-batches.ts';

export interface ShardTierOptions {
  readonly objects: ObjectStore;
  readonly memory: ColdMemory;
  readonly readLatency: Histogram;
  readonly failPoint: FailPoint;
  readonly sealAgeMs: number;
  readonly offloadAgeMs: number;
  readonly offloadBytesPerSecond: number;
  readonly garbageGraceMs: number;
  readonly manifestPageRows: number;
  /** Default: those of the limits. */
  readonly sizes?: TierSizes;
  /** Room for this shard's journal, and whether the volume is nearly full. */
  hotRoom(): Pick<HotFacts, 'budgetBytes' | 'isDiskTight'>;
  /** What the store has room for; Infinity when it is not on the data volume. */
  storeRoomBytes(): number;
  /** Takes that room for an object; answers how to give it back, or undefined when there is none. */
  takeStoreRoom(bytes: number): (() => void) | undefined;
  /** Has the shard's root name the checkpoint. */
  publishCheckpoint(pointer: CheckpointPointer): Promise<void>;
}

/** What the tier needs of its shard. */
export interface ShardTierHost {
  readonly name: string;
  readonly epoch: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  journal(): Journal;
  logOf(id: PartitionId): PartitionLog | undefined;
  logs(): Iterable<PartitionLog>;
  checkpointEntries(): Iterable<CheckpointEntry>;
}

export class ShardTier {
  readonly cold: ColdReader;
  readonly uploader: CheckpointUploader;
  /** Of all sweeps since the start; `waiting` of the last one. */
  readonly swept = { deleted: 0, deletedBytes: 0, waiting: 0 };
  private readonly options: ShardTierOptions;
  private readonly host: ShardTierHost;
  private readonly store: TierStore;
  private readonly writer: SegmentWriter;
  private readonly garbage: Garbage;
  private running: Offloader | undefined;

  constructor(options: ShardTierOptions, host: ShardTierHost) {
    this.options = options;
    this.host = host;
    const { objects, memory, readLatency, failPoint, sizes = tierSizes } = options;
    const { name, epoch, clock, random } = host;
    const store = new TierStore({ store: objects, shard: name, clock, random });
    this.store = store;
    this.cold = new ColdReader({ store, memory, clock, latency: readLatency, sizes });
    const source = sealedBatches(() => host.journal());
    this.writer = new SegmentWriter({ store, epoch, source, clock, failPoint, sizes });
    this.garbage = new Garbage({
      store,
      writer: this.writer,
      manifests: this.cold.manifests,
      clock,
      failPoint,
    });
    this.uploader = new CheckpointUploader({
      store,
      epoch,
      clock,
      failPoint,
      version: () => host.journal().commitCount,
      entries: () => host.checkpointEntries(),
      publish: (pointer) => options.publishCheckpoint(pointer),
    });
  }

  /** Begins to offload. The catalog is loaded: what it does not know is left alone. */
  start(policies: ShardPolicies): void {
    const { host, options } = this;
    this.running = new Offloader({
      journal: host.journal(),
      writer: this.writer,
      policies,
      clock: host.clock,
      log: host.log,
      failPoint: options.failPoint,
      logOf: (id) => host.logOf(id),
      urgentGenerations: () => this.urgentGenerations(),
      storeRoomBytes: () => options.storeRoomBytes(),
      takeStoreRoom: (bytes) => options.takeStoreRoom(bytes),
      sealAgeMs: options.sealAgeMs,
      offloadAgeMs: options.offloadAgeMs,
      bytesPerSecond: options.offloadBytesPerSecond,
      manifestPageRows: options.manifestPageRows,
      sizes: options.sizes ?? tierSizes,
    });
  }

  get offloader(): Offloader {
    if (this.running === undefined) throw new Error('the shard does not offload yet');
    return this.running;
  }

  /** The store is on the data volume, which is nearly full. */
  get isStoreTight(): boolean {
    return this.options.storeRoomBytes() < Infinity && this.options.hotRoom().isDiskTight;
  }

  hotFacts(): HotFacts {
    return { hotBytes: this.host.journal().index.fileBytes(), ...this.options.hotRoom() };
  }

  /**
   * Uploads a checkpoint, then deletes what neither it nor the shard refers to. On a store that takes the journal's
   * room while there is little of it nobody gets a grace period. Throws STORE_FAILED, DATA_LOSS.
   */
  async sweep(): Promise<SweepFigures> {
    const { garbageGraceMs } = this.options;
    const graceMs = this.isStoreTight ? 0 : garbageGraceMs;
    const mark = this.garbage.mark(this.host.logs());
    await this.uploader.upload();
    const figures = await this.garbage.sweep(mark, graceMs);
    this.swept.deleted += figures.deleted;
    this.swept.deletedBytes += figures.deletedBytes;
    this.swept.waiting = figures.waiting;
    const { deleted, deletedBytes, waiting, failure } = figures;
    if (deleted > 0) this.host.log.info('deleted objects', { deleted, deletedBytes, waiting });
    if (failure !== undefined) throw failure;
    return figures;
  }

  /** Gives up what is under way with the store; resolves when nothing is. */
  async stop(): Promise<void> {
    this.store.stop();
    await this.running?.stop();
  }

  private urgentGenerations(): number {
    const sealed = this.host
      .journal()
      .index.views()
      .filter((generation) => generation.sealed)
      .map(({ bytes }) => bytes);
    return urgentGenerations(sealed, this.hotFacts());
  }
}
