// Any object store, with faults that a test switches on and off.
import { BrokerError } from '../../broker/core/errors.ts';
import { withSignal } from '../../broker/objects/deadline.ts';
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
  /** Ranges come with a flipped bit, always. */
  | 'wrong bytes'
  /** Ranges are shorter than asked for. */
  | 'truncated'
  | 'lists fail'
  | 'deletes fail';

export class FaultyStore implements ObjectStore {
  fault: StoreFault = 'none';
  /** Which objects the fault hits; a list counts by its prefix. */
  hits: (key: string) => boolean = () => true;
  /** Calls that reached the store, by verb. */
  readonly calls = new Map<string, number>();
  /** Calls that wait for their deadline. */
  hanging = 0;
  private readonly inner: ObjectStore;
  private readonly spoiled = new Set<string>();

  constructor(inner: ObjectStore) {
    this.inner = inner;
  }

  async get(key: ObjectKey, signal: AbortSignal) {
    await this.pass('get', key, signal);
    return this.inner.get(key, signal);
  }

  async getRange(
    key: ObjectKey,
    start: number,
    length: number,
    signal: AbortSignal,
  ): Promise<GetRangeOutcome> {
    await this.pass('getRange', key, signal);
    const got = await this.inner.getRange(key, start, length, signal);
    if (got.outcome === 'missing') return got;
    const fault = this.faultOf(key);
    if (fault === 'truncated') {
      return { outcome: 'found', bytes: got.bytes.subarray(0, got.bytes.length >> 1) };
    }
    const place = `${key}:${start}`;
    const isSpoiled =
      fault === 'wrong bytes' || (fault === 'wrong bytes once' && !this.spoiled.has(place));
    if (!isSpoiled) return got;
    this.spoiled.add(place);
    const at = got.bytes.length >> 1;
    got.bytes[at] = (got.bytes[at] ?? 0) ^ 0x10;
    return got;
  }

  async putIfAbsent(key: ObjectKey, bytes: Uint8Array, signal: AbortSignal): Promise<PutOutcome> {
    await this.pass('put', key, signal);
    const fault = this.faultOf(key);
    if (fault === 'read-only') throw refused('AccessDenied', 'none');
    const written = await this.inner.putIfAbsent(key, bytes, signal);
    if (fault === 'put answers lost') throw refused('no_answer', 'unknown');
    return written;
  }

  async compareAndSwap(...args: Parameters<ObjectStore['compareAndSwap']>) {
    const [key, , , signal] = args;
    await this.pass('swap', key, signal);
    if (this.faultOf(key) === 'read-only') throw refused('AccessDenied', 'none');
    return this.inner.compareAndSwap(...args);
  }

  async *list(prefix: string, signal: AbortSignal) {
    await this.pass('list', prefix, signal);
    if (this.faultOf(prefix) === 'lists fail') throw refused('InternalError', 'none');
    yield* this.inner.list(prefix, signal);
  }

  async delete(key: ObjectKey, signal: AbortSignal) {
    await this.pass('delete', key, signal);
    if (this.faultOf(key) === 'deletes fail') throw refused('AccessDenied', 'none');
    return this.inner.delete(key, signal);
  }

  private faultOf(key: string): StoreFault {
    return this.hits(key) ? this.fault : 'none';
  }

  private async pass(verb: string, key: string, signal: AbortSignal): Promise<void> {
    this.calls.set(verb, (this.calls.get(verb) ?? 0) + 1);
    const fault = this.faultOf(key);
    if (fault === 'away') throw refused('ECONNREFUSED', 'none');
    if (fault !== 'hangs') return;
    this.hanging++;
    await withSignal(signal, `${verb} ${key}`, 'unknown', () => new Promise<never>(() => {}));
  }
}

function refused(code: string, effect: 'none' | 'unknown'): BrokerError {
  return new BrokerError('STORE_FAILED', `object store: ${code}; it is tried again`, {
    effect,
    metadata: { code },
  });
}
