// Where the records of a queue are, one by one, for people who look. Changes nothing.
import type { Offset } from '../core/ids.ts';
import type { BatchMarks } from '../log/batch-marks.ts';
import type { Claims } from './fresh-source.ts';

export type RecordState = 'ready' | 'in_flight' | 'waiting' | 'delayed' | 'dead';

/** Times are monotonic. */
export interface RecordPlace {
  readonly offset: Offset;
  readonly state: RecordState;
  /** Deliveries that have ended. */
  readonly attempts: number;
  /** In flight. */
  readonly holder?: {
    readonly consumer: number;
    readonly lease: number;
    readonly sinceMs: number;
    readonly deadlineMs: number;
  };
  /** Waiting for its back-off until then. */
  readonly readyAtMs?: number;
  /** Dead, why. */
  readonly reason?: string;
  /** Dead, and the job that redrives it. */
  readonly job?: number;
}

export interface PlacesRequest {
  /** Undefined: every record that is not acked. */
  readonly state: RecordState | undefined;
  readonly from: Offset;
  /** After the last visible record. */
  readonly end: Offset;
  readonly max: number;
  readonly nowMs: number;
}

/** What is looked at before a page ends, found or not: a call stays short. */
const stepsMax = 100_000;

export interface PlacesPage {
  readonly places: readonly RecordPlace[];
  /** Where to go on; undefined: there are no more. */
  readonly next: Offset | undefined;
}

export function placesOf(claims: Claims, marks: BatchMarks, request: PlacesRequest): PlacesPage {
  const { state, end, max, nowMs } = request;
  const places: RecordPlace[] = [];
  let offset = Math.max(request.from, claims.acks.floor);
  for (let steps = 0; steps < stepsMax; steps++) {
    offset = claims.acks.nextUnacked(nextCandidate(claims, marks, state, offset, end));
    if (offset >= end) return { places, next: undefined };
    if (places.length >= max) return { places, next: offset };
    const place = placeOf(claims, marks, offset, nowMs);
    if (state === undefined || place.state === state) places.push(place);
    offset++;
  }
  return { places, next: offset };
}

/** The first offset from which on a record of the state can be. */
function nextCandidate(
  { leases, retries, outbox }: Claims,
  marks: BatchMarks,
  state: RecordState | undefined,
  from: Offset,
  end: Offset,
): Offset {
  const startOf = (run: { readonly first: Offset } | undefined): Offset =>
    run === undefined ? end : Math.max(from, run.first);
  switch (state) {
    case 'in_flight':
      return startOf(leases.ceiling(from));
    case 'waiting':
      return startOf(retries.ceiling(from));
    case 'dead':
      return startOf(outbox.ceiling(from));
    case 'delayed':
      return marks.nextHeld(from, end);
    case 'ready':
      return marks.heldUntil(from);
    case undefined:
      return from;
  }
}

/** Of a record that is not acked. */
function placeOf(claims: Claims, marks: BatchMarks, offset: Offset, nowMs: number): RecordPlace {
  const lease = claims.leases.holderOf(offset);
  if (lease !== undefined) {
    const { consumer, sinceMs, deadlineMs, attempt } = lease;
    const holder = { consumer, lease: lease.lease, sinceMs, deadlineMs };
    return { offset, state: 'in_flight', attempts: attempt - 1, holder };
  }
  const retry = claims.retries.at(offset);
  if (retry !== undefined) {
    const { attempts, readyAtMs } = retry;
    const isWaiting = readyAtMs > nowMs;
    return isWaiting
      ? { offset, state: 'waiting', attempts, readyAtMs }
      : { offset, state: 'ready', attempts };
  }
  const letter = claims.outbox.letterOf(offset);
  if (letter !== undefined) {
    const { attempts, reason, target } = letter;
    const place = { offset, state: 'dead', attempts, reason } as const;
    return target === undefined ? place : { ...place, job: target.job };
  }
  const isHeld = marks.nextHeld(offset, offset + 1) === offset;
  return { offset, state: isHeld ? 'delayed' : 'ready', attempts: 0 };
}
