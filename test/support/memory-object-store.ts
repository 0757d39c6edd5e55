// An object store in memory, for tests of what stands on the port. `fault` makes an answer fail, before or after the
// operation took effect, as a network does.
import { BrokerError } from '../../broker/core/errors.ts';
import { withSignal } from '../../broker/objects/deadline.ts';
import {
  isObjectKey,
  type DeleteOutcome,
  type GetOutcome,
  type GetRangeOutcome,
  type ListedObject,
  type ObjectKey,
  type ObjectStore,
  type ObjectTag,
  type PutOutcome,
  type SwapOutcome,
} from '../../broker/objects/object-store.ts';

export type Verb = 'get' | 'getRange' | 'putIfAbsent' | 'compareAndSwap' | 'list' | 'delete';

/** What goes wrong with a call; it is asked once per call. */
export type Fault = 'none' | 'lost before' | 'lost after' | 'hangs';

export class MemoryObjectStore implements ObjectStore {
  readonly objects = new Map<string, { readonly bytes: Buffer; readonly tag: ObjectTag }>();
  fault: (verb: Verb, key: string) => Fault = () => 'none';
  private tagCount = 0;

  get(key: ObjectKey, signal: AbortSignal): Promise<GetOutcome> {
    return this.call('get', key, signal, () => {
      const object = this.objects.get(key);
      if (object === undefined) return { outcome: 'missing' };
      return { outcome: 'found', bytes: Buffer.from(object.bytes), tag: object.tag };
    });
  }

  getRange(
    key: ObjectKey,
    start: number,
    length: number,
    signal: AbortSignal,
  ): Promise<GetRangeOutcome> {
    return this.call('getRange', key, signal, () => {
      const object = this.objects.get(key);
      if (object === undefined) return { outcome: 'missing' };
      return { outcome: 'found', bytes: Buffer.from(object.bytes.subarray(start, start + length)) };
    });
  }

  putIfAbsent(key: ObjectKey, bytes: Uint8Array, signal: AbortSignal): Promise<PutOutcome> {
    const copy = Buffer.from(bytes);
    return this.call('putIfAbsent', key, signal, () => {
      if (this.objects.has(key)) return { outcome: 'exists' };
      return { outcome: 'written', tag: this.put(key, copy) };
    });
  }

  compareAndSwap(
    key: ObjectKey,
    expected: ObjectTag,
    bytes: Uint8Array,
    signal: AbortSignal,
  ): Promise<SwapOutcome> {
    const copy = Buffer.from(bytes);
    return this.call('compareAndSwap', key, signal, () => {
      const object = this.objects.get(key);
      if (object === undefined) return { outcome: 'missing' };
      if (object.tag !== expected) return { outcome: 'mismatch' };
      return { outcome: 'swapped', tag: this.put(key, copy) };
    });
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<ListedObject, void> {
    const keys = await this.call('list', prefix, signal, () => [...this.objects.keys()].sort());
    for (const key of keys) {
      const object = this.objects.get(key);
      if (object === undefined || !key.startsWith(prefix) || !isObjectKey(key)) continue;
      yield { key, bytes: object.bytes.length };
    }
  }

  delete(key: ObjectKey, signal: AbortSignal): Promise<DeleteOutcome> {
    return this.call('delete', key, signal, () =>
      this.objects.delete(key) ? { outcome: 'deleted' } : { outcome: 'missing' },
    );
  }

  private put(key: string, bytes: Buffer): ObjectTag {
    const tag = `tag-${this.tagCount++}` as ObjectTag;
    this.objects.set(key, { bytes, tag });
    return tag;
  }

  private call<T>(verb: Verb, key: string, signal: AbortSignal, work: () => T): Promise<T> {
    return withSignal(signal, `${verb} ${key}`, 'unknown', async () => {
      const fault = this.fault(verb, key);
      await Promise.resolve();
      if (fault === 'lost before') throw lost(verb, key);
      const answer = work();
      if (fault === 'lost after') throw lost(verb, key);
      if (fault === 'hangs') await new Promise(() => {});
      return answer;
    });
  }
}

function lost(verb: Verb, key: string): BrokerError {
  return new BrokerError('STORE_FAILED', `${verb} ${key}: the connection was lost`, {
    effect: 'unknown',
  });
}
