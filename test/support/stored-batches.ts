// Stored batches as the journal holds them, and segment objects built of them.
import { crc32 } from 'node:zlib';
import {
  encodeStoredHeader,
  storedHeaderBytes,
  type StoredHeader,
} from '../../broker/batch/stored-header.ts';
import { partitionId, tenantId } from '../../broker/core/ids.ts';
import {
  SegmentBuilder,
  type BuiltSegment,
  type SegmentIdentity,
} from '../../broker/tier/segment-builder.ts';

export interface Stored {
  readonly header: StoredHeader;
  /** Header and body. */
  readonly bytes: Buffer;
}

export const segmentIdentity: SegmentIdentity = {
  shard: '0',
  tenant: tenantId(7),
  epoch: 3,
  number: 9,
  createdAtMs: 1,
};

/** Batches with bodies of these sizes, dense from the offset on; 1, 2 or 3 records each, a millisecond apart. */
export function storedBatches(
  partition: number,
  firstOffset: number,
  sizes: readonly number[],
): Stored[] {
  let offset = firstOffset;
  return sizes.map((size, i) => {
    const body = Buffer.alloc(size, (partition * 31 + i) % 251);
    const header: StoredHeader = {
      flags: 0,
      priority: 0,
      bodyBytes: size,
      bodyCrc: crc32(body),
      partitionId: partition,
      epoch: 2,
      baseOffset: offset,
      recordCount: 1 + (i % 3),
      publisherId: 1,
      publisherEpoch: 1,
      sequence: i + 1,
      appendTimeMs: 1_000 + i,
      deliverAtMs: 0,
      timeToLiveMs: 0,
      audience: 0,
    };
    offset += header.recordCount;
    const bytes = Buffer.alloc(storedHeaderBytes + size);
    encodeStoredHeader(header, bytes, 0);
    body.copy(bytes, storedHeaderBytes);
    return { header, bytes };
  });
}

export function bytesOf(stored: readonly Stored[]): number {
  return stored.reduce((sum, { bytes }) => sum + bytes.length, 0);
}

/**
 * One object with batches of several partitions. They are added in the order that the journal happens to have them:
 * `next` is asked which of so many partitions comes next; without it they take turns.
 */
export function buildSegment(
  parts: ReadonlyMap<number, readonly Stored[]>,
  next: (count: number) => number = () => 0,
  identity: SegmentIdentity = segmentIdentity,
  blockBytes?: number,
): BuiltSegment {
  const builder = new SegmentBuilder(
    identity,
    [...parts].map(([partition, stored]) => ({
      partition: partitionId(partition),
      bytes: bytesOf(stored),
    })),
    blockBytes,
  );
  let queues = [...parts.values()].map((stored) => [...stored]);
  while (queues.length > 0) {
    const [queue = []] = queues.splice(next(queues.length), 1);
    const batch = queue.shift();
    if (batch === undefined) continue;
    builder.add(batch.header, batch.bytes);
    queues = [...queues, queue];
  }
  return builder.finish();
}
