// A subscription as the catalog knows it. Its cursors live in the shards of the topic's partitions.
//
// Invariants:
// - The kind and the topic are fixed at creation.
// - What only queues have is unset in a stream: 0, false or empty.
// - A limit of attempts needs a dead-letter topic.
import type { Offset, SubscriptionId, TopicId } from '../core/ids.ts';
import { limits } from '../core/limits.ts';
import { parseTopicName, type SubscriptionName } from './names.ts';
import {
  checkBetween,
  describeFields,
  fieldChanges,
  specInvalid,
  type SpecFields,
} from './spec-fields.ts';

export type SubscriptionKind = 'stream' | 'queue' | 'keyed_queue';

/** Where a subscription begins, as its creator said it; each partition's shard finds the offset. */
export type StartPosition =
  /** `epoch` 0: not checked. */
  | { readonly kind: 'offset'; readonly offset: Offset; readonly epoch: number }
  /** First record with an append time at or after this. */
  | { readonly kind: 'time'; readonly timeMs: number }
  | { readonly kind: 'earliest' }
  | { readonly kind: 'latest' };

export interface SubscriptionSpec {
  /** Time to ack a delivery. 0 in a stream. */
  readonly ackDeadlineMs: number;
  /** Before the first retry, and the cap of its doubling. 0 in a stream. */
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  /** Delivers nothing while set. */
  readonly paused: boolean;
  /** Deliveries of a record until it is a dead letter. 0: no limit. */
  readonly attemptsMax: number;
  /** Full name of a topic that need not exist; empty: none. */
  readonly deadLetterTopic: string;
  /** Records whose time to live is over are dead letters, not dropped. */
  readonly deadLetterExpired: boolean;
  /** Handed to consumers per second and broker. 0: no limit. */
  readonly recordsPerSecondMax: number;
  /** Deleted after so long without a consumer. 0: never. */
  readonly expiresAfterMs: number;
}

/** What a caller wants changed; undefined leaves it as it is, or at its default in a new subscription. */
export interface SubscriptionSpecPatch {
  /** Required at creation. */
  readonly kind?: SubscriptionKind | undefined;
  /** Read at creation only. */
  readonly start?: StartPosition | undefined;
  readonly ackDeadlineMs?: number | undefined;
  readonly backoffMinMs?: number | undefined;
  readonly backoffMaxMs?: number | undefined;
  readonly paused?: boolean | undefined;
  /** Unset beside a new dead-letter topic: limits.attemptsMaxDefault. */
  readonly attemptsMax?: number | undefined;
  /** Full or short name; empty takes it away, and with it what needs it. */
  readonly deadLetterTopic?: string | undefined;
  readonly deadLetterExpired?: boolean | undefined;
  readonly recordsPerSecondMax?: number | undefined;
  readonly expiresAfterMs?: number | undefined;
}

export interface Subscription {
  readonly id: SubscriptionId;
  readonly topicId: TopicId;
  readonly name: SubscriptionName;
  readonly kind: SubscriptionKind;
  readonly start: StartPosition;
  readonly spec: SubscriptionSpec;
  /** As in Topic. */
  readonly revision: number;
  readonly createdAtMs: number;
}

const streamDefaults: SubscriptionSpec = {
  ackDeadlineMs: 0,
  backoffMinMs: 0,
  backoffMaxMs: 0,
  paused: false,
  attemptsMax: 0,
  deadLetterTopic: '',
  deadLetterExpired: false,
  recordsPerSecondMax: 0,
  expiresAfterMs: 0,
};

const queueDefaults: SubscriptionSpec = {
  ...streamDefaults,
  ackDeadlineMs: limits.ackDeadlineMsDefault,
  backoffMinMs: limits.backoffMinMsDefault,
  backoffMaxMs: limits.backoffMaxMsDefault,
};

export const subscriptionSpecDefaults: Readonly<Record<SubscriptionKind, SubscriptionSpec>> = {
  stream: streamDefaults,
  queue: queueDefaults,
  keyed_queue: queueDefaults,
};

/** Work is not lost by subscribing late; a stream that wants history says so. */
export const startDefaults: Readonly<Record<SubscriptionKind, StartPosition>> = {
  stream: { kind: 'latest' },
  queue: { kind: 'earliest' },
  keyed_queue: { kind: 'earliest' },
};

/** The spec with the patch in it. Throws SPEC_INVALID, NAME_INVALID. */
export function patchSubscriptionSpec(
  kind: SubscriptionKind,
  spec: SubscriptionSpec,
  patch: SubscriptionSpecPatch,
): SubscriptionSpec {
  const patched: SubscriptionSpec = {
    ackDeadlineMs: patch.ackDeadlineMs ?? spec.ackDeadlineMs,
    backoffMinMs: patch.backoffMinMs ?? spec.backoffMinMs,
    backoffMaxMs: patch.backoffMaxMs ?? spec.backoffMaxMs,
    paused: patch.paused ?? spec.paused,
    recordsPerSecondMax: patch.recordsPerSecondMax ?? spec.recordsPerSecondMax,
    expiresAfterMs: patch.expiresAfterMs ?? spec.expiresAfterMs,
    ...patchDeadLetters(spec, patch),
  };
  if (patched.expiresAfterMs !== 0) {
    checkBetween(
      'expires_after_ms',
      patched.expiresAfterMs,
      limits.expiresAfterMsMin,
      limits.farFutureMs,
    );
  }
  if (kind === 'stream') checkStreamSpec(patched);
  else checkQueueSpec(patched);
  return patched;
}

