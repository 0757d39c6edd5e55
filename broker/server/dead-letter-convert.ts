// Dead letters, filters and jobs between the API's messages and the broker.
import { fromBinary, type MessageInitShape } from '@bufbuild/protobuf';
import type {
  DeadLetterFilter as Filter,
  DeadLetterJobSpec,
  LetterReason,
} from '../catalog/dead-letter-job.ts';
import type { FoundLetter, ScanPosition } from '../cluster/dead-letter-scan.ts';
import type { DeadLetterTopic, JobStatus, LetterCount } from '../cluster/dead-letters.ts';
import { BrokerError } from '../core/errors.ts';
import { RecordBatchSchema } from '../../proto/gen/millrace/v1/record_pb.ts';
import {
  DeadLetterAction,
  DeadLetterJobState,
  DeadLetterReason,
  type DeadLetterCountSchema,
  type DeadLetterFilter,
  type DeadLetterFilterSchema,
  type DeadLetterJobSchema,
  type DeadLetterPosition,
  type DeadLetterPositionSchema,
  type DeadLetterSchema,
  type DeadLetterTopicSchema,
  type StartDeadLetterJobRequest,
} from '../../proto/gen/millrace/v1/dead_letter_pb.ts';
import { stateToProto } from './browse-convert.ts';
import { numberFromProto } from './subscription-convert.ts';

const reasons = {
  attempts_exhausted: DeadLetterReason.ATTEMPTS_EXHAUSTED,
  rejected: DeadLetterReason.REJECTED,
  expired: DeadLetterReason.EXPIRED,
} as const satisfies Readonly<Record<LetterReason, DeadLetterReason>>;

const actions = {
  redrive: DeadLetterAction.REDRIVE,
  purge: DeadLetterAction.PURGE,
} as const satisfies Readonly<Record<DeadLetterJobSpec['action'], DeadLetterAction>>;

const jobStates = {
  running: DeadLetterJobState.RUNNING,
  done: DeadLetterJobState.DONE,
  cancelled: DeadLetterJobState.CANCELLED,
} as const satisfies Readonly<Record<JobStatus['job']['state'], DeadLetterJobState>>;

export function filterFromProto(filter: DeadLetterFilter | undefined): Filter {
  return {
    reasons: (filter?.reasons ?? []).map((reason) => keyOf(reasons, reason, 'dead-letter reason')),
    key: filter?.key,
    headers: filter?.headers ?? [],
    sinceMs: numberFromProto(filter?.sinceMs ?? 0n, 'since_ms'),
    untilMs: numberFromProto(filter?.untilMs ?? 0n, 'until_ms'),
    originTopic: filter?.originTopic ?? '',
    originSubscription: filter?.originSubscription ?? '',
  };
}

export function specFromProto(request: StartDeadLetterJobRequest): DeadLetterJobSpec {
  const { action, filter, to, recordsPerSecondMax, dryRun } = request;
  return {
    action: keyOf(actions, action, 'action on dead letters'),
    filter: filterFromProto(filter),
    to,
    recordsPerSecondMax,
    dryRun,
  };
}

export function positionFromProto(position: DeadLetterPosition | undefined): ScanPosition {
  return {
    partition: position?.partition ?? 0,
    offset: numberFromProto(position?.offset ?? 0n, 'offset'),
  };
}

/** Nothing when there is no more. */
export function nextToProto(next: ScanPosition | undefined): {
  next?: MessageInitShape<typeof DeadLetterPositionSchema>;
} {
  if (next === undefined) return {};
  return { next: { partition: next.partition, offset: BigInt(next.offset) } };
}

export function topicToProto(
  topic: DeadLetterTopic,
): MessageInitShape<typeof DeadLetterTopicSchema> {
  return {
    topic: topic.name,
    exists: topic.exists,
    letters: BigInt(topic.letters),
    oldestMs: BigInt(topic.oldestMs),
    sources: topic.sources.map((source) => ({ ...source })),
  };
}

export function countToProto(count: LetterCount): MessageInitShape<typeof DeadLetterCountSchema> {
  const { originTopic, originSubscription, reason } = count;
  return {
    originTopic,
    originSubscription,
    reason: reason === undefined ? DeadLetterReason.UNSPECIFIED : reasons[reason],
    letters: BigInt(count.letters),
    oldestMs: BigInt(count.oldestMs),
    newestMs: BigInt(count.newestMs),
  };
}

export function letterToProto(letter: FoundLetter): MessageInitShape<typeof DeadLetterSchema> {
  const { partition, place, epoch, origin, reason, attempts, error, redrivenCount } = letter;
  return {
    partition,
    offset: BigInt(place.offset),
    epoch,
    appendTimeMs: BigInt(letter.appendTimeMs),
    state: stateToProto(place.state),
    ...(origin === undefined
      ? {}
      : {
          originTopic: origin.topic,
          originPartition: origin.partition,
          originOffset: BigInt(origin.offset),
          originEpoch: origin.epoch,
          originAppendTimeMs: BigInt(origin.appendTimeMs),
          originSubscription: origin.subscription,
        }),
    reason: reason === undefined ? DeadLetterReason.UNSPECIFIED : reasons[reason],
    attempts,
    error,
    redriven: redrivenCount,
    record: fromBinary(RecordBatchSchema, letter.batch).records[0],
  };
}

export function jobToProto(status: JobStatus): MessageInitShape<typeof DeadLetterJobSchema> {
  const { job, topic, figures, waitingFor } = status;
  return {
    jobId: String(job.id),
    topic,
    action: actions[job.action],
    filter: filterToProto(job.filter),
    to: job.to,
    recordsPerSecondMax: job.recordsPerSecondMax,
    dryRun: job.dryRun,
    state: jobStates[job.state],
    createdAtMs: BigInt(job.createdAtMs),
    endedAtMs: BigInt(job.endedAtMs),
    scanned: BigInt(figures.scanned),
    matched: BigInt(figures.matched),
    done: BigInt(figures.done),
    stayed: BigInt(figures.stayed),
    stayedBecause: figures.stayedBecause,
    waitingFor,
  };
}

function filterToProto(filter: Filter): MessageInitShape<typeof DeadLetterFilterSchema> {
  const { key, headers, sinceMs, untilMs, originTopic, originSubscription } = filter;
  return {
    reasons: filter.reasons.map((reason) => reasons[reason]),
    ...(key === undefined ? {} : { key: new Uint8Array(key) }),
    headers: headers.map(({ name, value }) => ({ name, value: new Uint8Array(value) })),
    sinceMs: BigInt(sinceMs),
    untilMs: BigInt(untilMs),
    originTopic,
    originSubscription,
  };
}

function keyOf<K extends string>(
  table: Readonly<Record<K, number>>,
  code: number,
  what: string,
): K {
  for (const name in table) if (table[name] === code) return name;
  throw new BrokerError('ARGUMENT_INVALID', `there is no ${what} ${code}`);
}
