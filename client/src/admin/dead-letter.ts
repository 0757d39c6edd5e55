// Dead letters, filters and jobs as plain values, from and to the API's messages.
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  DeadLetterAction,
  DeadLetterJobState as JobStateMessage,
  DeadLetterReason as ReasonMessage,
  type DeadLetter as LetterMessage,
  type DeadLetterCount as CountMessage,
  type DeadLetterFilter as FilterMessage,
  type DeadLetterFilterSchema,
  type DeadLetterJob as JobMessage,
  type DeadLetterTopic as TopicMessage,
} from '../../../proto/gen/millrace/v1/dead_letter_pb.ts';
import { stateFromProto, type RecordState } from './browse.ts';
import { amount } from '../checked-number.ts';

export type DeadLetterReason = 'attempts_exhausted' | 'rejected' | 'expired';

/** Letters for which everything that is set holds. */
export interface DeadLetterFilter {
  /** Any of these. Default: all. */
  readonly reasons?: readonly DeadLetterReason[];
  /** Exactly this key; empty: no key. Default: any. */
  readonly key?: string | Uint8Array;
  /** All of these, as the publisher set them. */
  readonly headers?: Readonly<Record<string, string | Uint8Array>>;
  /** Became dead letters at or after; ms since 1970. */
  readonly sinceMs?: number;
  /** Became dead letters before. */
  readonly untilMs?: number;
  /** Where they come from. Default: anywhere. */
  readonly originTopic?: string;
  readonly originSubscription?: string;
}

export interface DeadLetterTopic {
  readonly topic: string;
  /** A topic that is named need not exist; its letters wait until it does. */
  readonly exists: boolean;
  readonly letters: number;
  /** When the oldest became one; undefined: there are none. */
  readonly oldestMs: number | undefined;
  /** Subscriptions that send there. */
  readonly sources: readonly { readonly topic: string; readonly subscription: string }[];
}

export interface DeadLetterCount {
  /** Both empty: somebody published the record there. */
  readonly originTopic: string;
  readonly originSubscription: string;
  readonly reason: DeadLetterReason | undefined;
  readonly letters: number;
  readonly oldestMs: number;
  readonly newestMs: number;
}

export interface DeadLetter {
  /** Where it is now. */
  readonly partition: number;
  readonly offset: number;
  readonly epoch: number;
  /** When it became one. */
  readonly appendTimeMs: number;
  readonly state: RecordState;
  /** Where it was; empty and 0 when somebody published the record there. */
  readonly originTopic: string;
  readonly originPartition: number;
  readonly originOffset: number;
  readonly originEpoch: number;
  readonly originAppendTimeMs: number;
  readonly originSubscription: string;
  readonly reason: DeadLetterReason | undefined;
  /** Deliveries that it had. */
  readonly attempts: number;
  /** What its last consumer said. */
  readonly error: string;
  /** How often it was redriven before. */
  readonly redriven: number;
  readonly key: Buffer;
  readonly value: Buffer;
  /** As its publisher set them. */
  readonly headers: readonly (readonly [string, Buffer])[];
}

export interface DeadLetterJob {
  readonly jobId: string;
  readonly topic: string;
  readonly action: 'redrive' | 'purge';
  readonly filter: DeadLetterFilter;
  /** Redrive: the topic that letters go to; empty: where each came from. */
  readonly to: string;
  /** 0: no limit. */
  readonly recordsPerSecondMax: number;
  readonly dryRun: boolean;
  readonly state: 'running' | 'done' | 'cancelled';
  readonly createdAtMs: number;
  /** Undefined: it is running. */
  readonly endedAtMs: number | undefined;
  /** Letters that it has looked at, and those of them that match. */
  readonly scanned: number;
  readonly matched: number;
  /** Redriven or purged. */
  readonly done: number;
  /** Matched, or damaged, and are where they were. */
  readonly stayed: number;
  /** Why the last one of those did; empty: none did. */
  readonly stayedBecause: string;
  /** Why it does not go on at present; empty: it does. */
  readonly waitingFor: string;
}

const reasons = {
  attempts_exhausted: ReasonMessage.ATTEMPTS_EXHAUSTED,
  rejected: ReasonMessage.REJECTED,
  expired: ReasonMessage.EXPIRED,
} as const satisfies Readonly<Record<DeadLetterReason, ReasonMessage>>;

