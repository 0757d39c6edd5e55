// A real shard on a simulated disk with an object store in memory and a clock of its own, small enough that a few
// batches fill a generation. For tests of one log over both tiers.
import { partitionId, tenantId, type PartitionId } from '../../broker/core/ids.ts';
import { silentLog } from '../../broker/core/log.ts';
import { seededRandom, type Random } from '../../broker/core/random.ts';
import type { StoredBatch } from '../../broker/log/stored-batch.ts';
import type { PartitionLog } from '../../broker/log/partition-log.ts';
import type {
  PartitionPolicy,
  RetentionPolicy,
  ShardPolicies,
} from '../../broker/shard/policies.ts';
import type { ShardTierOptions } from '../../broker/shard/shard-tier.ts';
import { Shard } from '../../broker/shard/shard.ts';
import { BlockCache } from '../../broker/tier/block-cache.ts';
import { Slots } from '../../broker/tier/slots.ts';
import type { TierSizes } from '../../broker/tier/tier-sizes.ts';
import { idleTier } from './idle-tier.ts';
import { MemoryObjectStore } from './memory-object-store.ts';
import { SimulatedDisk, turn } from './simulated-disk.ts';
import { VirtualClock } from './virtual-clock.ts';

/** Everything is inside the window. */
export const keptForever: RetentionPolicy = { ageMs: 0, bytes: 0, forever: true, unackedAgeMs: 0 };

export interface TieredShardOptions {
  readonly random?: Random;
  readonly generationBytes?: number;
  readonly tier?: Partial<ShardTierOptions>;
}

/** A few records make an object, a few objects a page of a manifest. */
export const smallSizes: TierSizes = {
  segmentBytesMin: 600,
  segmentBytesMax: 1_500,
  blockBytes: 400,
  extentBytes: 1_000,
  verifyBytes: 700,
};

/** Fills generations while the partition under test rests. */
const bystander = partitionId(99);

/** Virtual time that passes with each turn of the loop while something is waited for. */
const turnMs = 1;

export class TieredShard {
  readonly clock = new VirtualClock();
  readonly objects = new MemoryObjectStore();
  readonly disk: SimulatedDisk;
  private readonly random: Random;
  private readonly options: TieredShardOptions;
  private epoch = 0;
  private opened: Shard | undefined;
  /** By partition; the default keeps everything. */
  readonly retention = new Map<PartitionId, RetentionPolicy>();

  private constructor(options: TieredShardOptions) {
    this.options = options;
    this.random = options.random ?? seededRandom(1);
    this.disk = new SimulatedDisk(this.random);
  }

  static async open(options: TieredShardOptions = {}): Promise<TieredShard> {
    const shard = new TieredShard(options);
    await shard.start();
    return shard;
  }

  get shard(): Shard {
    if (this.opened === undefined) throw new Error('the shard is down');
    return this.opened;
  }

  /** Partitions 1 to 9 are of tenant 1, 10 to 19 of tenant 2, and so on. */
  readonly policies: ShardPolicies = {
    of: (partition): PartitionPolicy => ({
      tenant: tenantId(1 + Math.floor(partition / 10)),
      retention: this.retention.get(partition) ?? keptForever,
      hot: { ageMs: 0, bytes: 0 },
      backlog: { bytes: 0, policy: 'refuse_publish' },
      timeToLiveMs: 0,
    }),
  };

  log(partition = partitionId(1)): PartitionLog {
    return this.shard.partition(partition);
  }

  /** The process ends without warning and starts again. */
  async restart(): Promise<void> {
    this.opened = undefined;
    this.disk.crash();
    this.clock.forgetAlarms();
    await this.start();
  }

  /** Appends a batch; resolves when it is durable. */
  async publish(body: Buffer, recordCount = 1, partition = partitionId(1)): Promise<void> {
    const log = this.log(partition);
    const request = {
      publisher: undefined,
      sequence: 0,
      expectedOffset: undefined,
      body,
      recordCount,
      compressed: false,
      keyed: false,
    };
    log.append(request, this.clock.wallMs(), () => {});
    await this.until(log.behindAppends());
  }

  /** Lets turns of the loop and virtual time pass until it settles. */
  async until<T>(work: Promise<T>): Promise<T> {
    let isSettled = false;
    const settled = work.finally(() => (isSettled = true));
    settled.catch(() => {});
    while (!isSettled) {
      await turn();
      this.clock.advance(turnMs);
    }
    return settled;
  }

  /** Everything that the partition has is in the store, and nothing of it on the disk any more. */
  async cool(partition = partitionId(1)): Promise<void> {
    const { offloader } = this.shard.tier;
    await this.until(offloader.offloadNow([partition]));
    // A generation goes when the newest one began behind a checkpoint that is younger than it.
    for (let i = 0; i < 3; i++) {
      await this.publish(Buffer.alloc(1), 1, bystander);
      await this.until(offloader.offloadNow([bystander]));
    }
    await this.retain();
    const { hotStartOffset, endOffset } = this.log(partition);
    if (hotStartOffset < endOffset) throw new Error(`offset ${hotStartOffset} is still hot`);
  }

  /** Partition 1 with so many records, a segment each, all of them cold; pages of its manifest are not read yet. */
  static async cold(records: number): Promise<TieredShard> {
    const tiered = await TieredShard.open();
    for (let i = 0; i < records; i++) {
      await tiered.publish(Buffer.alloc(100, i));
      await tiered.until(tiered.shard.tier.offloader.offloadNow([partitionId(1)]));
    }
    await tiered.cool();
    return tiered;
  }

  /** From now on the store reads no object until it is released; `asked` resolves when it was asked for one. */
  holdGets(): { readonly asked: Promise<void>; readonly release: () => void } {
    const asked = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    const get = this.objects.get.bind(this.objects);
    this.objects.get = async (...args) => {
      asked.resolve();
      await released.promise;
      return get(...args);
    };
    return { asked: asked.promise, release: () => released.resolve() };
  }

  /** The batch that holds the offset, brought into memory when it is not there. */
  async read(offset: number, partition = partitionId(1)): Promise<StoredBatch> {
    const log = this.log(partition);
    for (;;) {
      const batch = log.read(offset, 1)?.[0];
      if (batch !== undefined) return batch;
      await this.until(log.load(offset));
    }
  }

  async retain(): Promise<void> {
    await this.until(this.shard.retain(this.policies));
  }

  private async start(): Promise<void> {
    this.epoch++;
    const { generationBytes = 2_000, tier = {} } = this.options;
    this.opened = await Shard.open({
      storage: this.disk.storage(),
      name: '0',
      epoch: this.epoch,
      volumeId: 'v',
      log: silentLog,
      generationBytes,
      tailCacheBytes: 1_000,
      clock: this.clock,
      random: this.random,
      tier: {
        ...idleTier(),
        sizes: smallSizes,
        manifestPageRows: 2,
        objects: this.objects,
        memory: { blocks: new BlockCache(4_000), slots: new Slots(2) },
        hotRoom: () => ({ budgetBytes: 0, isDiskTight: false }),
        ...tier,
      },
      onFatal: (error) => {
        throw error;
      },
    });
    this.shard.tier.start(this.policies);
  }
}
