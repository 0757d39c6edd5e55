// The one error class of the broker, and the complete list of reasons.
//
// Invariants:
// - A reason is stable, has one kind, and stands in docs/errors.md.
// - `message` is lower case, says what to do next and never holds payload.
// - Retries are decided from `kind` and `effect`, never from a message.

/** What the caller can do about it. */
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

/** Every reason with its kind. The sentence is what docs/errors.md prints. */
export const reasons = {
  ARGUMENT_INVALID: ['invalid', 'A field has a value outside its documented range.'],
  FRAME_MALFORMED: [
    'invalid',
    'The bytes of a request are not the protobuf message of that method.',
  ],
  STREAM_PROTOCOL: [
    'invalid',
    'Messages of a stream came in an order that the method does not allow.',
  ],
  NAME_INVALID: [
    'invalid',
    'The name of a tenant, namespace, topic, subscription, publisher or consumer has a wrong form.',
  ],
  BATCH_NOT_CANONICAL: [
    'invalid',
    'The bytes of a batch are not in the canonical form of RecordBatch.',
  ],
  BATCH_EMPTY: ['invalid', 'A batch has no records.'],
  BATCH_TOO_LARGE: ['invalid', 'A batch is larger than the topic allows.'],
  BATCH_COUNT_MISMATCH: ['invalid', 'A compressed batch states another count or size than it has.'],
  RECORD_INVALID: ['invalid', 'A record breaks a limit on its key, headers or header names.'],
  COMPRESSION_INVALID: ['invalid', 'A compressed batch cannot be opened.'],
  PARTITION_OUT_OF_RANGE: ['invalid', 'The topic has no such partition.'],
  OFFSET_OUT_OF_RANGE: ['invalid', 'The offset is past the end of the partition.'],
  PARTITION_REQUIRED: ['invalid', 'A compressed batch for several partitions must name one.'],
  SPEC_INVALID: ['invalid', 'The spec of a tenant, topic or subscription breaks a rule.'],
  ACK_INVALID: [
    'invalid',
    'An ack range is not a range of delivered records, or its verb does not fit.',
  ],
  HANDLE_UNKNOWN: [
    'invalid',
    'An append names a publisher handle that is not open on this stream.',
  ],
  HANDLE_IN_USE: ['invalid', 'A publisher handle is already open on this stream.'],
  UNAUTHENTICATED: ['denied', 'The call has no credential, or one that is not good.'],
  CREDENTIAL_EXPIRED: [
    'denied',
    'The credential that a stream was opened with has expired; open it again with a new one.',
  ],
  PERMISSION_DENIED: ['denied', 'Nothing that was granted to the caller allows this.'],
  ISSUER_UNAVAILABLE: ['unavailable', 'The keys of the issuer of a token cannot be fetched.'],
  TOKEN_EXISTS: ['conflict', 'There is an API token of that name.'],
  TOKEN_NOT_FOUND: ['missing', 'There is no such API token.'],
  TENANT_NOT_FOUND: ['missing', 'There is no such tenant.'],
  TOPIC_NOT_FOUND: ['missing', 'There is no such topic.'],
  SUBSCRIPTION_NOT_FOUND: ['missing', 'There is no such subscription on the topic.'],
  JOB_NOT_FOUND: ['missing', 'There is no such job on the dead letters of the topic.'],
  REVISION_MISMATCH: ['conflict', 'The object has changed since that revision was read.'],
  TOPIC_ID_MISMATCH: ['conflict', 'The topic of that name is another incarnation.'],
  TENANT_ID_MISMATCH: ['conflict', 'The tenant of that name is another incarnation.'],
  TENANT_NOT_EMPTY: ['conflict', 'The tenant has topics; delete them first.'],
  SPEC_IMMUTABLE: ['conflict', 'The field is fixed at creation.'],
  SUBSCRIPTION_KIND_MISMATCH: ['conflict', 'The subscription is of another kind.'],
  OFFSET_MISMATCH: ['conflict', 'The next offset is not the one that the append expected.'],
  SEQUENCE_GAP: ['conflict', 'A publisher skipped a sequence number.'],
  SEQUENCE_TOO_OLD: ['conflict', 'A repeated sequence is no longer remembered.'],
  PUBLISHER_FENCED: ['conflict', 'A newer epoch of this publisher is open.'],
  POSITION_DIVERGED: ['conflict', 'The record before that position was written in another epoch.'],
  LEASE_LOST: ['conflict', 'The lease is no longer held: deadline, seek or restart.'],
  DATA_DIRECTORY_IN_USE: ['conflict', 'Another process holds the data directory.'],
  DATA_DIRECTORY_FAILED: ['unavailable', 'The data directory cannot be read or written.'],
  SETTING_INVALID: ['invalid', 'A setting is unknown or has a wrong value.'],
  QUOTA_EXCEEDED: [
    'exhausted',
    'A quota of the tenant or namespace is used up; the metadata says which.',
  ],
  CERTIFICATE_INVALID: [
    'invalid',
    'A certificate, its key or a CA cannot be read, does not fit, or is out of its time.',
  ],
  LIMIT_REACHED: ['exhausted', 'A documented limit is reached.'],
  BACKLOG_FULL: [
    'exhausted',
    'A subscription is so far behind that the backlog quota of the topic is used up.',
  ],
  DISK_FULL: ['exhausted', 'The data volume is nearly full; publishing is refused, acks go on.'],
  SHUTTING_DOWN: ['unavailable', 'The broker is shutting down.'],
  STARTING: ['unavailable', 'The broker is not ready yet.'],
  CANCELLED: ['unavailable', 'The caller went away.'],
  NODE_UNSAFE: ['invalid', 'This version of Node.js has known vulnerabilities; run a newer one.'],
  LISTEN_FAILED: ['unavailable', 'A listen address cannot be bound.'],
  STORE_FAILED: ['unavailable', 'The object store did not answer as it should.'],
  STORE_UNSUITABLE: ['invalid', 'The object store does not keep its conditional writes.'],
  JOURNAL_FAILED: [
    'unavailable',
    'A commit failed; the broker stops and recovers at its next start.',
  ],
  DATA_LOSS: ['corrupt', 'Stored bytes are damaged or missing.'],
  SHARD_TAKEN_OVER: ['conflict', 'Another broker owns the shard now; this one stops.'],
  VOLUME_FOREIGN: ['corrupt', 'The data directory belongs to another installation or shard.'],
  INTERNAL: ['internal', 'A bug in the broker.'],
} as const satisfies Record<string, readonly [ErrorKind, string]>;

export type ErrorReason = keyof typeof reasons;

export interface ErrorDetails {
  /** Default `none`. */
  readonly effect?: ErrorEffect;
  /** Facts behind the reason; values are shown to the caller. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Default 0: the caller's own back-off. */
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

export class BrokerError extends Error {
  override readonly name = 'BrokerError';
  readonly reason: ErrorReason;
  readonly effect: ErrorEffect;
  readonly metadata: Readonly<Record<string, string>>;
  readonly retryAfterMs: number;

  constructor(reason: ErrorReason, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.reason = reason;
    this.effect = details.effect ?? 'none';
    this.metadata = details.metadata ?? {};
    this.retryAfterMs = details.retryAfterMs ?? 0;
  }

  get kind(): ErrorKind {
    return reasons[this.reason][0];
  }
}

/** Any thrown value as a BrokerError; what is not one already is INTERNAL with the original as cause. */
export function toBrokerError(thrown: unknown): BrokerError {
  if (thrown instanceof BrokerError) return thrown;
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return new BrokerError('INTERNAL', `unexpected failure: ${text}`, {
    effect: 'unknown',
    cause: thrown,
  });
}
