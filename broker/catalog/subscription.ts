// A subscription as the catalog knows it. Its cursors live in the shards of the topic's partitions.
//
// Invariants:
// - The kind and the topic are fixed at creation.
// - What only queues have is 0 in a stream.
import type { Offset, SubscriptionId, TopicId } from '../core/ids.ts';
import { limits } from '../core/limits.ts';
import type { SubscriptionName } from './names.ts';
import {
  checkBetween,
  describeFields,
  fieldChanges,
  specInvalid,
  type SpecFields,
} from './spec-fields.ts';

export type SubscriptionKind = 'stream' | 'queue';

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

export const subscriptionSpecDefaults: Readonly<Record<SubscriptionKind, SubscriptionSpec>> = {
  stream: { ackDeadlineMs: 0, backoffMinMs: 0, backoffMaxMs: 0, paused: false },
  queue: {
    ackDeadlineMs: limits.ackDeadlineMsDefault,
    backoffMinMs: limits.backoffMinMsDefault,
    backoffMaxMs: limits.backoffMaxMsDefault,
    paused: false,
  },
};

/** Work is not lost by subscribing late; a stream that wants history says so. */
export const startDefaults: Readonly<Record<SubscriptionKind, StartPosition>> = {
  stream: { kind: 'latest' },
  queue: { kind: 'earliest' },
};

/** The spec with the patch in it. Throws SPEC_INVALID. */
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
  };
  if (kind === 'queue') checkQueueSpec(patched);
  else checkStreamSpec(patched);
  return patched;
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
  if (kind === 'stream') return describeFields({ paused: spec.paused });
  return describeFields(subscriptionSpecFields(spec));
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

function subscriptionSpecFields(spec: SubscriptionSpec): SpecFields {
  return {
    ack_deadline_ms: spec.ackDeadlineMs,
    backoff_min_ms: spec.backoffMinMs,
    backoff_max_ms: spec.backoffMaxMs,
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
}

/** 0 is let through, so that a spec that was read back can be applied again. */
function checkStreamSpec(spec: SubscriptionSpec): void {
  const { paused: _, ...queueOnly } = subscriptionSpecFields(spec);
  for (const [field, value] of Object.entries(queueOnly)) {
    if (value !== 0) {
      throw specInvalid(field, String(value), 'is for queues only; leave it unset in a stream');
    }
  }
}
