// The one error class of the SDK, and how what the broker and grpc-js report becomes one.
//
// Invariants:
// - Every error that the SDK throws, rejects with or reports is a MillraceError; the original stands in `cause`.
// - A reason of the broker is passed on as it is; reasons of the SDK's own stand in `clientReasons`.
// - Retries are decided from `kind`, `effect` and reason, never from a message.
import { fromBinary, type DescMessage, type MessageShape } from '@bufbuild/protobuf';
import { status, type ServiceError } from '@grpc/grpc-js';
import { ErrorInfoSchema, RetryInfoSchema } from '../../proto/gen/google/rpc/error_details_pb.ts';
import { StatusSchema, type Status } from '../../proto/gen/google/rpc/status_pb.ts';
import { Effect, type Error as ErrorItem } from '../../proto/gen/millrace/v1/error_pb.ts';

/** What you can do about it. */
export type ErrorKind =
  | 'invalid' // fix the request
  | 'denied' // get other credentials or rights
  | 'missing' // create it first
  | 'conflict' // look at the current state
  | 'exhausted' // wait, or raise the limit
  | 'unavailable' // retry with back-off
  | 'corrupt' // stop; a person must act
  | 'internal'; // report a bug

/** Whether the operation may have happened. */
export type ErrorEffect = 'none' | 'unknown';

/** Reasons that the SDK gives itself, with their kind; all others come from the broker (docs/errors.md). */
export const clientReasons = {
  /** The client, publisher, consumer or reader was closed before the operation was done. */
  CLIENT_CLOSED: 'unavailable',
  /** The broker cannot be reached, or the connection was lost. */
  UNREACHABLE: 'unavailable',
  /** No answer in time. */
  DEADLINE_EXCEEDED: 'unavailable',
  /** The caller's AbortSignal, or the broker, cancelled the call. */
  CANCELLED: 'unavailable',
  /** A record was not confirmed within `deliveryTimeoutMs`. */
  DELIVERY_TIMEOUT: 'unavailable',
  /** More was handed to publishers than they may hold: wait for `ready()`. */
  CLIENT_BUFFER_FULL: 'exhausted',
  /** An argument has a value outside its documented range. */
  ARGUMENT_INVALID: 'invalid',
  /** A record breaks a limit on its key, headers or header names, or its value does not fit the codec. */
  RECORD_INVALID: 'invalid',
  /** A received value is not what the codec expects; `metadata` says which record. */
  VALUE_INVALID: 'invalid',
  /** One record is larger than the topic's largest batch. */
  BATCH_TOO_LARGE: 'invalid',
  /** The topic has no such partition. */
  PARTITION_OUT_OF_RANGE: 'invalid',
  /** A delivered batch cannot be opened or does not hold what it states. */
  BATCH_DAMAGED: 'corrupt',
  /** The broker sent bytes that are not the message of that method. */
  RESPONSE_MALFORMED: 'internal',
  /** A bug in the SDK. */
  INTERNAL: 'internal',
} as const satisfies Record<string, ErrorKind>;

export type ClientReason = keyof typeof clientReasons;

export interface MillraceErrorDetails {
  /** Default `none`. */
  readonly effect?: ErrorEffect;
  /** Milliseconds to wait before a retry. Default 0: the caller's own back-off. */
  readonly retryAfterMs?: number;
  /** Facts behind the reason, such as the limit that was hit. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** gRPC status code. Default UNKNOWN (2) for errors that no call caused. */
  readonly code?: number;
  readonly cause?: unknown;
}

export class MillraceError extends Error {
  override readonly name = 'MillraceError';
  readonly kind: ErrorKind;
  /** Stable, UPPER_SNAKE_CASE. */
  readonly reason: string;
  readonly effect: ErrorEffect;
  readonly retryAfterMs: number;
  readonly metadata: Readonly<Record<string, string>>;
  /** gRPC status code. */
  readonly code: number;

  constructor(
    kind: ErrorKind,
    reason: string,
    message: string,
    details: MillraceErrorDetails = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.kind = kind;
    this.reason = reason;
    this.effect = details.effect ?? 'none';
    this.retryAfterMs = details.retryAfterMs ?? 0;
    this.metadata = details.metadata ?? {};
    this.code = details.code ?? status.UNKNOWN;
  }
}

/** An error of the SDK's own. */
export function clientError(
  reason: ClientReason,
  message: string,
  details: MillraceErrorDetails = {},
): MillraceError {
  return new MillraceError(clientReasons[reason], reason, message, details);
}

