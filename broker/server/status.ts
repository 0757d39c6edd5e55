// BrokerError to gRPC status with google.rpc details, and to the Error item inside a healthy stream.
import { create, toBinary, type DescMessage, type MessageInitShape } from '@bufbuild/protobuf';
import { Metadata, status, type ServiceError } from '@grpc/grpc-js';
import { toBrokerError, type BrokerError, type ErrorReason } from '../core/errors.ts';
import { unreachable } from '../core/assert.ts';
import { ErrorInfoSchema, RetryInfoSchema } from '../../proto/gen/google/rpc/error_details_pb.ts';
import { StatusSchema } from '../../proto/gen/google/rpc/status_pb.ts';
import {
  Effect,
  ErrorSchema,
  type Error as ErrorItem,
} from '../../proto/gen/millrace/v1/error_pb.ts';

const domain = 'millrace.dev';

/** Reasons whose gRPC code is not the first one of their kind. */
const codesByReason: Partial<Record<ErrorReason, status>> = {
  OFFSET_OUT_OF_RANGE: status.OUT_OF_RANGE,
  REVISION_MISMATCH: status.ABORTED,
  OFFSET_MISMATCH: status.ABORTED,
  CANCELLED: status.CANCELLED,
  UNAUTHENTICATED: status.UNAUTHENTICATED,
  CREDENTIAL_EXPIRED: status.UNAUTHENTICATED,
};

export function statusCode(error: BrokerError): status {
  const code = codesByReason[error.reason];
  if (code !== undefined) return code;
  switch (error.kind) {
    case 'invalid':
      return status.INVALID_ARGUMENT;
    case 'denied':
      return status.PERMISSION_DENIED;
    case 'missing':
      return status.NOT_FOUND;
    case 'conflict':
      return status.FAILED_PRECONDITION;
    case 'exhausted':
      return status.RESOURCE_EXHAUSTED;
    case 'unavailable':
      return status.UNAVAILABLE;
    case 'corrupt':
      return status.DATA_LOSS;
    case 'internal':
      return status.INTERNAL;
    default:
      return unreachable(error.kind);
  }
}

/** What ends a call: code, message, and google.rpc.Status in the trailer. `reason` is for ourselves. */
export function serviceError(thrown: unknown): ServiceError & { readonly reason: ErrorReason } {
  const error = toBrokerError(thrown);
  const code = statusCode(error);
  const details = [
    anyOf(ErrorInfoSchema, {
      reason: error.reason,
      domain,
      metadata: { ...error.metadata, effect: error.effect },
    }),
  ];
  if (error.retryAfterMs > 0) {
    const retryDelay = {
      seconds: BigInt(Math.floor(error.retryAfterMs / 1000)),
      nanos: (error.retryAfterMs % 1000) * 1_000_000,
    };
    details.push(anyOf(RetryInfoSchema, { retryDelay }));
  }
  const rich = create(StatusSchema, { code, message: error.message, details });
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', Buffer.from(toBinary(StatusSchema, rich)));
  const { message, reason } = error;
  return Object.assign(new Error(message), { code, details: message, metadata, reason });
}

/** One failed item of a stream that goes on. */
export function errorItem(thrown: unknown): ErrorItem {
  const error = toBrokerError(thrown);
  return create(ErrorSchema, {
    code: statusCode(error),
    reason: error.reason,
    message: error.message,
    effect: error.effect === 'none' ? Effect.NONE : Effect.UNKNOWN,
    retryAfterMs: error.retryAfterMs,
    metadata: { ...error.metadata },
  });
}

function anyOf<Desc extends DescMessage>(schema: Desc, init: MessageInitShape<Desc>) {
  return {
    typeUrl: `type.googleapis.com/${schema.typeName}`,
    value: toBinary(schema, create(schema, init)),
  };
}
