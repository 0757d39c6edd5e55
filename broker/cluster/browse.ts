// A look at records of a queue by what has become of them. Changes nothing.
import type { Clock } from '../core/clock.ts';
import { BrokerError } from '../core/errors.ts';
import { batchAt } from '../log/batch-at.ts';
import type { StoredBatch } from '../log/stored-batch.ts';
import type { RecordPlace, RecordState } from '../subscription/record-place.ts';
import type { OpenSubscription } from './open-subscription.ts';

export interface BrowseRequest {
  readonly partition: number;
  /** Undefined: every record that is not acked. */
  readonly state: RecordState | undefined;
  readonly fromOffset: number;
  /** 0: the default. */
  readonly recordsMax: number;
}

/** Times are wall clock, ms; 0: not so. */
export interface BrowsedRecord {
  readonly offset: number;
  readonly epoch: number;
  readonly appendTimeMs: number;
  readonly state: RecordState;
  readonly attempts: number;
  readonly consumer: string;
  readonly deliveredAtMs: number;
  readonly ackDeadlineAtMs: number;
  readonly lease: number;
  readonly readyAtMs: number;
  readonly reason: string;
  readonly expiresAtMs: number;
  readonly priority: number;
  /** A plain batch of this one record. */
  readonly batch: Buffer;
}

export interface BrowsePage {
  readonly records: readonly BrowsedRecord[];
  /** 0: there are no more. */
  readonly nextOffset: number;
}

const recordsDefault = 10;
const recordsMost = 100;
/** An answer stays well below what a client takes in one message; one record always fits. */
const bytesMax = 1024 * 1024;

/** Throws ARGUMENT_INVALID, SUBSCRIPTION_KIND_MISMATCH, PARTITION_OUT_OF_RANGE, DATA_LOSS, STORE_FAILED. */
export async function browse(
  subscription: OpenSubscription,
  request: BrowseRequest,
  clock: Clock,
): Promise<BrowsePage> {
  const { partition, state, fromOffset, recordsMax } = request;
  if (recordsMax > recordsMost) {
    throw new BrokerError(
      'ARGUMENT_INVALID',
      `records_max is ${recordsMax}; at most ${recordsMost}`,
    );
  }
  const log = subscription.log(partition);
  const max = recordsMax === 0 ? recordsDefault : recordsMax;
  const { places, next } = subscription.queue(partition).places(state, fromOffset, max);
  const records: BrowsedRecord[] = [];
  let bytes = 0;
  for (const place of places) {
    if (bytes >= bytesMax) return { records, nextOffset: place.offset };
    const batch = await batchAt(log, place.offset);
    // Retention was faster.
    if (batch === undefined) continue;
    const record = browsed(batch, place, subscription, clock);
    records.push(record);
    bytes += record.batch.length;
  }
  return { records, nextOffset: next ?? 0 };
}

function browsed(
  stored: StoredBatch,
  place: RecordPlace,
  subscription: OpenSubscription,
  clock: Clock,
): BrowsedRecord {
  const { offset, state, attempts, holder, readyAtMs, reason = '' } = place;
  const { epoch, appendTimeMs, deliverAtMs, timeToLiveMs, priority } = stored.header;
  const wall = (monotonicMs: number | undefined): number =>
    monotonicMs === undefined
      ? 0
      : Math.max(0, Math.round(monotonicMs + clock.wallMs() - clock.monotonicMs()));
  const dueMs = Math.max(appendTimeMs, deliverAtMs);
  return {
    offset,
    epoch,
    appendTimeMs,
    state,
    attempts,
    consumer: holder === undefined ? '' : subscription.consumerName(holder.consumer),
    deliveredAtMs: wall(holder?.sinceMs),
    ackDeadlineAtMs: wall(holder?.deadlineMs),
    lease: holder?.lease ?? 0,
    readyAtMs: state === 'delayed' ? deliverAtMs : wall(readyAtMs),
    reason,
    expiresAtMs: timeToLiveMs === 0 ? 0 : dueMs + timeToLiveMs,
    priority,
    batch: Buffer.from(stored.recordAt(offset)),
  };
}
