// How a batch grows, and that its buffer is used again only as a whole size.
import { describe, expect, it } from 'vitest';
import { BufferPool } from '../../client/src/publish/buffer-pool.ts';
import { GatheringBatch } from '../../client/src/publish/gathering-batch.ts';
import { RecordEncoder } from '../../client/src/records/encode-record.ts';
import { headroomBytes } from '../../client/src/wire/append-frame.ts';

describe('a batch that gathers', () => {
  it('keeps its records while its buffer grows', () => {
    const batch = new GatheringBatch(new BufferPool(), 16, 4096, 0, undefined);
    const parts = Array.from({ length: 100 }, (_, i) => Buffer.from(`record ${i} `));
    for (const part of parts) batch.addEncoded(part);
    const { buffer, start, end } = batch.body();
    expect(start).toBe(headroomBytes);
    expect(buffer.subarray(start, end)).toEqual(Buffer.concat(parts));
    expect(batch.recordCount).toBe(100);
    expect(buffer.length).toBe(headroomBytes + 1024);
    expect(batch.isReusable).toBe(true);
  });

  it('grows beyond its largest size for a record that needs it, and is not used again then', () => {
    const batch = new GatheringBatch(new BufferPool(), 16, 64, 0, undefined);
    const encoder = new RecordEncoder();
    batch.add(encoder, encoder.measure({ value: 'x'.repeat(1_000) }));
    expect(batch.body().end).toBe(batch.body().buffer.length);
    expect(batch.isReusable).toBe(false);
  });

  it('remembers which record each waiter waits for', () => {
    const batch = new GatheringBatch(new BufferPool(), 16, 64, 0, undefined);
    const waiter = { resolve: () => undefined, reject: () => undefined };
    batch.addEncoded(Buffer.from('a'));
    batch.addEncoded(Buffer.from('b'));
    batch.wait(waiter);
    expect(batch.waiterIndexes).toEqual([1]);
    expect(batch.heldBytes).toBeGreaterThan(batch.byteLength);
  });
});

describe('a pool of buffers', () => {
  it('gives back what it was given, by size, up to its bound', () => {
    const pool = new BufferPool();
    const given = pool.take(1_000);
    pool.give(given);
    expect(pool.take(2_000)).not.toBe(given);
    expect(pool.take(1_000)).toBe(given);
    expect(pool.take(1_000)).not.toBe(given);
    const large = pool.take(8 * 1024 * 1024 + 1);
    pool.give(large);
    expect(pool.take(large.length)).not.toBe(large);
  });
});
