// An object store in a thread of its own, as an adapter like the others.
//
//   call → message → adapter in the thread → message → answer
//
// Invariants:
// - Nothing of the store runs in the main loop but the crossing of messages.
// - A caller that gives up is answered at once; the thread is told and gives its socket up.
// - A thread that dies fails every call that it had (effect unknown), and is made again for the next one.
// - The bytes of a put belong to the store from the call on: they may cross without a copy.
import { Worker } from 'node:worker_threads';
import { BrokerError, type ErrorEffect } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import { withSignal } from './deadline.ts';
import type {
  DeleteOutcome,
  GetOutcome,
  GetRangeOutcome,
  ListedObject,
  ObjectKey,
  ObjectStore,
  ObjectTag,
  PutOutcome,
  SwapOutcome,
} from './object-store.ts';
import type { OpenStore } from './open-store.ts';
import {
  errorFromMessage,
  type FromStore,
  type ListPage,
  type StoreRequest,
  type StoreThreadData,
} from './store-messages.ts';

interface Waiting {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: BrokerError) => void;
}

/** Throws what the adapter's opening throws: STORE_FAILED. */
export async function openStoreInThread(data: StoreThreadData, log: Log): Promise<OpenStore> {
  const store = new ThreadObjectStore(data, log);
  await store.start();
  return { store, close: () => store.close() };
}

class ThreadObjectStore implements ObjectStore {
  private readonly data: StoreThreadData;
  private readonly log: Log;
  private worker: Worker | undefined;
  private starting: Promise<Worker> | undefined;
  private lastCall = 0;
  private lastListing = 0;
  private readonly waiting = new Map<number, Waiting>();
  private isClosed = false;

  constructor(data: StoreThreadData, log: Log) {
    this.data = data;
    this.log = log;
  }

  async start(): Promise<Worker> {
    this.starting ??= this.startOne().finally(() => (this.starting = undefined));
    return this.worker ?? this.starting;
  }

  get(key: ObjectKey, signal: AbortSignal): Promise<GetOutcome> {
    return this.ask<GetOutcome>({ do: 'get', key }, 'none', signal).then(asBuffer);
  }

  getRange(
    key: ObjectKey,
    start: number,
    length: number,
    signal: AbortSignal,
  ): Promise<GetRangeOutcome> {
    const request = { do: 'getRange', key, start, length } as const;
    return this.ask<GetRangeOutcome>(request, 'none', signal).then(asBuffer);
  }

  putIfAbsent(key: ObjectKey, bytes: Uint8Array, signal: AbortSignal): Promise<PutOutcome> {
    return this.ask<PutOutcome>({ do: 'put', key, bytes }, 'unknown', signal);
  }

  compareAndSwap(
    key: ObjectKey,
    expected: ObjectTag,
    bytes: Uint8Array,
    signal: AbortSignal,
  ): Promise<SwapOutcome> {
    return this.ask<SwapOutcome>({ do: 'swap', key, expected, bytes }, 'unknown', signal);
  }

  delete(key: ObjectKey, signal: AbortSignal): Promise<DeleteOutcome> {
    return this.ask<DeleteOutcome>({ do: 'delete', key }, 'unknown', signal);
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<ListedObject, void> {
    const listing = ++this.lastListing;
    let isOpen = true;
    try {
      while (isOpen) {
        const page = await this.ask<ListPage>({ do: 'list', prefix, listing }, 'none', signal);
        isOpen = !page.isLast;
        yield* page.objects;
      }
    } finally {
      if (isOpen) this.worker?.postMessage({ call: 0, request: { do: 'endList', listing } });
    }
  }

  async close(): Promise<void> {
    this.isClosed = true;
    await this.starting?.catch(() => {});
    await this.worker?.terminate();
  }

  private async ask<T>(
    request: StoreRequest,
    effect: ErrorEffect,
    signal: AbortSignal,
  ): Promise<T> {
    const call = ++this.lastCall;
    const what = `object store: ${request.do} ${'key' in request ? request.key : ''}`;
    try {
      return await withSignal(signal, what, effect, async () => {
        const worker = this.worker ?? (await this.start());
        return this.send<T>(worker, call, request);
      });
    } finally {
      if (this.waiting.delete(call)) {
        this.worker?.postMessage({ abort: call, timeout: isTimeout(signal) });
      }
    }
  }

  private send<T>(worker: Worker, call: number, request: StoreRequest): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.waiting.set(call, { resolve: resolve as (answer: unknown) => void, reject });
      worker.postMessage({ call, request }, bytesOf(request));
    });
  }

  private startOne(): Promise<Worker> {
    return new Promise((resolve, reject) => {
      if (this.isClosed) {
        reject(threadEnded('it was closed'));
        return;
      }
      const worker = new Worker(new URL('./store-worker.ts', import.meta.url), {
        workerData: this.data,
        name: 'object-store',
      });
      worker.on('message', (message: FromStore) => {
        if ('ready' in message) {
          this.worker = worker;
          resolve(worker);
        } else if ('failed' in message) {
          reject(errorFromMessage(message.failed));
          void worker.terminate();
        } else this.settle(message);
      });
      worker.on('error', (error: unknown) => {
        const cause = error instanceof Error ? error.message : String(error);
        this.log.error('the thread of the object store ended', { cause });
        this.ended(cause);
        reject(threadEnded(cause));
      });
      worker.on('exit', () => {
        this.ended('it ended');
        reject(threadEnded('it ended'));
      });
      // A process that ends does not wait for its store. Behind the listeners: they would hold it.
      worker.unref();
    });
  }

  private settle(message: Extract<FromStore, { readonly call: number }>): void {
    const waiting = this.waiting.get(message.call);
    if (waiting === undefined) return;
    this.waiting.delete(message.call);
    if ('error' in message) waiting.reject(errorFromMessage(message.error));
    else waiting.resolve(message.answer);
  }

  private ended(why: string): void {
    this.worker = undefined;
    for (const { reject } of this.waiting.values()) reject(threadEnded(why));
    this.waiting.clear();
  }
}

/** Above this a put hands its buffer over instead of having it copied. */
const handedOverBytesMin = 1024 * 1024;

/** What may cross without a copy: a large object, which begins its buffer and stands alone in it. */
function bytesOf(request: StoreRequest): ArrayBuffer[] {
  if (request.do !== 'put' || request.bytes.length < handedOverBytesMin) return [];
  const { buffer, byteOffset } = request.bytes;
  return buffer instanceof ArrayBuffer && byteOffset === 0 ? [buffer] : [];
}

/** Structured cloning makes plain arrays of Buffers. */
function asBuffer<T extends GetOutcome | GetRangeOutcome>(outcome: T): T {
  if (outcome.outcome === 'missing') return outcome;
  const { bytes } = outcome;
  return { ...outcome, bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length) };
}

function isTimeout(signal: AbortSignal): boolean {
  return signal.reason instanceof DOMException && signal.reason.name === 'TimeoutError';
}

function threadEnded(why: string): BrokerError {
  return new BrokerError('STORE_FAILED', `the thread of the object store is gone: ${why}; retry`, {
    effect: 'unknown',
    metadata: { code: 'thread_ended' },
  });
}