/** One failed item of a stream that goes on. */
export function errorOfItem(item: ErrorItem): MillraceError {
  return new MillraceError(kindOfCode(item.code), item.reason, item.message, {
    effect: item.effect === Effect.NONE ? 'none' : 'unknown',
    retryAfterMs: item.retryAfterMs,
    metadata: item.metadata,
    code: item.code,
  });
}

/** What ended a call, or any other thrown value, as a MillraceError. */
export function toMillraceError(thrown: unknown): MillraceError {
  if (thrown instanceof MillraceError) return thrown;
  if (isServiceError(thrown)) return errorOfCall(thrown);
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return clientError('INTERNAL', `unexpected failure: ${text}`, {
    effect: 'unknown',
    cause: thrown,
  });
}

/** Waiting and doing the same again may help, without anything else being done. */
export function isTransient(error: MillraceError): boolean {
  if (error.reason === 'CLIENT_CLOSED' || error.reason === 'DELIVERY_TIMEOUT') return false;
  // The stream was fine until its token expired; with the next one it is again, or the open says why not.
  if (error.reason === 'CREDENTIAL_EXPIRED') return true;
  return error.kind === 'unavailable' || error.kind === 'exhausted';
}

function isServiceError(thrown: unknown): thrown is ServiceError {
  return thrown instanceof Error && 'code' in thrown && 'metadata' in thrown;
}

function errorOfCall(error: ServiceError): MillraceError {
  const { code } = error;
  const rich = richStatus(error);
  if (rich === undefined) {
    const message = error.details === '' ? error.message : error.details;
    // The broker explains its own failures; this one is HTTP/2's: the stream was reset on the way.
    if (code === status.INTERNAL) {
      return clientError('UNREACHABLE', message, { effect: 'unknown', code, cause: error });
    }
    return new MillraceError(kindOfCode(code), reasonOfCode(code), message, {
      effect: 'unknown',
      code,
      cause: error,
    });
  }
  const facts = detail(rich, ErrorInfoSchema);
  const { effect, ...metadata } = facts?.metadata ?? {};
  return new MillraceError(kindOfCode(code), facts?.reason ?? reasonOfCode(code), rich.message, {
    effect: effect === 'none' ? 'none' : 'unknown',
    retryAfterMs: retryAfterMs(rich),
    metadata,
    code,
    cause: error,
  });
}

function richStatus(error: ServiceError): Status | undefined {
  const [bytes] = error.metadata.get('grpc-status-details-bin');
  if (!Buffer.isBuffer(bytes)) return undefined;
  try {
    return fromBinary(StatusSchema, bytes);
  } catch {
    // A proxy's own details: the plain status is what is left to tell.
    return undefined;
  }
}

function detail<Desc extends DescMessage>(
  rich: Status,
  schema: Desc,
): MessageShape<Desc> | undefined {
  const found = rich.details.find(({ typeUrl }) => typeUrl.endsWith(`/${schema.typeName}`));
  return found === undefined ? undefined : fromBinary(schema, found.value);
}

function retryAfterMs(rich: Status): number {
  const delay = detail(rich, RetryInfoSchema)?.retryDelay;
  if (delay === undefined) return 0;
  return Number(delay.seconds) * 1000 + Math.ceil(delay.nanos / 1_000_000);
}

function kindOfCode(code: number): ErrorKind {
  switch (code) {
    case status.INVALID_ARGUMENT:
    case status.OUT_OF_RANGE:
      return 'invalid';
    case status.UNAUTHENTICATED:
    case status.PERMISSION_DENIED:
      return 'denied';
    case status.NOT_FOUND:
      return 'missing';
    case status.FAILED_PRECONDITION:
    case status.ALREADY_EXISTS:
    case status.ABORTED:
      return 'conflict';
    case status.RESOURCE_EXHAUSTED:
      return 'exhausted';
    case status.UNAVAILABLE:
    case status.DEADLINE_EXCEEDED:
    case status.CANCELLED:
      return 'unavailable';
    case status.DATA_LOSS:
      return 'corrupt';
    default:
      return 'internal';
  }
}

/** For a status without details: grpc-js made it itself, or a proxy on the way did. */
function reasonOfCode(code: number): string {
  if (code === status.UNAVAILABLE) return 'UNREACHABLE';
  return status[code] ?? 'UNKNOWN';
}
