// The thread of the object store: hashing, TLS, sockets and files, away from the main loop.
import { readlinkSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../core/assert.ts';
import { BrokerError, toBrokerError } from '../core/errors.ts';
import { freeBuffer } from '../core/free-buffer.ts';
import { openStore } from './open-store.ts';
import type { ListedObject, ObjectStore } from './object-store.ts';
import {
  errorToMessage,
  listPageObjects,
  type FromStore,
  type ListPage,
  type StoreRequest,
  type StoreThreadData,
  type ToStore,
} from './store-messages.ts';

assert(parentPort !== null, 'this file runs as a worker thread');
const port = parentPort;
const calls = new Map<number, AbortController>();

/**
 * What the store does can wait for what clients do: hashing and sockets of an upload yield to the main loop's thread.
 * Linux gives threads a priority of their own; elsewhere it stays as it is.
 */
function yieldToMainThread(): void {
  try {
    const thread = Number(readlinkSync('/proc/thread-self').split('/').at(-1));
    if (Number.isSafeInteger(thread)) setPriority(thread, constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // Not on Linux, or not allowed.
  }
}

yieldToMainThread();
try {
  const { location, variables } = workerData as StoreThreadData;
  const { store } = await openStore(location, variables);
  port.on('message', (message: ToStore) => {
    if ('abort' in message) abort(message.abort, message.timeout);
    else void answer(store, message.call, message.request);
  });
  send({ ready: true });
} catch (error) {
  send({ failed: errorToMessage(toBrokerError(error)) });
}

function abort(call: number, timeout: boolean): void {
  const reason = timeout
    ? new DOMException('the deadline of the call passed', 'TimeoutError')
    : new Error('the caller has gone');
  calls.get(call)?.abort(reason);
}

async function answer(store: ObjectStore, call: number, request: StoreRequest): Promise<void> {
  const controller = new AbortController();
  calls.set(call, controller);
  try {
    const outcome = await carryOut(store, request, controller.signal);
    send({ call, answer: outcome }, bytesOf(outcome));
  } catch (error) {
    const told = error instanceof BrokerError ? error : toBrokerError(error);
    send({ call, error: errorToMessage(told) });
  } finally {
    calls.delete(call);
    // Handed over by the main thread, and nobody's any more.
    if (request.do === 'put') freeBuffer(request.bytes);
  }
}

function carryOut(
  store: ObjectStore,
  request: StoreRequest,
  signal: AbortSignal,
): Promise<unknown> {
  switch (request.do) {
    case 'get':
      return store.get(request.key, signal);
    case 'getRange':
      return store.getRange(request.key, request.start, request.length, signal);
    case 'put':
      return store.putIfAbsent(request.key, request.bytes, signal);
    case 'swap':
      return store.compareAndSwap(request.key, request.expected, request.bytes, signal);
    case 'delete':
      return store.delete(request.key, signal);
    case 'list':
      return listPage(store, request.prefix, request.listing, signal);
    case 'endList':
      endListing(request.listing);
      return Promise.resolve(undefined);
  }
}

interface Listing {
  readonly objects: AsyncIterator<ListedObject>;
  readonly controller: AbortController;
}

const listings = new Map<number, Listing>();

async function listPage(
  store: ObjectStore,
  prefix: string,
  number: number,
  signal: AbortSignal,
): Promise<ListPage> {
  const listing = listings.get(number) ?? beginListing(store, prefix, number);
  const onAbort = (): void => listing.controller.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  const objects: ListedObject[] = [];
  try {
    while (objects.length < listPageObjects) {
      const next = await listing.objects.next();
      if (next.done === true) {
        listings.delete(number);
        return { objects, isLast: true };
      }
      objects.push(next.value);
    }
    return { objects, isLast: false };
  } catch (error) {
    listings.delete(number);
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function beginListing(store: ObjectStore, prefix: string, number: number): Listing {
  const controller = new AbortController();
  const objects = store.list(prefix, controller.signal)[Symbol.asyncIterator]();
  const listing = { objects, controller };
  listings.set(number, listing);
  return listing;
}

function endListing(number: number): void {
  listings.get(number)?.controller.abort(new Error('the caller has seen enough'));
  listings.delete(number);
}

/** The buffer of an answer that has bytes, if nothing else stands in it. */
function bytesOf(outcome: unknown): ArrayBuffer[] {
  if (typeof outcome !== 'object' || outcome === null || !('bytes' in outcome)) return [];
  const { bytes } = outcome;
  if (!(bytes instanceof Uint8Array) || !(bytes.buffer instanceof ArrayBuffer)) return [];
  return bytes.length > 0 && bytes.length === bytes.buffer.byteLength ? [bytes.buffer] : [];
}

function send(message: FromStore, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}
