// Turns a position that a client names into an offset of a partition.
import type { StartPosition } from '../catalog/subscription.ts';
import { BrokerError } from '../core/errors.ts';
import type { PartitionLog } from '../log/partition-log.ts';

/**
 * The offset to start at; below the partition's start it is left as it is: the reader is told of the gap. Throws
 * OFFSET_OUT_OF_RANGE and POSITION_DIVERGED.
 */
export async function resolvePosition(log: PartitionLog, position: StartPosition): Promise<number> {
  switch (position.kind) {
    case 'earliest':
      return log.startOffset;
    case 'latest':
      return log.endOffset;
    case 'time':
      return log.offsetAtTime(position.timeMs);
    case 'offset':
      if (position.offset > log.endOffset) {
        throw new BrokerError(
          'OFFSET_OUT_OF_RANGE',
          `offset ${position.offset} is past the end, ${log.endOffset}; start there or earlier`,
          {
            metadata: {
              start_offset: String(log.startOffset),
              end_offset: String(log.endOffset),
            },
          },
        );
      }
      if (position.epoch !== 0) await checkEpoch(log, position.offset, position.epoch);
      return position.offset;
  }
}

/** The record before the position must have been written in the epoch that the client saw. */
async function checkEpoch(log: PartitionLog, offset: number, epoch: number): Promise<void> {
  const seen = offset - 1;
  if (seen < log.startOffset) return;
  let batch = log.read(seen, 1)?.[0];
  if (batch === undefined) {
    await log.load(seen);
    batch = log.read(seen, 1)?.[0];
  }
  if (batch === undefined || batch.header.epoch === epoch) return;
  throw new BrokerError(
    'POSITION_DIVERGED',
    `offset ${seen} was written in epoch ${batch.header.epoch}, not ${epoch}: records that you saw were lost; ` +
      'read again from a position you trust',
    { metadata: { epoch: String(batch.header.epoch), offset: String(seen) } },
  );
}