export function filterToProto(
  filter: DeadLetterFilter,
): MessageInitShape<typeof DeadLetterFilterSchema> {
  const { key, headers = {}, sinceMs = 0, untilMs = 0 } = filter;
  return {
    reasons: (filter.reasons ?? []).map((reason) => reasons[reason]),
    ...(key === undefined ? {} : { key: bytesOf(key) }),
    headers: Object.entries(headers).map(([name, value]) => ({ name, value: bytesOf(value) })),
    sinceMs: amount('sinceMs', sinceMs),
    untilMs: amount('untilMs', untilMs),
    originTopic: filter.originTopic ?? '',
    originSubscription: filter.originSubscription ?? '',
  };
}

export function topicFromProto(message: TopicMessage): DeadLetterTopic {
  const { topic, exists, letters, oldestMs, sources } = message;
  return {
    topic,
    exists,
    letters: Number(letters),
    oldestMs: oldestMs === 0n ? undefined : Number(oldestMs),
    sources: sources.map((source) => ({ topic: source.topic, subscription: source.subscription })),
  };
}

export function countFromProto(message: CountMessage): DeadLetterCount {
  const { originTopic, originSubscription, reason, letters, oldestMs, newestMs } = message;
  return {
    originTopic,
    originSubscription,
    reason: reasonFromProto(reason),
    letters: Number(letters),
    oldestMs: Number(oldestMs),
    newestMs: Number(newestMs),
  };
}

export function letterFromProto(message: LetterMessage): DeadLetter {
  const { partition, epoch, originTopic, originPartition, originEpoch } = message;
  const { originSubscription, attempts, error, redriven, record } = message;
  return {
    partition,
    offset: Number(message.offset),
    epoch,
    appendTimeMs: Number(message.appendTimeMs),
    state: stateFromProto(message.state),
    originTopic,
    originPartition,
    originOffset: Number(message.originOffset),
    originEpoch,
    originAppendTimeMs: Number(message.originAppendTimeMs),
    originSubscription,
    reason: reasonFromProto(message.reason),
    attempts,
    error,
    redriven,
    key: Buffer.from(record?.key ?? []),
    value: Buffer.from(record?.value ?? []),
    headers: (record?.headers ?? [])
      .filter(({ name }) => !name.startsWith('millrace-'))
      .map(({ name, value }) => [name, Buffer.from(value)] as const),
  };
}

export function jobFromProto(message: JobMessage): DeadLetterJob {
  const { jobId, topic, to, recordsPerSecondMax, dryRun, stayedBecause, waitingFor } = message;
  return {
    jobId,
    topic,
    action: message.action === DeadLetterAction.PURGE ? 'purge' : 'redrive',
    filter: filterFromProto(message.filter),
    to,
    recordsPerSecondMax,
    dryRun,
    state: jobStateFromProto(message.state),
    createdAtMs: Number(message.createdAtMs),
    endedAtMs: message.endedAtMs === 0n ? undefined : Number(message.endedAtMs),
    scanned: Number(message.scanned),
    matched: Number(message.matched),
    done: Number(message.done),
    stayed: Number(message.stayed),
    stayedBecause,
    waitingFor,
  };
}

function filterFromProto(filter: FilterMessage | undefined): DeadLetterFilter {
  if (filter === undefined) return {};
  const { key, headers, sinceMs, untilMs, originTopic, originSubscription } = filter;
  const named = filter.reasons.map(reasonFromProto).filter((reason) => reason !== undefined);
  return {
    ...(named.length === 0 ? {} : { reasons: named }),
    ...(key === undefined ? {} : { key }),
    ...(headers.length === 0
      ? {}
      : { headers: Object.fromEntries(headers.map(({ name, value }) => [name, value])) }),
    ...(sinceMs === 0n ? {} : { sinceMs: Number(sinceMs) }),
    ...(untilMs === 0n ? {} : { untilMs: Number(untilMs) }),
    ...(originTopic === '' ? {} : { originTopic }),
    ...(originSubscription === '' ? {} : { originSubscription }),
  };
}

function reasonFromProto(reason: ReasonMessage): DeadLetterReason | undefined {
  switch (reason) {
    case ReasonMessage.ATTEMPTS_EXHAUSTED:
      return 'attempts_exhausted';
    case ReasonMessage.REJECTED:
      return 'rejected';
    case ReasonMessage.EXPIRED:
      return 'expired';
    case ReasonMessage.UNSPECIFIED:
    default:
      return undefined;
  }
}

function jobStateFromProto(state: JobStateMessage): DeadLetterJob['state'] {
  switch (state) {
    case JobStateMessage.DONE:
      return 'done';
    case JobStateMessage.CANCELLED:
      return 'cancelled';
    case JobStateMessage.RUNNING:
    case JobStateMessage.UNSPECIFIED:
    default:
      return 'running';
  }
}

function bytesOf(value: string | Uint8Array): Uint8Array {
  return typeof value === 'string' ? Buffer.from(value) : value;
}
