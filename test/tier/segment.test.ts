// Segment objects: what is built is read back batch by batch, and no flipped bit goes unnoticed.
import fc from 'fast-check';
import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import {
  encodeStoredHeader,
  storedHeaderBytes,
  type StoredHeader,
} from '../../broker/batch/stored-header.ts';
import { partitionId, tenantId, type PartitionId } from '../../broker/core/ids.ts';
import { ColdBlock } from '../../broker/tier/cold-block.ts';
import { SegmentBuilder } from '../../broker/tier/segment-builder.ts';
import { checkSegment } from '../../broker/tier/segment-check.ts';
import {
  blockRowOf,
  decodeBlockRow,
  decodeSegmentFooter,
  segmentBlockBytes,
  segmentFooterBytes,
  segmentIndexRowBytes,
} from '../../broker/tier/segment-format.ts';

interface Stored {
  readonly header: StoredHeader;
  readonly bytes: Buffer;
}

const identity = { shard: '0', tenant: tenantId(7), epoch: 3, number: 9, createdAtMs: 1 };
const object = { kind: 'segment' as const, tenant: tenantId(7), shard: '0', epoch: 3, number: 9 };

function batches(partition: number, firstOffset: number, sizes: readonly number[]): Stored[] {
  let offset = firstOffset;
  return sizes.map((size, i) => {
    const body = Buffer.alloc(size, (partition * 31 + i) % 251);
    const header: StoredHeader = {
      flags: 0,
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
    };
    offset += header.recordCount;
    const bytes = Buffer.alloc(storedHeaderBytes + size);
    encodeStoredHeader(header, bytes, 0);
    body.copy(bytes, storedHeaderBytes);
    return { header, bytes };
  });
}

/** Batches of several partitions, in turns, as the journal has them. */
function build(parts: ReadonlyMap<number, readonly Stored[]>) {
  const builder = new SegmentBuilder(
    identity,
    [...parts].map(([partition, stored]) => ({
      partition: partitionId(partition),
      bytes: stored.reduce((sum, { bytes }) => sum + bytes.length, 0),
    })),
  );
  const queues = [...parts.values()].map((stored) => [...stored]);
  while (queues.some((queue) => queue.length > 0)) {
    for (const queue of queues) {
      const next = queue.shift();
      if (next !== undefined) builder.add(next.header, next.bytes);
    }
  }
  return builder.finish();
}

const sizes = fc.array(fc.oneof(fc.nat(2_000), fc.nat(400_000)), { minLength: 1, maxLength: 12 });
const parts = fc
  .uniqueArray(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 4 })
  .chain((ids) =>
    fc
      .tuple(...ids.map(() => fc.tuple(fc.nat(1_000_000), sizes)))
      .map(
        (all) =>
          new Map(ids.map((id, i) => [id, batches(id, all[i]?.[0] ?? 0, all[i]?.[1] ?? [])])),
      ),
  );

