// Reads cold records: ranged GETs of blocks into a bounded cache, ahead of those who read on.
//
//   find ──miss──▶ load: manifest row → object's index → blocks (one, or a growing run of them) → cache
//
// Invariants:
// - `find` never waits; what it answers is checked against its CRC and names the partition that was asked for.
// - At most `coldReadsMax` GETs at once in all: a replay takes its share of the machine, never the tail's.
// - Only a reader that goes forward is read ahead for; a seek costs one block.
import type { Clock } from '../core/clock.ts';
import { BrokerError } from '../core/errors.ts';
import type { Offset, PartitionId } from '../core/ids.ts';
import type { Histogram } from '../core/metrics.ts';
import { Extent, type BlockCache } from './block-cache.ts';
import { ColdBlock, type ColdBatch } from './cold-block.ts';
import { lost, ManifestReader, type ColdPartition } from './manifest-reader.ts';
import {
  blockRowOf,
  blockRowOfTime,
  decodeBlockRow,
  segmentIndexRowBytes,
  type SegmentBlock,
} from './segment-format.ts';
import type { SegmentRow } from './segment-rows.ts';
import type { Slots } from './slots.ts';
import { tierSizes, type TierSizes } from './tier-sizes.ts';
import type { TierStore } from './tier-store.ts';

/** What all shards of a broker share. */
export interface ColdMemory {
  readonly blocks: BlockCache;
  readonly slots: Slots;
}

export interface ColdReaderOptions {
  readonly store: TierStore;
  readonly memory: ColdMemory;
  readonly clock: Clock;
  /** Seconds from asking to bytes. */
  readonly latency: Histogram;
  /** Default: those of the limits. */
  readonly sizes?: Pick<TierSizes, 'extentBytes'>;
}

/** Damage is looked at again after so long: the object may have been restored. */
const damageKeptMs = 10_000;

export class ColdReader {
  readonly manifests: ManifestReader;
  private readonly store: TierStore;
  private readonly memory: ColdMemory;
  private readonly clock: Clock;
  private readonly latency: Histogram;
  private readonly extentBytes: number;
  /** GETs under way, by object and first block. */
  private readonly loading = new Map<string, Promise<void>>();

  constructor({ store, memory, clock, latency, sizes = tierSizes }: ColdReaderOptions) {
    this.manifests = new ManifestReader(store);
    this.store = store;
    this.memory = memory;
    this.clock = clock;
    this.latency = latency;
    this.extentBytes = sizes.extentBytes;
  }

  /** The batch that holds the offset, if it is in memory. Throws DATA_LOSS when it is there and damaged. */
  find(partition: ColdPartition, offset: Offset): ColdBatch | undefined {
    const { blocks } = this.memory;
    const found = blocks.find(partition.id, offset, this.clock.monotonicMs());
    if (found === undefined) return undefined;
    const { block, extent } = found;
    if (extent.isAhead) {
      extent.isAhead = false;
      this.readOn(partition, extent);
    }
    const batch = block.batch(offset);
    if (batch === undefined) throw damaged(partition.id, offset, block.goodAfter(offset));
    return batch;
  }

  /** Brings the batch that holds the offset into memory. Throws DATA_LOSS, STORE_FAILED. */
  async load(partition: ColdPartition, offset: Offset): Promise<void> {
    const startedMs = this.clock.monotonicMs();
    const row = await this.manifests.rowOf(partition, offset);
    if (row === undefined || row.firstOffset > offset) throw hole(partition.id, offset);
    const isForward = this.memory.blocks.has(partition.id, offset - 1);
    const bytesMax = isForward ? this.extentBytes : 0;
    await this.loadRun(partition, row, offset, bytesMax, isForward);
    this.latency.observe((this.clock.monotonicMs() - startedMs) / 1000);
  }

  /** First offset in the store with an append time at or after the given one; undefined when all are older. */
  async offsetAtTime(partition: ColdPartition, timeMs: number): Promise<Offset | undefined> {
    const row = await this.manifests.rowOfTime(partition, timeMs);
    if (row === undefined) return undefined;
    if (row.firstTimeMs >= timeMs) return row.firstOffset;
    const section = await this.manifests.section(partition, row);
    const index = blockRowOfTime(section, timeMs);
    if (index * segmentIndexRowBytes >= section.length) return row.lastOffset + 1;
    const wanted = decodeBlockRow(section, index);
    if (wanted.firstTimeMs >= timeMs) return wanted.firstOffset;
    await this.loadRun(partition, row, wanted.firstOffset, 0, false);
    const nowMs = this.clock.monotonicMs();
    const found = this.memory.blocks.find(partition.id, wanted.firstOffset, nowMs);
    return found?.block.offsetAtTime(timeMs) ?? wanted.firstOffset;
  }

