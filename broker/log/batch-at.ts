// Reads the batch of one record, wherever it is.
import type { Offset } from '../core/ids.ts';
import type { PartitionLog } from './partition-log.ts';
import type { StoredBatch } from './stored-batch.ts';

/** Of a visible record. Undefined: retention has removed it. Throws DATA_LOSS, STORE_FAILED. */
export async function batchAt(log: PartitionLog, offset: Offset): Promise<StoredBatch | undefined> {
  while (offset >= log.startOffset) {
    const batch = log.read(offset, 1)?.[0];
    if (batch !== undefined) return batch;
    await log.load(offset);
  }
  return undefined;
}
