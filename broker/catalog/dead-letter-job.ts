// A job on the dead letters of a topic: it redrives or purges what its filter matches, or only counts that.
//
// Invariants:
// - What a job is to do is fixed when it starts, also how far it looks (`until`): so it ends.
// - A job that has ended keeps what it has done, and does nothing any more.
import type { Offset, SubscriptionId, TopicId } from '../core/ids.ts';
import { limits } from '../core/limits.ts';
import { parseSubscriptionName, parseTopicName } from './names.ts';
import { checkBetween, specInvalid } from './spec-fields.ts';

export type LetterReason = 'attempts_exhausted' | 'rejected' | 'expired';

/** Every condition that is set must hold. */
export interface DeadLetterFilter {
  /** Any of them; empty: all, also records that are no dead letters. */
  readonly reasons: readonly LetterReason[];
  /** Exactly this key; empty: none. Undefined: any. */
  readonly key: Uint8Array | undefined;
  /** The publisher's own headers, all of them. */
  readonly headers: readonly { readonly name: string; readonly value: Uint8Array }[];
  /** Died at or after; wall clock, ms. 0: no bound. */
  readonly sinceMs: number;
  /** Died before. 0: no bound. */
  readonly untilMs: number;
  /** Full name; empty: any. */
  readonly originTopic: string;
  readonly originSubscription: string;
}

export interface DeadLetterJobSpec {
  readonly action: 'redrive' | 'purge';
  readonly filter: DeadLetterFilter;
  /** Full name of the topic that letters go to; empty: to where each came from. */
  readonly to: string;
  /** Letters per second. 0: no limit. */
  readonly recordsPerSecondMax: number;
  /** Counts, and does nothing. */
  readonly dryRun: boolean;
}

export interface DeadLetterFigures {
  /** Letters that were looked at. */
  readonly scanned: number;
  readonly matched: number;
  /** Redriven or purged. */
  readonly done: number;
  /** Matched, and are where they were. */
  readonly stayed: number;
  /** Why the last one of those did; empty: none did. */
  readonly stayedBecause: string;
}

export type DeadLetterJobState = 'running' | 'done' | 'cancelled';

export interface DeadLetterJob extends DeadLetterJobSpec {
  /** A revision of the catalog, so never given twice. */
  readonly id: number;
  /** The dead-letter topic, and its subscription that holds the letters. */
  readonly topicId: TopicId;
  readonly subscriptionId: SubscriptionId;
  /** By partition: letters from there on came later, and are not looked at. */
  readonly until: readonly Offset[];
  readonly state: DeadLetterJobState;
  readonly createdAtMs: number;
  /** 0: it has not ended. */
  readonly endedAtMs: number;
  /** When it has ended; before that they are not durable here. */
  readonly figures: DeadLetterFigures;
}

export const noFigures: DeadLetterFigures = {
  scanned: 0,
  matched: 0,
  done: 0,
  stayed: 0,
  stayedBecause: '',
};

/** With full names. Throws SPEC_INVALID, NAME_INVALID. */
export function checkedFilter(filter: DeadLetterFilter): DeadLetterFilter {
  const { key, headers, sinceMs, untilMs, originTopic, originSubscription } = filter;
  checkBetween('filter.key', key?.length ?? 0, 0, limits.keyBytesMax);
  checkBetween('filter.headers', headers.length, 0, limits.deadLetterFilterHeadersMax);
  for (const { name, value } of headers) {
    checkBetween('filter.headers.name', name.length, 1, limits.headerNameBytesMax);
    checkBetween('filter.headers.value', value.length, 0, limits.deadLetterFilterValueBytesMax);
  }
  checkBetween('filter.since_ms', sinceMs, 0, Number.MAX_SAFE_INTEGER);
  checkBetween('filter.until_ms', untilMs, 0, Number.MAX_SAFE_INTEGER);
  if (untilMs > 0 && untilMs <= sinceMs) {
    throw specInvalid('filter.until_ms', String(untilMs), `must be after since_ms, ${sinceMs}`);
  }
  return {
    ...filter,
    originTopic: originTopic === '' ? '' : parseTopicName(originTopic).full,
    originSubscription: originSubscription === '' ? '' : parseSubscriptionName(originSubscription),
  };
}
