// What an S3 store's failure means, in words that say what to do.
//
// Invariants:
// - `effect` is `none` only when the server said no (4xx) or was never reached.
// - What the server says of its refusal (signed text, tokens) goes no further than its code and its message.
import { BrokerError, type ErrorEffect } from '../core/errors.ts';
import type { S3Answer } from './s3-transport.ts';

export interface S3Failure {
  /** Verb and object. */
  readonly what: string;
  readonly endpoint: string;
  /** Of an answer that is unclear. */
  readonly effect: ErrorEffect;
  readonly cause: unknown;
  /** Undefined: none came. */
  readonly answer: S3Answer | undefined;
}

const checkCredentials = 'check the credentials: key, secret and token belong together';
const renewCredentials =
  'renew the credentials; files and roles are read again by themselves, variables need a restart';
const checkRegion = 'correct region or endpoint in --object-store';
const passes = 'it is tried again';
const trust =
  'the certificate of the store is not trusted: renew it, or name its authority in NODE_EXTRA_CA_CERTS';
const noConditions = 'this store cannot do that; use one with conditional writes';

/** What to do, by the code that S3, MinIO or the system gives. */
const advice: Readonly<Record<string, string>> = {
  NoSuchBucket: 'create the bucket, or correct --object-store',
  NoSuchKey: 'the object is not there',
  AccessDenied:
    'give the credentials the right to get, put, list and delete there, and look whether the bucket is read-only',
  AllAccessDisabled: 'the store has disabled the bucket: ask whoever runs it',
  InvalidAccessKeyId: checkCredentials,
  SignatureDoesNotMatch: checkCredentials,
  ExpiredToken: renewCredentials,
  ExpiredTokenException: renewCredentials,
  TokenRefreshRequired: renewCredentials,
  InvalidToken: renewCredentials,
  InvalidTokenId: renewCredentials,
  RequestTimeTooSkewed: "set this machine's clock: it is more than 15 minutes off the store's",
  RequestExpired: "set this machine's clock: it is more than 15 minutes off the store's",
  AuthorizationHeaderMalformed: checkRegion,
  PermanentRedirect: checkRegion,
  TemporaryRedirect: checkRegion,
  MovedPermanently: checkRegion,
  IllegalLocationConstraintException: checkRegion,
  SlowDown: `the store asks for fewer requests; ${passes}`,
  SlowDownRead: `the store asks for fewer requests; ${passes}`,
  SlowDownWrite: `the store asks for fewer requests; ${passes}`,
  TooManyRequests: `the store asks for fewer requests; ${passes}`,
  RequestTimeout: `the store did not get the request in time; ${passes}`,
  ServiceUnavailable: `the store is overloaded; ${passes}`,
  XMinioServerNotInitialized: `the store is starting; ${passes}`,
  InternalError: `the store failed; ${passes}`,
  ConditionalRequestConflict: `another write of the same object is under way; ${passes}`,
  OperationAborted: `another write of the same object is under way; ${passes}`,
  QuotaExceeded: 'the bucket is full: raise its quota or shorten retention',
  XMinioAdminBucketQuotaExceeded: 'the bucket is full: raise its quota or shorten retention',
  XMinioStorageFull: 'the store is full: give it more disk or shorten retention',
  InsufficientStorage: 'the store is full: give it more disk or shorten retention',
  EntityTooLarge: 'the store refuses an object of that size: raise its limit',
  MethodNotAllowed: noConditions,
  NotImplemented: noConditions,
  ECONNREFUSED: `nothing listens there; start the store, or correct --object-store; ${passes}`,
  ENOTFOUND: `there is no host of that name; correct --object-store, or the DNS; ${passes}`,
  EAI_AGAIN: `the DNS does not answer; ${passes}`,
  EHOSTUNREACH: `there is no way to the host; look at the network; ${passes}`,
  ENETUNREACH: `there is no way to the host; look at the network; ${passes}`,
  ECONNRESET: `the connection broke; ${passes}`,
  EPIPE: `the connection broke; ${passes}`,
  DEPTH_ZERO_SELF_SIGNED_CERT: trust,
  SELF_SIGNED_CERT_IN_CHAIN: trust,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: trust,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: trust,
  CERT_HAS_EXPIRED: trust,
  CERT_NOT_YET_VALID:
    "the certificate of the store is not valid yet: set this machine's clock, or renew it",
  ERR_TLS_CERT_ALTNAME_INVALID: 'the certificate is for another host: correct --object-store',
};

/** Before any byte of the request was sent. */
const neverSent: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'ERR_TLS_CERT_ALTNAME_INVALID',
]);
/** 4xx by which something between us and the store says that it has waited in vain: no refusal of the store. */
const unclearRefusals: ReadonlySet<number> = new Set([408, 499]);
/** Longest text of a server that a message repeats. */
const shownMax = 200;

export async function s3Failure(failure: S3Failure): Promise<BrokerError> {
  const { what, endpoint, cause, answer } = failure;
  const code = await codeOf(cause, answer);
  const known = advice[code];
  const status = answer === undefined ? '' : ` (${answer.status})`;
  const said =
    known === undefined ? `${shown(cause)}${status}; ${passes}` : `${code}${status}: ${known}`;
  return new BrokerError('STORE_FAILED', `object store ${endpoint}: ${what} failed: ${said}`, {
    effect: effectOf(failure, code),
    metadata: { code },
    // The client's error repeats every field of the answer, what was signed among them.
    cause: new Error(shown(cause)),
  });
}

function effectOf({ effect, answer }: S3Failure, code: string): ErrorEffect {
  if (effect === 'none' || (answer === undefined && neverSent.has(code))) return 'none';
  if (answer === undefined || unclearRefusals.has(answer.status)) return 'unknown';
  return answer.status >= 400 && answer.status < 500 ? 'none' : 'unknown';
}

async function codeOf(cause: unknown, answer: S3Answer | undefined): Promise<string> {
  const [, code] = /<Code>([A-Za-z0-9]+)<\/Code>/.exec((await answer?.body) ?? '') ?? [];
  if (code !== undefined) return code;
  if (cause instanceof Error && 'code' in cause && typeof cause.code === 'string') {
    return cause.code === '' ? 'bad_answer' : cause.code;
  }
  switch (answer?.status) {
    case undefined:
      return 'no_answer';
    case 413:
      return 'EntityTooLarge';
    case 429:
    case 503:
      return 'SlowDown';
    case 507:
      return 'InsufficientStorage';
    default:
      return answer !== undefined && answer.status >= 500 ? 'InternalError' : 'bad_answer';
  }
}

/** On one line and short: it can neither forge a line of the log nor fill one. */
function shown(cause: unknown): string {
  const text = cause instanceof Error ? cause.message : String(cause);
  return text.replace(/[^\x20-\x7e]+/g, ' ').slice(0, shownMax);
}