  /** Fetches what follows an extent that a reader has just reached. */
  private readOn(partition: ColdPartition, extent: Extent): void {
    const next = (extent.blocks.at(-1)?.lastOffset ?? 0) + 1;
    const { blocks, slots } = this.memory;
    if (blocks.has(partition.id, next) || slots.waitingCount > 0) return;
    void this.manifests
      .rowOf(partition, next)
      .then((row) => {
        if (row === undefined) return undefined;
        return this.loadRun(partition, row, next, this.extentBytes, true);
      })
      .catch(() => {
        // The reader finds the same failure when it gets there, and is told.
      });
  }

  /** Loads the block that holds the offset and, up to `bytesMax`, those that follow it in the same object. */
  private async loadRun(
    partition: ColdPartition,
    row: SegmentRow,
    offset: Offset,
    bytesMax: number,
    isAhead: boolean,
  ): Promise<void> {
    const section = await this.manifests.section(partition, row);
    const run = planRun(section, offset, bytesMax, (block) =>
      this.memory.blocks.has(partition.id, block.firstOffset),
    );
    const first = run[0];
    if (first === undefined) return;
    const key = `${partition.id}:${first.firstOffset}`;
    let loading = this.loading.get(key);
    if (loading === undefined) {
      loading = this.memory.slots
        .run(() => this.fetch(partition, row, run, isAhead))
        .finally(() => this.loading.delete(key));
      this.loading.set(key, loading);
    }
    await loading;
  }

  private async fetch(
    partition: ColdPartition,
    row: SegmentRow,
    run: readonly SegmentBlock[],
    isAhead: boolean,
  ): Promise<void> {
    const first = run[0] as SegmentBlock;
    const last = run.at(-1) as SegmentBlock;
    const key = this.manifests.segmentKey(partition, row);
    const length = last.position + last.length - first.position;
    for (let isAgain = false; ; isAgain = true) {
      const bytes = await this.store.getRange(key, first.position, length);
      if (bytes === undefined) throw lost(partition.id, key, 'is missing', row);
      const blocks: ColdBlock[] = [];
      for (const block of run) {
        const at = block.position - first.position;
        blocks.push(new ColdBlock(block, bytes.subarray(at, at + block.length)));
        // One block's sum and headers are what a turn of the event loop has room for.
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
      const isIntact = blocks.every((block) => block.isIntact);
      // Wrong bytes may come from the way; only what reads wrong twice is damage.
      if (!isIntact && !isAgain) continue;
      const expiresMs = isIntact ? Infinity : this.clock.monotonicMs() + damageKeptMs;
      this.memory.blocks.add(new Extent(blocks, bytes, expiresMs, isAhead));
      return;
    }
  }
}

/** Blocks from the one that holds the offset on: that one, and what follows while it fits and is not `known`. */
function planRun(
  section: Buffer,
  offset: Offset,
  bytesMax: number,
  known: (block: SegmentBlock) => boolean,
): SegmentBlock[] {
  const rows = section.length / segmentIndexRowBytes;
  const run: SegmentBlock[] = [];
  let bytes = 0;
  for (let i = blockRowOf(section, offset); i < rows; i++) {
    const block = decodeBlockRow(section, i);
    if (known(block) || (run.length > 0 && bytes + block.length > bytesMax)) break;
    run.push(block);
    bytes += block.length;
  }
  return run;
}

/** The manifest has segments around the offset and none with it: never to be taken for expired. */
function hole(partition: PartitionId, offset: Offset): BrokerError {
  return new BrokerError(
    'DATA_LOSS',
    `offset ${offset} of partition id ${partition} is in no segment, but its neighbours are; restore the volume from a ` +
      'backup, or seek past it',
    { metadata: { partition_id: String(partition), first_offset: String(offset) } },
  );
}

function damaged(partition: PartitionId, offset: Offset, goodFrom: Offset): BrokerError {
  return new BrokerError(
    'DATA_LOSS',
    `offsets ${offset} to ${goodFrom - 1} of partition id ${partition} are damaged in the object store; restore ` +
      `the object from a backup or an older version, or seek to ${goodFrom}`,
    {
      metadata: {
        partition_id: String(partition),
        first_offset: String(offset),
        last_offset: String(goodFrom - 1),
      },
    },
  );
}