/** With the topic comes a limit of attempts, and without it there is none. */
function patchDeadLetters(
  spec: SubscriptionSpec,
  patch: SubscriptionSpecPatch,
): Pick<SubscriptionSpec, 'deadLetterTopic' | 'attemptsMax' | 'deadLetterExpired'> {
  const named = patch.deadLetterTopic ?? spec.deadLetterTopic;
  if (named === '') {
    return {
      deadLetterTopic: '',
      attemptsMax: patch.attemptsMax ?? 0,
      deadLetterExpired: patch.deadLetterExpired ?? false,
    };
  }
  const isNew = spec.deadLetterTopic === '';
  return {
    deadLetterTopic: parseTopicName(named).full,
    attemptsMax: patch.attemptsMax ?? (isNew ? limits.attemptsMaxDefault : spec.attemptsMax),
    deadLetterExpired: patch.deadLetterExpired ?? spec.deadLetterExpired,
  };
}

/** Throws SPEC_INVALID for a start that the topic cannot have. */
export function checkStart(start: StartPosition, partitionCount: number): void {
  switch (start.kind) {
    case 'earliest':
    case 'latest':
      return;
    case 'time':
      checkBetween('start.append_time_ms', start.timeMs, 0, Number.MAX_SAFE_INTEGER);
      return;
    case 'offset':
      checkBetween('start.offset', start.offset, 0, Number.MAX_SAFE_INTEGER);
      checkBetween('start.epoch', start.epoch, 0, 2 ** 32 - 1);
      if (partitionCount > 1) {
        throw specInvalid(
          'start.offset',
          String(start.offset),
          `means nothing in a topic of ${partitionCount} partitions; ` +
            'create the subscription, then seek each partition',
        );
      }
  }
}

/** One line per field that differs, with the names of the API. */
export function subscriptionSpecChanges(
  before: SubscriptionSpec,
  after: SubscriptionSpec,
): string[] {
  return fieldChanges(subscriptionSpecFields(before), subscriptionSpecFields(after));
}

export function describeSubscriptionSpec(kind: SubscriptionKind, spec: SubscriptionSpec): string {
  const { paused, ...fields } = subscriptionSpecFields(spec);
  const always = kind === 'stream' ? [] : alwaysDescribed;
  const shown = Object.entries(fields).filter(
    ([field, value]) => always.includes(field) || !isUnset(value),
  );
  return describeFields({ ...Object.fromEntries(shown), paused: paused ?? false });
}

export function describeStart(start: StartPosition): string {
  switch (start.kind) {
    case 'offset':
      return `offset ${start.offset}`;
    case 'time':
      return `append time ${start.timeMs} ms`;
    case 'earliest':
    case 'latest':
      return start.kind;
  }
}

/** The other fields of a queue are told when they are set. */
const alwaysDescribed = ['ack_deadline_ms', 'backoff_min_ms', 'backoff_max_ms'];

function isUnset(value: SpecFields[string]): boolean {
  return value === 0 || value === false || value === noTopic;
}

const noTopic = 'none';

function subscriptionSpecFields(spec: SubscriptionSpec): SpecFields {
  return {
    ack_deadline_ms: spec.ackDeadlineMs,
    backoff_min_ms: spec.backoffMinMs,
    backoff_max_ms: spec.backoffMaxMs,
    attempts_max: spec.attemptsMax,
    dead_letter_topic: spec.deadLetterTopic === '' ? noTopic : spec.deadLetterTopic,
    dead_letter_expired: spec.deadLetterExpired,
    records_per_second_max: spec.recordsPerSecondMax,
    expires_after_ms: spec.expiresAfterMs,
    paused: spec.paused,
  };
}

function checkQueueSpec(spec: SubscriptionSpec): void {
  checkBetween(
    'ack_deadline_ms',
    spec.ackDeadlineMs,
    limits.ackDeadlineMsMin,
    limits.ackDeadlineMsMax,
  );
  checkBetween('backoff_min_ms', spec.backoffMinMs, 0, limits.backoffMsMax);
  checkBetween('backoff_max_ms', spec.backoffMaxMs, 0, limits.backoffMsMax);
  if (spec.backoffMinMs > spec.backoffMaxMs) {
    throw specInvalid(
      'backoff_min_ms',
      String(spec.backoffMinMs),
      `must not be above backoff_max_ms, which is ${spec.backoffMaxMs}; set both`,
    );
  }
  checkBetween('attempts_max', spec.attemptsMax, 0, limits.attemptsMaxMax);
  checkBetween(
    'records_per_second_max',
    spec.recordsPerSecondMax,
    0,
    limits.recordsPerSecondMaxMax,
  );
  if (spec.deadLetterTopic !== '') return;
  const needsTopic = 'needs a dead_letter_topic; set it too';
  if (spec.attemptsMax > 0) throw specInvalid('attempts_max', String(spec.attemptsMax), needsTopic);
  if (spec.deadLetterExpired) throw specInvalid('dead_letter_expired', 'true', needsTopic);
}

/** What is unset is let through, so that a spec that was read back can be applied again. */
function checkStreamSpec(spec: SubscriptionSpec): void {
  const { paused: _, expires_after_ms: __, ...queueOnly } = subscriptionSpecFields(spec);
  for (const [field, value] of Object.entries(queueOnly)) {
    if (!isUnset(value)) {
      throw specInvalid(field, String(value), 'is for queues only; leave it unset in a stream');
    }
  }
}
