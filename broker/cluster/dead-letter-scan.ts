// Goes through the letters that a subscription holds: partition by partition, in the order of offsets. Changes nothing.
import { toBrokerError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import { batchAt } from '../log/batch-at.ts';
import { letterOf, type LetterView } from '../subscription/dead-letter-view.ts';
import type { RecordPlace } from '../subscription/record-place.ts';
import type { OpenSubscription } from './open-subscription.ts';

/** Where a scan goes on. */
export interface ScanPosition {
  readonly partition: number;
  readonly offset: number;
}

export interface FoundLetter extends LetterView {
  readonly kind: 'letter';
  readonly partition: number;
  readonly place: RecordPlace;
  readonly epoch: number;
  /** When it became a dead letter. */
  readonly appendTimeMs: number;
  /** A plain batch of this one record. */
  readonly batch: Buffer;
}

export type Found =
  | FoundLetter
  /** Its bytes are damaged. */
  | {
      readonly kind: 'damaged';
      readonly partition: number;
      readonly place: RecordPlace;
      readonly why: string;
    };

/**
 * `until`: by partition the offset after the last letter; default: as far as there are any. Gives other work of the
 * event loop a turn every so many letters. Throws STORE_FAILED, and TOPIC_NOT_FOUND when it is deleted meanwhile.
 */
export async function* letters(
  subscription: OpenSubscription,
  from: ScanPosition,
  until?: readonly number[],
): AsyncGenerator<Found> {
  for (let partition = from.partition; partition < subscription.partitionCount; partition++) {
    const end = until === undefined ? Infinity : (until[partition] ?? 0);
    let next: number | undefined = partition === from.partition ? from.offset : 0;
    while (next !== undefined && next < end) {
      await turn();
      subscription.check();
      const page = subscription.queue(partition).places(undefined, next, limits.deadLetterChunk);
      for (const place of page.places) {
        if (place.offset >= end) break;
        const found = await foundAt(subscription, partition, place);
        if (found !== undefined) yield found;
      }
      ({ next } = page);
    }
  }
}

/** Undefined: retention was faster. */
async function foundAt(
  subscription: OpenSubscription,
  partition: number,
  place: RecordPlace,
): Promise<Found | undefined> {
  try {
    const stored = await batchAt(subscription.log(partition), place.offset);
    if (stored === undefined) return undefined;
    const { epoch, appendTimeMs } = stored.header;
    const batch = stored.recordAt(place.offset);
    return { kind: 'letter', partition, place, epoch, appendTimeMs, batch, ...letterOf(batch) };
  } catch (thrown) {
    const error = toBrokerError(thrown);
    if (error.kind !== 'corrupt') throw error;
    return { kind: 'damaged', partition, place, why: error.message };
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Of a page that ended at this letter. */
export function after({ partition, place }: Found): ScanPosition {
  return { partition, offset: place.offset + 1 };
}
