// Decides what starting and ending a job on dead letters changes. Pure.
//
// Bounded: of a topic so many jobs run at a time, and so many are remembered; the oldest that has ended makes room.
import { BrokerError } from '../core/errors.ts';
import type { Offset } from '../core/ids.ts';
import { limits } from '../core/limits.ts';
import type { CatalogEvent } from './catalog-events.ts';
import type { CatalogState } from './catalog-state.ts';
import {
  checkedFilter,
  noFigures,
  type DeadLetterFigures,
  type DeadLetterJob,
  type DeadLetterJobSpec,
} from './dead-letter-job.ts';
import { limitReached } from './limit-reached.ts';
import { parseTopicName } from './names.ts';
import { checkBetween, specInvalid } from './spec-fields.ts';
import type { Subscription } from './subscription.ts';
import type { Topic } from './topic.ts';

export interface JobPlan {
  readonly events: readonly CatalogEvent[];
  readonly job: DeadLetterJob;
}

/** Throws SPEC_INVALID, NAME_INVALID, SUBSCRIPTION_KIND_MISMATCH, LIMIT_REACHED. */
export function planStartJob(
  state: CatalogState,
  topic: Topic,
  subscription: Subscription,
  spec: DeadLetterJobSpec,
  until: readonly Offset[],
  nowMs: number,
): JobPlan {
  checkKind(subscription);
  checkBetween(
    'records_per_second_max',
    spec.recordsPerSecondMax,
    0,
    limits.recordsPerSecondMaxMax,
  );
  const known = state.deadLetterJobs.ofTopic(topic.id);
  const running = known.filter((job) => job.state === 'running');
  if (running.length >= limits.deadLetterJobsRunningMax) {
    throw limitReached(
      'jobs on the dead letters of a topic at a time',
      limits.deadLetterJobsRunningMax,
      'wait until one has ended, or cancel it',
    );
  }
  const job: DeadLetterJob = {
    ...spec,
    filter: checkedFilter(spec.filter),
    to: targetOf(topic, spec),
    id: state.counters.nextRevision,
    topicId: topic.id,
    subscriptionId: subscription.id,
    until,
    state: 'running',
    createdAtMs: nowMs,
    endedAtMs: 0,
    figures: noFigures,
  };
  const ended = known.filter(({ state: is }) => is !== 'running').map(({ id }) => id);
  const over = known.length + 1 - limits.deadLetterJobsKept;
  const forgotten = ended.slice(0, Math.max(over, 0));
  return {
    events: [
      ...forgotten.map((id) => ({ kind: 'dead-letter-job-forgotten', id }) as const),
      { kind: 'dead-letter-job-put', job },
    ],
    job,
  };
}

/** No event when it is not running any more. */
export function planEndJob(
  state: CatalogState,
  id: number,
  how: 'done' | 'cancelled',
  figures: DeadLetterFigures,
  nowMs: number,
): { readonly events: readonly CatalogEvent[] } {
  const job = state.deadLetterJobs.get(id);
  if (job?.state !== 'running') return { events: [] };
  const ended: DeadLetterJob = { ...job, state: how, endedAtMs: nowMs, figures };
  return { events: [{ kind: 'dead-letter-job-put', job: ended }] };
}

/** Letters are taken out of turn, which only a plain queue allows. */
function checkKind({ name, kind }: Subscription): void {
  if (kind === 'queue') return;
  throw new BrokerError(
    'SUBSCRIPTION_KIND_MISMATCH',
    `subscription ${name} is a ${kind}; jobs on dead letters need a queue: delete it, and create it as one`,
    { metadata: { kind } },
  );
}

/** No record may leave its tenant, or come back as a dead letter at once. */
function targetOf(topic: Topic, { action, to }: DeadLetterJobSpec): string {
  if (to === '') return '';
  if (action === 'purge') throw specInvalid('to', to, 'is for a redrive only');
  const name = parseTopicName(to);
  if (name.full === topic.name.full) {
    throw specInvalid('to', to, 'must be another topic than the one with the dead letters');
  }
  if (name.tenant !== topic.name.tenant) throw specInvalid('to', to, 'must be of the same tenant');
  return name.full;
}
