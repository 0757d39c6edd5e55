// How queues are to treat records: records of one batch share it.
import { clientError } from '../errors.ts';
import type { PublishRecord } from '../records/record.ts';

/** 0: not stated. */
export interface BatchTerms {
  readonly deliverAtMs: number;
  readonly delayMs: number;
  readonly timeToLiveMs: number;
  readonly priority: number;
}

/** 100 years, in ms. */
const farFutureMs = 3_155_760_000_000;
const priorityMax = 9;

/** Undefined: as usual. Throws RECORD_INVALID. */
export function termsOf(record: PublishRecord): BatchTerms | undefined {
  const { deliverAt, delayMs = 0, timeToLiveMs = 0, priority = 0 } = record;
  if (deliverAt === undefined && delayMs === 0 && timeToLiveMs === 0 && priority === 0) {
    return undefined;
  }
  if (deliverAt !== undefined && delayMs !== 0) {
    throw clientError('RECORD_INVALID', 'set deliverAt or delayMs, not both');
  }
  const deliverAtMs = deliverAt === undefined ? 0 : Math.max(0, Math.ceil(Number(deliverAt)));
  return {
    deliverAtMs: checked('deliverAt', deliverAtMs, Date.now() + farFutureMs),
    delayMs: checked('delayMs', Math.ceil(delayMs), farFutureMs),
    timeToLiveMs: checked('timeToLiveMs', Math.ceil(timeToLiveMs), farFutureMs),
    priority: checked('priority', priority, priorityMax),
  };
}

export function sameTerms(a: BatchTerms | undefined, b: BatchTerms | undefined): boolean {
  if (a === b) return true;
  if (a === undefined || b === undefined) return false;
  return (
    a.deliverAtMs === b.deliverAtMs &&
    a.delayMs === b.delayMs &&
    a.timeToLiveMs === b.timeToLiveMs &&
    a.priority === b.priority
  );
}

function checked(field: string, value: number, max: number): number {
  if (Number.isSafeInteger(value) && value >= 0 && value <= max) return value;
  throw clientError('RECORD_INVALID', `${field} is ${value}; it must be from 0 to ${max}`, {
    metadata: { field },
  });
}
