// A page of what a partition holds back until its delivery time.
import { BrokerError } from '../core/errors.ts';
import type { PartitionLog } from '../log/partition-log.ts';

/** Records of one batch that are held back; those that were cancelled are left out. */
export interface DelayedRun {
  readonly firstOffset: number;
  readonly lastOffset: number;
  readonly deliverAtMs: number;
}

const pageDefault = 100;
const pageMax = 1_000;

/** `size` 0: the default. `nextOffset` 0: there are no more. Throws ARGUMENT_INVALID. */
export function delayedPage(
  log: PartitionLog,
  from: number,
  size: number,
): { readonly delayed: readonly DelayedRun[]; readonly nextOffset: number } {
  if (size > pageMax) {
    throw new BrokerError('ARGUMENT_INVALID', `page_size is ${size}; at most ${pageMax}`);
  }
  const delayed: DelayedRun[] = [];
  for (const mark of log.marks.heldFrom(from)) {
    if (mark.first >= log.endOffset) break;
    if (delayed.length >= (size === 0 ? pageDefault : size)) {
      return { delayed, nextOffset: mark.first };
    }
    for (const run of log.marks.uncancelled(
      Math.max(from, mark.first),
      mark.first + mark.count - 1,
    )) {
      delayed.push({ firstOffset: run.first, lastOffset: run.last, deliverAtMs: mark.deliverAtMs });
    }
  }
  return { delayed, nextOffset: 0 };
}
