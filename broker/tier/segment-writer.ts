// Writes sealed batches as one segment object, and reads it back before anyone may rely on it.
//
//   number → build → put → read back, every byte against its CRC → rows
//
// Invariants:
// - A number is given once in an epoch; an object that was given up is never written again under its name.
// - An answer that is unclear is settled by reading back: what is there and right is written, whoever said what.
// - While an object is neither recorded nor given up its number is in flight: it is not garbage.
import { crc32 } from 'node:zlib';
import type { StoredHeader } from '../batch/stored-header.ts';
import type { Clock } from '../core/clock.ts';
import { BrokerError } from '../core/errors.ts';
import { freeBuffer } from '../core/free-buffer.ts';
import type { FailPoint } from '../core/fail-point.ts';
import type { Offset, PartitionId, TenantId } from '../core/ids.ts';
import type { ObjectKey } from '../objects/object-store.ts';
import type { ObjectId } from './object-names.ts';
import { SegmentBuilder, type BuiltSegment } from './segment-builder.ts';
import type { SegmentRow } from './segment-rows.ts';
import { tierSizes, type TierSizes } from './tier-sizes.ts';
import type { TierStore } from './tier-store.ts';

/** Whole batches of one partition that stand in sealed generations. */
export interface SealedRun {
  readonly partition: PartitionId;
  readonly firstOffset: Offset;
  readonly lastOffset: Offset;
  /** Stored batches with their headers. */
  readonly bytes: number;
}

/** How the journal's sealed batches are read. */
export interface SealedBatches {
  /** Calls back for each batch of the runs, in offset order per partition. `stored` is valid during the call. */
  read(
    runs: readonly SealedRun[],
    each: (header: StoredHeader, stored: Buffer) => void,
  ): Promise<void>;
}

export interface WrittenSegment {
  readonly object: ObjectId;
  readonly bytes: number;
  readonly rows: ReadonlyMap<PartitionId, SegmentRow>;
}

export interface SegmentWriterOptions {
  readonly store: TierStore;
  readonly epoch: number;
  readonly source: SealedBatches;
  readonly clock: Clock;
  readonly failPoint: FailPoint;
  /** Default: those of the limits. */
  readonly sizes?: Pick<TierSizes, 'blockBytes' | 'verifyBytes'>;
}

export class SegmentWriter {
  private readonly options: SegmentWriterOptions;
  private lastNumber = 0;
  private readonly inFlight = new Set<number>();

  constructor(options: SegmentWriterOptions) {
    this.options = options;
  }

  get epoch(): number {
    return this.options.epoch;
  }

  /** Objects of this epoch that may be there and be referred to by nobody yet: these, and all above `lastNumber`. */
  pending(): { readonly lastNumber: number; readonly inFlight: ReadonlySet<number> } {
    return { lastNumber: this.lastNumber, inFlight: new Set(this.inFlight) };
  }

  /**
   * Writes and verifies, then has `record` make it durable that the object is there; nothing refers to it before.
   * Throws STORE_FAILED, DATA_LOSS; then the object is given up.
   */
  async writeSegment<T>(
    tenant: TenantId,
    runs: readonly SealedRun[],
    record: (written: WrittenSegment) => Promise<T>,
  ): Promise<T> {
    const { store, source, clock, failPoint, sizes = tierSizes } = this.options;
    return this.numbered(async (object) => {
      const builder = new SegmentBuilder(
        { ...object, shard: store.shard, tenant, createdAtMs: clock.wallMs() },
        runs,
        sizes.blockBytes,
      );
      await source.read(runs, (header, stored) => builder.add(header, stored));
      const built = builder.finish();
      const key = store.key('segment', tenant, object);
      const bytes = built.bytes.length;
      await failPoint('offload-before-put');
      await this.put(key, built.bytes);
      await failPoint('offload-after-put');
      await this.verify(key, built);
      await failPoint('offload-after-verify');
      return record({ object, bytes, rows: built.rows });
    });
  }

  /** The same for a manifest page. */
  async writeManifestPage<T>(
    tenant: TenantId,
    bytes: Buffer,
    record: (object: ObjectId) => Promise<T>,
  ): Promise<T> {
    return this.numbered(async (object) => {
      const key = this.options.store.key('manifest', tenant, object);
      const check = { position: 0, length: bytes.length, crc: crc32(bytes) };
      await this.put(key, bytes);
      await this.options.failPoint('manifest-after-put');
      await this.verify(key, { checks: [check] });
      return record(object);
    });
  }

  private async numbered<T>(work: (object: ObjectId) => Promise<T>): Promise<T> {
    const number = ++this.lastNumber;
    this.inFlight.add(number);
    try {
      return await work({ epoch: this.options.epoch, number });
    } finally {
      this.inFlight.delete(number);
    }
  }

  /** An unclear answer is left to `verify`. */
  private async put(key: ObjectKey, bytes: Buffer): Promise<void> {
    try {
      await this.options.store.put(key, bytes);
    } catch (error) {
      if (!(error instanceof BrokerError) || error.effect === 'none') throw error;
    }
  }

  private async verify(key: ObjectKey, { checks }: Pick<BuiltSegment, 'checks'>): Promise<void> {
    const { store, sizes = tierSizes } = this.options;
    for (let from = 0; from < checks.length;) {
      const first = checks[from];
      if (first === undefined) return;
      let to = from;
      let bytes = 0;
      for (; to < checks.length && (to === from || bytes < sizes.verifyBytes); to++) {
        bytes += checks[to]?.length ?? 0;
      }
      const read = await store.getRange(key, first.position, bytes);
      if (read?.length !== bytes) throw notWritten(key, 'is not there as a whole');
      for (const { position, length, crc } of checks.slice(from, to)) {
        const at = position - first.position;
        if (crc32(read.subarray(at, at + length)) !== crc) {
          throw notWritten(key, `reads back wrong from byte ${position} on`);
        }
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
      freeBuffer(read);
      from = to;
    }
  }
}

function notWritten(key: ObjectKey, what: string): BrokerError {
  return new BrokerError(
    'STORE_FAILED',
    `object ${key} ${what} after it was written; the records stay on the disk and are offloaded again`,
    { effect: 'unknown', metadata: { object: key } },
  );
}
