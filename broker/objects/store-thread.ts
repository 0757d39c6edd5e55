// An object store in a thread of its own, as an adapter like the others.
//
//   call → message → adapter in the thread → message → answer
//
// Invariants:
// - Nothing of the store runs in the main loop but the crossing of messages.
// - A caller that gives up is answered at once; the thread is told and gives its socket up.
// - A thread that dies fails every call that it had (effect unknown), and no other. The next call has it made again,
//   later and later when it dies at once.
// - The bytes of a put belong to the store from the call on: they may cross without a copy.
import { Worker } from 'node:worker_threads';
import { systemClock } from '../core/clock.ts';
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

/** A thread that is ready, and the calls that it has. */
interface Running {
  readonly worker: Worker;
  readonly waiting: Map<number, Waiting>;
}

const restartMs = { min: 100, max: 10_000 } as const;
/** A thread that has lived so long did not die of its start. */
const healthyMs = 60_000;

/** Throws what the adapter's opening throws: STORE_FAILED. */
export async function openStoreInThread(data: StoreThreadData, log: Log): Promise<OpenStore> {
  const store = new ThreadObjectStore(data, log);
  await store.start();
  return { store, close: () => store.close() };
}

class ThreadObjectStore implements ObjectStore {
  private readonly data: StoreThreadData;
  private readonly log: Log;
  private running: Running | undefined;
  private starting: Promise<Running> | undefined;
  private lastCall = 0;
  private lastListing = 0;
  private restartWaitMs = 0;
  private isClosed = false;
  private readonly closed = Promise.withResolvers<void>();

  constructor(data: StoreThreadData, log: Log) {
    this.data = data;
    this.log = log;
  }

  async start(): Promise<Running> {
    if (this.running !== undefined) return this.running;
    this.starting ??= this.startOne().finally(() => (this.starting = undefined));
    return this.starting;
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
      const end = { call: 0, request: { do: 'endList', listing } };
      if (isOpen) this.running?.worker.postMessage(end);
    }
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.closed.resolve();
    await this.starting?.catch(() => {});
    await this.running?.worker.terminate();
  }

  private async ask<T>(
    request: StoreRequest,
    effect: ErrorEffect,
    signal: AbortSignal,
  ): Promise<T> {
    const call = ++this.lastCall;
    const what = `object store: ${request.do} ${'key' in request ? request.key : ''}`;
    let running: Running | undefined;
    try {
      return await withSignal(signal, what, effect, async () => {
        running = this.running ?? (await this.start());
        // The caller may have gone meanwhile: what it has given up had better not happen.
        signal.throwIfAborted();
        return send<T>(running, call, request);
      });
    } finally {
      if (running?.waiting.delete(call) === true) {
        running.worker.postMessage({ abort: call, timeout: isTimeout(signal) });
      }
    }
  }

  private async startOne(): Promise<Running> {
    const waitMs = this.restartWaitMs;
    if (waitMs > 0) {
      const waited = new Promise<void>((resolve) => systemClock.after(waitMs, resolve));
      await Promise.race([waited, this.closed.promise]);
    }
    if (this.isClosed) throw threadEnded('it was closed', 'none');
    const worker = new Worker(new URL('./store-worker.ts', import.meta.url), {
      workerData: this.data,
      name: 'object-store',
    });
    const running = { worker, waiting: new Map<number, Waiting>() };
    const startedMs = systemClock.monotonicMs();
    return new Promise((resolve, reject) => {
      let hasEnded = false;
      // Told twice of a thread that threw: of its error, and of its end.
      const end = (why: string): void => {
        if (!hasEnded) this.ended(running, why, systemClock.monotonicMs() - startedMs);
        hasEnded = true;
        reject(threadEnded(why, 'none'));
      };
      worker.on('message', (message: FromStore) => {
        if ('ready' in message) {
          this.running = running;
          resolve(running);
        } else if ('failed' in message) {
          reject(errorFromMessage(message.failed));
          void worker.terminate();
        } else settle(running, message);
      });
      worker.on('error', (error: unknown) => {
        const cause = error instanceof Error ? error.message : String(error);
        this.log.error('the thread of the object store ended', { cause });
        end(cause);
      });
      worker.on('exit', () => end('it ended'));
      // A process that ends does not wait for its store. Behind the listeners: they would hold it.
      worker.unref();
    });
  }

  private ended(running: Running, why: string, livedMs: number): void {
    if (this.running === running) this.running = undefined;
    const longer = Math.min(restartMs.max, Math.max(restartMs.min, this.restartWaitMs * 2));
    this.restartWaitMs = livedMs > healthyMs ? restartMs.min : longer;
    for (const { reject } of running.waiting.values()) reject(threadEnded(why, 'unknown'));
    running.waiting.clear();
  }
}

function send<T>({ worker, waiting }: Running, call: number, request: StoreRequest): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const crossing = withOwnBytes(request);
    worker.postMessage({ call, request: crossing.request }, crossing.transfer);
    waiting.set(call, { resolve: resolve as (answer: unknown) => void, reject });
  });
}

function settle({ waiting }: Running, message: Extract<FromStore, { readonly call: number }>) {
  const caller = waiting.get(message.call);
  if (caller === undefined) return;
  waiting.delete(message.call);
  if ('error' in message) caller.reject(errorFromMessage(message.error));
  else caller.resolve(message.answer);
}

/** Above this a put hands its buffer over instead of having it copied. */
const handedOverBytesMin = 1024 * 1024;

/** What may cross without a copy: a large object, which begins its buffer; all else as a copy of just these bytes. */
function withOwnBytes(request: StoreRequest): {
  readonly request: StoreRequest;
  readonly transfer: readonly ArrayBuffer[];
} {
  if (request.do !== 'put' && request.do !== 'swap') return { request, transfer: [] };
  const { buffer, byteOffset, length } = request.bytes;
  if (request.do === 'put' && length >= handedOverBytesMin && byteOffset === 0) {
    if (buffer instanceof ArrayBuffer) return { request, transfer: [buffer] };
  }
  // Cloning a view would clone all that it looks into.
  const bytes = new Uint8Array(request.bytes);
  return { request: { ...request, bytes }, transfer: [bytes.buffer] };
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

function threadEnded(why: string, effect: ErrorEffect): BrokerError {
  return new BrokerError(
    'STORE_FAILED',
    `the thread of the object store is gone: ${why}; it is made again: retry`,
    {
      effect,
      metadata: { code: 'thread_ended' },
    },
  );
}
