// The object-store port: immutable objects, and few mutable ones that change by compare-and-swap only.
//
// Invariants of every adapter (test/conformance/object-store.ts):
// - A write is atomic and durable when it answers: a reader sees all of it or nothing, also after a crash.
// - Reads and lists see every write that was answered before they began.
// - `putIfAbsent` and `compareAndSwap` have at most one winner.
// - What callers must expect is an outcome; all else is a BrokerError STORE_FAILED. Its `effect` is `none` only when
//   the operation certainly did not happen; after `unknown` read back and compare.
//
// Every call takes a signal, usually `AbortSignal.timeout(...)`: a store that hangs must not hang its caller.
import { BrokerError } from '../core/errors.ts';
import { quoted } from '../core/quoted.ts';

export type GetOutcome =
  { readonly outcome: 'found'; readonly bytes: Buffer; readonly tag: ObjectTag } | Missing;

export type GetRangeOutcome = { readonly outcome: 'found'; readonly bytes: Buffer } | Missing;

export type PutOutcome =
  { readonly outcome: 'written'; readonly tag: ObjectTag } | { readonly outcome: 'exists' };

export type SwapOutcome =
  | { readonly outcome: 'swapped'; readonly tag: ObjectTag }
  /** The object has another tag than expected. */
  | { readonly outcome: 'mismatch' }
  | Missing;

export type DeleteOutcome = { readonly outcome: 'deleted' } | Missing;

export interface Missing {
  readonly outcome: 'missing';
}

/**
 * Names the present content of an object. Equal bytes may have equal tags, so whoever swaps puts a nonce into what
 * it writes.
 */
export type ObjectTag = string & { readonly objectTag: unique symbol };

export interface ListedObject {
  readonly key: ObjectKey;
  /** Size. */
  readonly bytes: number;
}

/** Made by `objectKey` only. */
export type ObjectKey = string & { readonly objectKey: unique symbol };

export interface ObjectStore {
  get(key: ObjectKey, signal: AbortSignal): Promise<GetOutcome>;
  /** `length` bytes, at least 1, from `start` on; fewer, or none, when the object ends before. */
  getRange(
    key: ObjectKey,
    start: number,
    length: number,
    signal: AbortSignal,
  ): Promise<GetRangeOutcome>;
  /** The bytes belong to the store from the call on: an adapter may hand their buffer to another thread. */
  putIfAbsent(key: ObjectKey, bytes: Uint8Array, signal: AbortSignal): Promise<PutOutcome>;
  /** Replaces the object if it has this tag. */
  compareAndSwap(
    key: ObjectKey,
    expected: ObjectTag,
    bytes: Uint8Array,
    signal: AbortSignal,
  ): Promise<SwapOutcome>;
  /** Keys that begin with the prefix (any text, also within a name), ascending. Not a snapshot. */
  list(prefix: string, signal: AbortSignal): AsyncIterable<ListedObject>;
  delete(key: ObjectKey, signal: AbortSignal): Promise<DeleteOutcome>;
}

/** S3's limit. */
const keyBytesMax = 1024;
/** Parts are file names in the directory adapter. No leading dot: neither `..` nor its temporary files. */
const keyPart = /^[a-zA-Z0-9_~-][a-zA-Z0-9._~-]{0,199}$/;

/** Joins parts with `/` (a part may hold some itself). Keys are made by us: a wrong one is INTERNAL. */
export function objectKey(...parts: readonly string[]): ObjectKey {
  const key = parts.join('/');
  if (!isObjectKey(key)) {
    throw new BrokerError('INTERNAL', `object key ${quoted(key)} is not valid; report this`);
  }
  return key;
}

export function isObjectKey(key: string): key is ObjectKey {
  return key.length <= keyBytesMax && key.split('/').every((part) => keyPart.test(part));
}
