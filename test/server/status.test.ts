// What a client of any language is told when something fails: code, reason, effect, when to try again.
import { fromBinary } from '@bufbuild/protobuf';
import { status, type ServiceError } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { BrokerError, reasons, type ErrorReason } from '../../broker/core/errors.ts';
import { errorItem, serviceError, statusCode } from '../../broker/server/status.ts';
import { ErrorInfoSchema, RetryInfoSchema } from '../../proto/gen/google/rpc/error_details_pb.ts';
import { StatusSchema } from '../../proto/gen/google/rpc/status_pb.ts';
import { Effect } from '../../proto/gen/millrace/v1/error_pb.ts';

/** Written out, so that a reason that moves to another code fails here: clients of all languages decide by it. */
const codes: Readonly<Record<ErrorReason, status>> = {
  UNAUTHENTICATED: status.UNAUTHENTICATED,
  CREDENTIAL_EXPIRED: status.UNAUTHENTICATED,
  PERMISSION_DENIED: status.PERMISSION_DENIED,
  ISSUER_UNAVAILABLE: status.UNAVAILABLE,
  TOKEN_EXISTS: status.FAILED_PRECONDITION,
  TOKEN_NOT_FOUND: status.NOT_FOUND,
  ARGUMENT_INVALID: status.INVALID_ARGUMENT,
  FRAME_MALFORMED: status.INVALID_ARGUMENT,
  STREAM_PROTOCOL: status.INVALID_ARGUMENT,
  NAME_INVALID: status.INVALID_ARGUMENT,
  BATCH_NOT_CANONICAL: status.INVALID_ARGUMENT,
  BATCH_EMPTY: status.INVALID_ARGUMENT,
  BATCH_TOO_LARGE: status.INVALID_ARGUMENT,
  BATCH_COUNT_MISMATCH: status.INVALID_ARGUMENT,
  RECORD_INVALID: status.INVALID_ARGUMENT,
  COMPRESSION_INVALID: status.INVALID_ARGUMENT,
  PARTITION_OUT_OF_RANGE: status.INVALID_ARGUMENT,
  OFFSET_OUT_OF_RANGE: status.OUT_OF_RANGE,
  PARTITION_REQUIRED: status.INVALID_ARGUMENT,
  SPEC_INVALID: status.INVALID_ARGUMENT,
  ACK_INVALID: status.INVALID_ARGUMENT,
  HANDLE_UNKNOWN: status.INVALID_ARGUMENT,
  HANDLE_IN_USE: status.INVALID_ARGUMENT,
  SETTING_INVALID: status.INVALID_ARGUMENT,
  TENANT_NOT_FOUND: status.NOT_FOUND,
  TOPIC_NOT_FOUND: status.NOT_FOUND,
  SUBSCRIPTION_NOT_FOUND: status.NOT_FOUND,
  JOB_NOT_FOUND: status.NOT_FOUND,
  REVISION_MISMATCH: status.ABORTED,
  TOPIC_ID_MISMATCH: status.FAILED_PRECONDITION,
  TENANT_ID_MISMATCH: status.FAILED_PRECONDITION,
  TENANT_NOT_EMPTY: status.FAILED_PRECONDITION,
  QUOTA_EXCEEDED: status.RESOURCE_EXHAUSTED,
  SPEC_IMMUTABLE: status.FAILED_PRECONDITION,
  SUBSCRIPTION_KIND_MISMATCH: status.FAILED_PRECONDITION,
  OFFSET_MISMATCH: status.ABORTED,
  SEQUENCE_GAP: status.FAILED_PRECONDITION,
  SEQUENCE_TOO_OLD: status.FAILED_PRECONDITION,
  PUBLISHER_FENCED: status.FAILED_PRECONDITION,
  POSITION_DIVERGED: status.FAILED_PRECONDITION,
  LEASE_LOST: status.FAILED_PRECONDITION,
  DATA_DIRECTORY_IN_USE: status.FAILED_PRECONDITION,
  CERTIFICATE_INVALID: status.INVALID_ARGUMENT,
  LIMIT_REACHED: status.RESOURCE_EXHAUSTED,
  BACKLOG_FULL: status.RESOURCE_EXHAUSTED,
  DISK_FULL: status.RESOURCE_EXHAUSTED,
  DATA_DIRECTORY_FAILED: status.UNAVAILABLE,
  SHUTTING_DOWN: status.UNAVAILABLE,
  STARTING: status.UNAVAILABLE,
  CANCELLED: status.CANCELLED,
  NODE_UNSAFE: status.INVALID_ARGUMENT,
  LISTEN_FAILED: status.UNAVAILABLE,
  STORE_FAILED: status.UNAVAILABLE,
  JOURNAL_FAILED: status.UNAVAILABLE,
  DATA_LOSS: status.DATA_LOSS,
  STORE_UNSUITABLE: status.INVALID_ARGUMENT,
  SHARD_TAKEN_OVER: status.FAILED_PRECONDITION,
  VOLUME_FOREIGN: status.DATA_LOSS,
  INTERNAL: status.INTERNAL,
};

