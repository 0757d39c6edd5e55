// Any object store, with faults that a test switches on and off.
import { BrokerError } from '../../broker/core/errors.ts';
import type {
  GetRangeOutcome,
  ObjectKey,
  ObjectStore,
  PutOutcome,
} from '../../broker/objects/object-store.ts';

export type StoreFault =
  | 'none'
  /** Nothing is answered; calls fail. */
  | 'away'
  /** Calls never answer, until their deadline. */
  | 'hangs'
  /** Writes are refused. */
  | 'read-only'
  /** Writes take effect, and then fail. */
  | 'put answers lost'
  /** Ranges come with a flipped bit, once each. */
  | 'wrong bytes once'
  /** Ranges are shorter than asked for. */
  | 'truncated';

export class FaultyStore implements ObjectStore {
  fault: StoreFault = 'none';
  /** Calls that reached the store, by verb. */
  readonly calls = new Map<string, number>();
  private readonly inner: ObjectStore;
  private readonly spoiled = new Set<string>();

  constructor(inner: ObjectStore) {
    this.inner = inner;
  }

  async get(key: ObjectKey, signal: AbortSignal) {
    await this.pass('get', signal);
    return this.inner.get(key, signal);
  }

  async getRange(
    key: ObjectKey,
    start: number,
    length: number,
    signal: AbortSignal,
  ): Promise<GetRangeOutcome> {
    await this.pass('getRange', signal);
    const got = await this.inner.getRange(key, start, length, signal);
    if (got.outcome === 'missing') return got;
    if (this.fault === 'truncated') {
      return { outcome: 'found', bytes: got.bytes.subarray(0, got.bytes.length >> 1) };
    }
    const place = `${key}:${start}`;
    if (this.fault !== 'wrong bytes once' || this.spoiled.has(place)) return got;
    this.spoiled.add(place);
    const at = got.bytes.length >> 1;
    got.bytes[at] = (got.bytes[at] ?? 0) ^ 0x10;
    return got;
  }

  async putIfAbsent(key: ObjectKey, bytes: Uint8Array, signal: AbortSignal): Promise<PutOutcome> {
    await this.pass('put', signal);
    if (this.fault === 'read-only') throw refused('AccessDenied', 'none');
    const written = await this.inner.putIfAbsent(key, bytes, signal);
    if (this.fault === 'put answers lost') throw refused('no_answer', 'unknown');
    return written;
  }

  async compareAndSwap(...args: Parameters<ObjectStore['compareAndSwap']>) {
    await this.pass('swap', args[3]);
    if (this.fault === 'read-only') throw refused('AccessDenied', 'none');
    return this.inner.compareAndSwap(...args);
  }

  async *list(prefix: string, signal: AbortSignal) {
    await this.pass('list', signal);
    yield* this.inner.list(prefix, signal);
  }

  async delete(key: ObjectKey, signal: AbortSignal) {
    await this.pass('delete', signal);
    return this.inner.delete(key, signal);
  }

  private async pass(verb: string, signal: AbortSignal): Promise<void> {
    this.calls.set(verb, (this.calls.get(verb) ?? 0) + 1);
    if (this.fault === 'away') throw refused('ECONNREFUSED', 'none');
    if (this.fault !== 'hangs') return;
    await new Promise<never>((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(refused('timeout', 'unknown')), { once: true });
    });
  }
}

function refused(code: string, effect: 'none' | 'unknown'): BrokerError {
  return new BrokerError('STORE_FAILED', `object store: ${code}; it is tried again`, {
    effect,
    metadata: { code },
  });
}
