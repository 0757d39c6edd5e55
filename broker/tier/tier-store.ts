// One shard's objects in the object store: names, deadlines and repeats in one place.
//
// Invariants:
// - Every call has a deadline that grows with its bytes: a store that hangs holds nobody up for ever.
// - Reads are repeated a few times; a write is made once: after an unclear answer its caller reads back.
import type { Clock } from '../core/clock.ts';
import { BrokerError } from '../core/errors.ts';
import type { TenantId } from '../core/ids.ts';
import { limits } from '../core/limits.ts';
import type { Random } from '../core/random.ts';
import type {
  DeleteOutcome,
  ListedObject,
  ObjectKey,
  ObjectStore,
  PutOutcome,
} from '../objects/object-store.ts';
import { tierObjectKey, type ObjectId, type TierObjectKind } from './object-names.ts';

export interface TierStoreOptions {
  readonly store: ObjectStore;
  readonly shard: string;
  readonly clock: Clock;
  readonly random: Random;
  /** Base of each call's deadline, ms. */
  readonly callMs?: number;
}

/** A store slower than this misses its deadline. */
const bytesPerSecondMin = 1024 * 1024;
const readsMax = 3;
const repeatMs = 100;

export class TierStore {
  readonly shard: string;
  private readonly store: ObjectStore;
  private readonly clock: Clock;
  private readonly random: Random;
  private readonly callMs: number;
  private readonly calls = new Set<AbortController>();
  private readonly stopped = new AbortController();

  constructor(options: TierStoreOptions) {
    this.store = options.store;
    this.shard = options.shard;
    this.clock = options.clock;
    this.random = options.random;
    this.callMs = options.callMs ?? limits.storeCallMs;
  }

  key(kind: TierObjectKind, tenant: TenantId, { epoch, number }: ObjectId): ObjectKey {
    return tierObjectKey({ kind, tenant, shard: this.shard, epoch, number });
  }

  /** Once; throws STORE_FAILED. */
  put(key: ObjectKey, bytes: Buffer): Promise<PutOutcome> {
    return this.within(bytes.length, (signal) => this.store.putIfAbsent(key, bytes, signal));
  }

  /** The whole object; undefined when it is not there. Throws STORE_FAILED. */
  get(key: ObjectKey): Promise<Buffer | undefined> {
    return this.repeated(async () => {
      const got = await this.within(0, (signal) => this.store.get(key, signal));
      return got.outcome === 'found' ? got.bytes : undefined;
    });
  }

  /** Exactly these bytes; fewer when the object is shorter; undefined when it is not there. Throws STORE_FAILED. */
  getRange(key: ObjectKey, position: number, length: number): Promise<Buffer | undefined> {
    return this.repeated(async () => {
      const got = await this.within(length, (signal) =>
        this.store.getRange(key, position, length, signal),
      );
      return got.outcome === 'found' ? got.bytes : undefined;
    });
  }

  list(prefix: string): AsyncIterable<ListedObject> {
    const deadline = AbortSignal.timeout(limits.storeListMs);
    return this.store.list(prefix, AbortSignal.any([deadline, this.stopped.signal]));
  }

  delete(key: ObjectKey): Promise<DeleteOutcome> {
    return this.within(0, (signal) => this.store.delete(key, signal));
  }

  private async repeated<T>(read: () => Promise<T>): Promise<T> {
    for (let reads = 1; ; reads++) {
      try {
        return await read();
      } catch (error) {
        if (!(error instanceof BrokerError) || error.kind !== 'unavailable') throw error;
        if (reads === readsMax) throw error;
      }
      const waitMs = repeatMs * 2 ** (reads - 1) * (0.5 + this.random.next());
      await new Promise<void>((resolve) => this.clock.after(waitMs, resolve));
    }
  }

  /** Gives up every call that is under way; later ones fail at once. */
  stop(): void {
    const reason = new Error('the broker stops');
    this.stopped.abort(reason);
    for (const controller of this.calls) controller.abort(reason);
  }

  private async within<T>(bytes: number, call: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    const ms = this.callMs + Math.ceil((bytes * 1000) / bytesPerSecondMin);
    this.calls.add(controller);
    if (this.stopped.signal.aborted) this.stop();
    const timer = this.clock.after(ms, () =>
      controller.abort(new DOMException(`no answer within ${ms} ms`, 'TimeoutError')),
    );
    try {
      return await call(controller.signal);
    } finally {
      timer.cancel();
      this.calls.delete(controller);
    }
  }
}