describe('a segment object', () => {
  it('gives back every batch, by partition and offset, whatever order they came in', () => {
    fc.assert(
      fc.property(parts, (all) => {
        const { bytes, rows } = build(all);
        for (const [partition, stored] of all) {
          const row = rows.get(partition as PartitionId);
          if (row === undefined) throw new Error('a row per partition');
          const section = bytes.subarray(row.indexAt, row.indexAt + row.indexBytes);
          expect(crc32(section)).toBe(row.indexCrc);
          expect(row.firstOffset).toBe(stored[0]?.header.baseOffset);
          for (const { header, bytes: batch } of stored) {
            const block = decodeBlockRow(section, blockRowOf(section, header.baseOffset));
            const end = block.position + block.length;
            const cold = new ColdBlock(block, bytes.subarray(block.position, end));
            expect(cold.isIntact).toBe(true);
            const found = cold.batch(header.baseOffset + header.recordCount - 1);
            expect(found?.header).toEqual(header);
            const at = (found?.bodyAt ?? 0) - storedHeaderBytes;
            expect(found?.bytes.subarray(at, at + batch.length).equals(batch)).toBe(true);
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it('has blocks of at most the limit, or of one larger batch', () => {
    fc.assert(
      fc.property(parts, (all) => {
        const { bytes } = build(all);
        const footer = decodeSegmentFooter(bytes.subarray(-segmentFooterBytes));
        const index = bytes.subarray(footer?.indexAt ?? 0, -segmentFooterBytes);
        for (let i = 0; i * segmentIndexRowBytes < index.length; i++) {
          const { length, batches: count } = decodeBlockRow(index, i);
          expect(length <= segmentBlockBytes || count === 1).toBe(true);
        }
      }),
      { numRuns: 40 },
    );
  });

  it('is covered by its checks, byte for byte', () => {
    const { bytes, checks } = build(new Map([[3, batches(3, 0, [10, 20_000, 1_500_000, 7])]]));
    let next = 0;
    for (const { position, length, crc } of checks) {
      expect(position).toBe(next);
      expect(crc32(bytes.subarray(position, position + length))).toBe(crc);
      next += length;
    }
    expect(next).toBe(bytes.length);
  });

  it('with any flipped bit is found out', async () => {
    const { bytes } = build(
      new Map([
        [3, batches(3, 5, [10, 900, 33])],
        [4, batches(4, 0, [70])],
      ]),
    );
    const check = (candidate: Buffer) =>
      checkSegment(
        object,
        candidate.length,
        (at, length) => Promise.resolve(candidate.subarray(at, at + length)),
        false,
      );
    expect((await check(bytes)).faults).toEqual([]);
    for (let bit = 0; bit < bytes.length * 8; bit += 3) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const { faults } = await check(flipped);
      if (faults.length === 0) throw new Error(`bit ${bit} of ${bytes.length * 8} goes unnoticed`);
    }
  });

  it('under another name is found out', async () => {
    const { bytes } = build(new Map([[3, batches(3, 0, [10])]]));
    const read = (at: number, length: number) => Promise.resolve(bytes.subarray(at, at + length));
    for (const other of [{ tenant: tenantId(8) }, { shard: '1' }, { epoch: 4 }, { number: 10 }]) {
      const { faults } = await checkSegment({ ...object, ...other }, bytes.length, read, false);
      expect(faults).toHaveLength(1);
    }
  });

  it('refuses more, fewer or other batches than were announced', () => {
    const [first, second] = batches(3, 0, [10, 10]) as [Stored, Stored];
    const announced = [{ partition: partitionId(3), bytes: first.bytes.length }];
    const full = new SegmentBuilder(identity, announced);
    full.add(first.header, first.bytes);
    expect(() => full.add(second.header, second.bytes)).toThrow(/announced/);
    expect(() => new SegmentBuilder(identity, announced).finish()).toThrow(/announced/);
    const [foreign] = batches(4, 0, [10]) as [Stored];
    const other = new SegmentBuilder(identity, announced);
    expect(() => other.add(foreign.header, foreign.bytes)).toThrow(/announced/);
  });
});

describe('a damaged block', () => {
  it('loses the batch that is damaged, and its neighbours are read', () => {
    const stored = batches(3, 0, [100, 100, 100]);
    const { bytes, rows } = build(new Map([[3, stored]]));
    const row = rows.get(partitionId(3));
    const block = decodeBlockRow(bytes.subarray(row?.indexAt, -segmentFooterBytes), 0);
    const damaged = Buffer.from(bytes.subarray(0, block.length));
    const middle = (stored[0]?.bytes.length ?? 0) + storedHeaderBytes + 50;
    damaged[middle] = (damaged[middle] ?? 0) ^ 4;
    const cold = new ColdBlock(block, damaged);
    expect(cold.isIntact).toBe(false);
    const [first, second, third] = stored.map(({ header }) => header.baseOffset);
    expect(cold.batch(first ?? 0)).toBeDefined();
    expect(cold.batch(second ?? 0)).toBeUndefined();
    expect(cold.goodAfter(second ?? 0)).toBe(third);
    expect(cold.batch(third ?? 0)).toBeDefined();
  });
});
