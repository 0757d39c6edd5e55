// What the main thread and the store's thread say to each other. Bytes cross by transfer, without a copy.
import { BrokerError, type ErrorEffect, type ErrorReason } from '../core/errors.ts';
import type { ListedObject, ObjectKey, ObjectTag } from './object-store.ts';
import type { Environment } from './s3-credentials.ts';
import type { StoreLocation } from './store-location.ts';

/** What the thread is given at its start. */
export interface StoreThreadData {
  readonly location: StoreLocation;
  readonly variables: Environment;
}

export type StoreRequest =
  | { readonly do: 'get'; readonly key: ObjectKey }
  | {
      readonly do: 'getRange';
      readonly key: ObjectKey;
      readonly start: number;
      readonly length: number;
    }
  | { readonly do: 'put'; readonly key: ObjectKey; readonly bytes: Uint8Array }
  | {
      readonly do: 'swap';
      readonly key: ObjectKey;
      readonly expected: ObjectTag;
      readonly bytes: Uint8Array;
    }
  /** The next page of a listing that the caller has numbered; the first one begins it. */
  | { readonly do: 'list'; readonly prefix: string; readonly listing: number }
  | { readonly do: 'endList'; readonly listing: number }
  | { readonly do: 'delete'; readonly key: ObjectKey };

export type ToStore =
  | { readonly call: number; readonly request: StoreRequest }
  /** The caller has gone; `timeout`: because its deadline passed. */
  | { readonly abort: number; readonly timeout: boolean };

export type FromStore =
  | { readonly ready: true }
  | { readonly failed: ErrorMessage }
  | { readonly call: number; readonly answer: unknown }
  | { readonly call: number; readonly error: ErrorMessage };

export interface ListPage {
  readonly objects: readonly ListedObject[];
  readonly isLast: boolean;
}

export interface ErrorMessage {
  readonly reason: ErrorReason;
  readonly message: string;
  readonly effect: ErrorEffect;
  readonly metadata: Readonly<Record<string, string>>;
  readonly retryAfterMs: number;
}

export const listPageObjects = 1000;

export function errorToMessage(error: BrokerError): ErrorMessage {
  const { reason, message, effect, metadata, retryAfterMs } = error;
  return { reason, message, effect, metadata, retryAfterMs };
}

export function errorFromMessage({ reason, message, ...details }: ErrorMessage): BrokerError {
  return new BrokerError(reason, message, details);
}
