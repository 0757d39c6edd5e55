// Uploads checkpoints of a shard, so that a broker can be made from the bucket alone.
//
//   entries → parts (putIfAbsent) → the root names the checkpoint (compare-and-swap) → older checkpoints are deleted
//
// Invariants:
// - The root names a checkpoint only when all its parts are in the store, and one that the root names is never deleted.
// - A shard whose root was taken over uploads no more: `publish` says so and the process ends.
import { crc32 } from 'node:zlib';
import { BrokerError } from '../core/errors.ts';
import type { FailPoint } from '../core/fail-point.ts';
import type { Clock } from '../core/clock.ts';
import type { ObjectKey } from '../objects/object-store.ts';
import type { TierStore } from '../tier/tier-store.ts';
import {
  checkpointKey,
  checkpointPrefix,
  CheckpointWriter,
  type CheckpointEntry,
  type CheckpointPointer,
} from './checkpoint-object.ts';

export interface CheckpointUploaderOptions {
  readonly store: TierStore;
  readonly epoch: number;
  readonly clock: Clock;
  readonly failPoint: FailPoint;
  /** A number that changes with what the entries say. */
  readonly version: () => number;
  /** What there is now; each entry as of when it is asked for. */
  readonly entries: () => Iterable<CheckpointEntry>;
  /** Has the shard's root name the checkpoint. Throws STORE_FAILED, SHARD_TAKEN_OVER. */
  readonly publish: (pointer: CheckpointPointer) => Promise<void>;
}

/** Bytes of entries made in one turn of the event loop. */
const bytesPerTurn = 256 * 1024;

export class CheckpointUploader {
  private readonly options: CheckpointUploaderOptions;
  private lastNumber = 0;
  private running: Promise<void> | undefined;
  private uploadedVersion = -1;
  /** The newest checkpoint that the root names, while older ones may be left in the store. */
  private kept: Pick<CheckpointPointer, 'epoch' | 'number'> | undefined;
  /** When the newest uploaded checkpoint was begun; 0 before the first. */
  uploadedAtMs = 0;

  constructor(options: CheckpointUploaderOptions) {
    this.options = options;
  }

  /** Uploads unless nothing has changed since the last upload began. */
  async uploadIfChanged(): Promise<void> {
    if (this.options.version() !== this.uploadedVersion) await this.upload();
  }

  /**
   * Uploads what there is from now on: behind an upload that is under way comes another. Older ones stay until
   * `deleteOlder`: who waits for an upload does not wait for them.
   */
  async upload(): Promise<void> {
    while (this.running !== undefined) await this.running.catch(() => {});
    this.running = this.uploadOne().finally(() => (this.running = undefined));
    await this.running;
  }

  /** Deletes what the root named before, and what was given up before that. Throws STORE_FAILED. */
  async deleteOlder(): Promise<void> {
    const { kept } = this;
    if (kept === undefined) return;
    const { store } = this.options;
    const old: ObjectKey[] = [];
    for await (const { key } of store.list(checkpointPrefix(store.shard))) {
      const [, epoch, number] = /\/([0-9]+)-([0-9]+)-[0-9]+\.ckpt$/.exec(key) ?? [];
      const age = kept.epoch - Number(epoch) || kept.number - Number(number);
      if (age > 0) old.push(key);
    }
    for (const key of old) await store.delete(key);
    if (this.kept === kept) this.kept = undefined;
  }

  private async uploadOne(): Promise<void> {
    const { epoch, clock, entries, publish, failPoint, version } = this.options;
    const atMs = clock.wallMs();
    const began = version();
    const number = ++this.lastNumber;
    const writer = new CheckpointWriter();
    let parts = 0;
    let bytes = 0;
    for (const entry of entries()) {
      const part = writer.add(entry);
      if (part !== undefined) await this.put({ epoch, number }, parts++, part);
      bytes += entry.payload.length;
      if (bytes < bytesPerTurn) continue;
      bytes = 0;
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    await this.put({ epoch, number }, parts++, writer.finish());
    await failPoint('checkpoint-after-put');
    await publish({ epoch, number, parts, atMs });
    await failPoint('checkpoint-after-swap');
    this.uploadedAtMs = atMs;
    this.uploadedVersion = began;
    this.kept = { epoch, number };
  }

  private async put(
    checkpoint: Pick<CheckpointPointer, 'epoch' | 'number'>,
    part: number,
    bytes: Buffer,
  ): Promise<void> {
    const { store } = this.options;
    const key = checkpointKey(store.shard, checkpoint, part);
    // The bytes belong to the store once they are put.
    const crc = crc32(bytes);
    try {
      await store.put(key, bytes);
      return;
    } catch (error) {
      if (!(error instanceof BrokerError) || error.effect === 'none') throw error;
      const written = await store.get(key);
      if (written === undefined || crc32(written) !== crc) throw error;
    }
  }
}
