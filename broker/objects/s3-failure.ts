// What an S3 store's failure means, in words that say what to do.
//
// Invariant: `effect` is `none` only when the server said no (4xx) or was never reached.
import { BrokerError, type ErrorEffect } from '../core/errors.ts';

export interface S3Answer {
  readonly status: number;
  /** The beginning of an error's body. */
  readonly body: Promise<string>;
}

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

/** What to do, by the code that S3 or MinIO gives. */
const advice: Readonly<Record<string, string>> = {
  NoSuchBucket: 'create the bucket, or correct --object-store',
  AccessDenied: 'give the credentials the right to get, put, list and delete there',
  InvalidAccessKeyId: 'check the credentials',
  SignatureDoesNotMatch: 'check the credentials',
  ExpiredToken: 'renew the credentials',
  InvalidToken: 'renew the credentials',
  RequestTimeTooSkewed: "set this machine's clock",
  SlowDown: 'the store asks for fewer requests; it is tried again',
  ServiceUnavailable: 'the store is overloaded; it is tried again',
  InternalError: 'the store failed; it is tried again',
  QuotaExceeded: 'the bucket is full: raise its quota or shorten retention',
  XMinioStorageFull: 'the store is full: give it more disk or shorten retention',
  EntityTooLarge: 'the store refuses an object of that size',
  MethodNotAllowed: 'this store cannot do that; use one with conditional writes',
  NotImplemented: 'this store cannot do that; use one with conditional writes',
};

/** System errors before any byte was sent. */
const neverSent: ReadonlySet<unknown> = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN']);

export async function s3Failure(failure: S3Failure): Promise<BrokerError> {
  const { what, endpoint, cause, answer } = failure;
  const code = await codeOf(cause, answer);
  const text = cause instanceof Error ? cause.message : String(cause);
  const known = advice[code];
  const status = answer === undefined ? '' : ` (${answer.status})`;
  const said = known === undefined ? `${text}; it is tried again` : `${code}${status}: ${known}`;
  return new BrokerError('STORE_FAILED', `object store ${endpoint}: ${what} failed: ${said}`, {
    effect: effectOf(failure, code),
    metadata: { code },
    cause,
  });
}

function effectOf({ effect, answer }: S3Failure, code: string): ErrorEffect {
  if (effect === 'none' || neverSent.has(code)) return 'none';
  return answer !== undefined && answer.status >= 400 && answer.status < 500 ? 'none' : 'unknown';
}

async function codeOf(cause: unknown, answer: S3Answer | undefined): Promise<string> {
  const [, code] = /<Code>([A-Za-z0-9]+)<\/Code>/.exec((await answer?.body) ?? '') ?? [];
  if (code !== undefined) return code;
  if (cause instanceof Error && 'code' in cause && typeof cause.code === 'string')
    return cause.code;
  if (answer?.status === 503) return 'SlowDown';
  if (answer !== undefined && answer.status >= 500) return 'InternalError';
  return answer === undefined ? 'no_answer' : 'bad_answer';
}
