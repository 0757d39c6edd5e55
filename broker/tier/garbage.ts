// Deletes objects that nothing refers to: expired records, deleted topics, and what a crash or a failure left behind.
//
//   mark (what is referred to, what is in flight) → list → unreferenced for the whole grace period → delete
//
// Invariants:
// - An object goes only if its name says that this shard made it, in this epoch or an earlier one, and no manifest, no
//   uploaded checkpoint and no write in flight refers to it. The caller uploads a checkpoint between mark and sweep.
// - While a manifest page cannot be read nothing of its tenant goes: what it refers to is not known.
// - The grace period only spares slow readers a repeat; safety does not rest on it.
import type { Clock } from '../core/clock.ts';
import { BrokerError } from '../core/errors.ts';
import type { FailPoint } from '../core/fail-point.ts';
import type { TenantId } from '../core/ids.ts';
import type { ObjectKey } from '../objects/object-store.ts';
import type { ColdPartition, ManifestReader } from './manifest-reader.ts';
import { parseTierObjectKey, tenantsPrefix, type TierObject } from './object-names.ts';
import type { SegmentWriter } from './segment-writer.ts';
import type { TierStore } from './tier-store.ts';

/** What must stay, as of one moment. */
export interface Mark {
  readonly keys: Set<ObjectKey>;
  readonly pages: readonly MarkedPage[];
  readonly pending: ReturnType<SegmentWriter['pending']>;
}

/** What a manifest page refers to must stay: objects of its own tenant. */
interface MarkedPage {
  readonly tenant: TenantId;
  read(): Promise<Iterable<ObjectKey>>;
}

export interface SweepFigures {
  readonly deleted: number;
  readonly deletedBytes: number;
  /** Unreferenced, and still within the grace period, or left for the next sweep. */
  readonly waiting: number;
  /** Why something could not be deleted, or a page not be read; undefined when all could. */
  readonly failure: BrokerError | undefined;
}

/** After so many refusals in a row the rest is left for the next sweep: the store lets nothing be deleted. */
const refusalsMax = 16;

export interface GarbageOptions {
  readonly store: TierStore;
  readonly writer: SegmentWriter;
  readonly manifests: ManifestReader;
  readonly clock: Clock;
  readonly failPoint: FailPoint;
}

export class Garbage {
  private readonly options: GarbageOptions;
  /** When each unreferenced object was first seen as such. */
  private seenMs = new Map<ObjectKey, number>();

  constructor(options: GarbageOptions) {
    this.options = options;
  }

  /** In one turn: what the partitions refer to now. */
  mark(partitions: Iterable<ColdPartition>): Mark {
    const { store, writer, manifests } = this.options;
    const keys = new Set<ObjectKey>();
    const pages: MarkedPage[] = [];
    for (const partition of partitions) {
      const { tenant, rows, pages: pointers } = partition.manifest;
      for (const row of rows) keys.add(store.key('segment', tenant, row.object));
      for (const pointer of pointers) {
        keys.add(store.key('manifest', tenant, pointer.object));
        pages.push({
          tenant,
          async read() {
            const inPage = await manifests.page(partition, pointer);
            return [...inPage].map((row) => store.key('segment', tenant, row.object));
          },
        });
      }
    }
    return { keys, pages, pending: writer.pending() };
  }

  /**
   * Deletes what was unreferenced before the mark for the whole grace period. A delete that fails, or a page that is
   * damaged, is told in the figures, and keeps nothing else. Throws STORE_FAILED.
   */
  async sweep({ keys, pages, pending }: Mark, graceMs: number): Promise<SweepFigures> {
    const { store, writer, clock, failPoint } = this.options;
    const unknown = await this.addPages(pages, keys);
    const nowMs = clock.monotonicMs();
    const seenMs = new Map<ObjectKey, number>();
    let deleted = 0;
    let deletedBytes = 0;
    let failure = [...unknown.values()][0];
    let refusals = 0;
    for await (const { key, bytes } of store.list(tenantsPrefix)) {
      const object = parseTierObjectKey(key);
      if (object === undefined || keys.has(key) || !this.isOurs(object, writer.epoch, pending)) {
        continue;
      }
      if (unknown.has(object.tenant)) continue;
      const since = this.seenMs.get(key) ?? nowMs;
      if (nowMs - since < graceMs || refusals >= refusalsMax) {
        seenMs.set(key, since);
        continue;
      }
      await failPoint('garbage-before-delete');
      const refusal = await this.tryDelete(key);
      await failPoint('garbage-after-delete');
      if (refusal === undefined) {
        deleted++;
        deletedBytes += bytes;
        refusals = 0;
        continue;
      }
      // One that is locked keeps nobody else; a store that does not answer is not asked for each.
      failure ??= refusal;
      refusals = refusal.effect === 'none' ? refusals + 1 : refusalsMax;
      seenMs.set(key, since);
    }
    this.seenMs = seenMs;
    return { deleted, deletedBytes, waiting: seenMs.size, failure };
  }

  /** Adds what the pages refer to; answers the tenants of those that are damaged, and why. */
  private async addPages(
    pages: readonly MarkedPage[],
    keys: Set<ObjectKey>,
  ): Promise<ReadonlyMap<TenantId, BrokerError>> {
    const unknown = new Map<TenantId, BrokerError>();
    for (const page of pages) {
      try {
        for (const key of await page.read()) keys.add(key);
      } catch (error) {
        if (!(error instanceof BrokerError) || error.kind !== 'corrupt') throw error;
        unknown.set(page.tenant, error);
      }
    }
    return unknown;
  }

  /** Why it could not be deleted. */
  private async tryDelete(key: ObjectKey): Promise<BrokerError | undefined> {
    try {
      await this.options.store.delete(key);
      return undefined;
    } catch (error) {
      if (error instanceof BrokerError && error.kind === 'unavailable') return error;
      throw error;
    }
  }

  private isOurs(object: TierObject, epoch: number, pending: Mark['pending']): boolean {
    if (object.shard !== this.options.store.shard || object.epoch > epoch) return false;
    if (object.epoch < epoch) return true;
    return object.number <= pending.lastNumber && !pending.inFlight.has(object.number);
  }
}