interface Details {
  readonly code: number;
  readonly message: string;
  readonly reason: string;
  readonly domain: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** Undefined: there is no RetryInfo. */
  readonly retryMs: number | undefined;
}

/** As a client reads the trailer. */
function detailsOf(error: ServiceError): Details {
  const [trailer] = error.metadata.get('grpc-status-details-bin');
  if (!Buffer.isBuffer(trailer)) throw new Error('there is no grpc-status-details-bin');
  const { code, message, details } = fromBinary(StatusSchema, trailer);
  const of = (typeName: string): Uint8Array | undefined =>
    details.find(({ typeUrl }) => typeUrl === `type.googleapis.com/${typeName}`)?.value;
  const info = of(ErrorInfoSchema.typeName);
  if (info === undefined) throw new Error('there is no ErrorInfo');
  const { reason, domain, metadata } = fromBinary(ErrorInfoSchema, info);
  const retry = of(RetryInfoSchema.typeName);
  const delay = retry && fromBinary(RetryInfoSchema, retry).retryDelay;
  const retryMs = delay && Number(delay.seconds) * 1_000 + delay.nanos / 1_000_000;
  return { code, message, reason, domain, metadata, retryMs };
}

describe('the gRPC code', () => {
  it.each(Object.entries(codes))('of %s', (reason, code) => {
    const error = new BrokerError(reason as ErrorReason, 'text');
    expect(statusCode(error)).toBe(code);
    expect(serviceError(error).code).toBe(code);
    expect(errorItem(error).code).toBe(code);
  });

  it('is stated above for every reason', () => {
    expect(Object.keys(codes).sort()).toEqual(Object.keys(reasons).sort());
  });
});

describe('the status that ends a call', () => {
  it('says the same in the header, in google.rpc.Status and in ErrorInfo', () => {
    const thrown = new BrokerError('LIMIT_REACHED', 'too many', {
      effect: 'unknown',
      metadata: { limit: 'topicsMax' },
    });
    const error = serviceError(thrown);
    expect(error.details).toBe('too many');
    expect(detailsOf(error)).toEqual({
      code: status.RESOURCE_EXHAUSTED,
      message: 'too many',
      reason: 'LIMIT_REACHED',
      domain: 'millrace.dev',
      metadata: { limit: 'topicsMax', effect: 'unknown' },
      retryMs: undefined,
    });
  });

  it.each([1, 200, 999, 1_000, 1_001, 61_234, 43_200_000])('says to wait %d ms', (retryAfterMs) => {
    const error = serviceError(new BrokerError('SHUTTING_DOWN', 'text', { retryAfterMs }));
    expect(detailsOf(error).retryMs).toBe(retryAfterMs);
  });

  it.each([
    ['an Error', new RangeError('index')],
    ['a text', 'index'],
    ['nothing', undefined],
  ])('calls %s that is not a BrokerError INTERNAL, with unknown effect', (_, thrown) => {
    const details = detailsOf(serviceError(thrown));
    expect(details).toMatchObject({ code: status.INTERNAL, reason: 'INTERNAL' });
    expect(details.metadata).toEqual({ effect: 'unknown' });
  });
});

describe('the error of one item', () => {
  it('holds the same facts', () => {
    const thrown = new BrokerError('OFFSET_MISMATCH', 'text', {
      effect: 'unknown',
      retryAfterMs: 250,
      metadata: { next: '7' },
    });
    expect(errorItem(thrown)).toMatchObject({
      code: status.ABORTED,
      reason: 'OFFSET_MISMATCH',
      message: 'text',
      effect: Effect.UNKNOWN,
      retryAfterMs: 250,
      metadata: { next: '7' },
    });
    expect(errorItem(new BrokerError('LEASE_LOST', 'text')).effect).toBe(Effect.NONE);
  });
});
