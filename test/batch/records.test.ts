import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RecordCursor, sliceRecords, splitByPartition } from '../../broker/batch/records.ts';
import { scanBatch } from '../../broker/batch/scan.ts';
import { limits } from '../../broker/core/limits.ts';
import { murmur3 } from '../../proto/wire/murmur3.ts';
import {
  plainBatch,
  plainTree,
  record,
  recordsArbitrary,
  type PlainRecord,
} from './batch-arbitrary.ts';
import { readByProtobufEs, textOfRecords } from './decoders.ts';
import { encodeFields } from './wire-tree.ts';

function isBatch(bytes: Buffer): boolean {
  return scanBatch(bytes, 0, bytes.length, limits.batchBytesMax).ok;
}

/** The rule, as it is stated; slow. */
function partitionsOf(records: readonly PlainRecord[], partitionCount: number): readonly number[] {
  const [first] = records;
  const ofKey = (key: Buffer) => murmur3(key) % partitionCount;
  const keyless = first === undefined || first.key.length === 0 ? 0 : ofKey(first.key);
  return records.map(({ key }) => (key.length === 0 ? keyless : ofKey(key)));
}

describe('sliceRecords', () => {
  it('answers a batch of the records asked for, as a view', () => {
    fc.assert(
      fc.property(recordsArbitrary, fc.nat(), fc.nat(), (records, a, b) => {
        const from = a % (records.length + 1);
        const to = from + (b % (records.length + 1 - from));
        const body = plainBatch(records);
        const slice = sliceRecords(body, from, to);
        expect(slice.buffer).toBe(body.buffer);
        expect(readByProtobufEs(slice)).toBe(textOfRecords(records.slice(from, to)));
        expect(isBatch(slice)).toBe(to > from);
      }),
    );
  });

  it('of adjoining runs join to the batch again', () => {
    fc.assert(
      fc.property(recordsArbitrary, fc.array(fc.nat(6)), (records, cuts) => {
        const body = plainBatch(records);
        const borders = [0, ...cuts.map((cut) => cut % (records.length + 1)), records.length];
        borders.sort((a, b) => a - b);
        const runs = borders.slice(1).map((to, i) => sliceRecords(body, borders[i] ?? 0, to));
        expect(Buffer.concat(runs)).toEqual(body);
      }),
    );
  });

  it('refuses to go past the last record', () => {
    const body = plainBatch([record(), record()]);
    expect(() => sliceRecords(body, 0, 3)).toThrow(/begins a record/);
  });
});

describe('RecordCursor', () => {
  it('finds the borders that encoding each record alone gives, going forward in any steps', () => {
    fc.assert(
      fc.property(recordsArbitrary, fc.array(fc.nat(3)), (records, steps) => {
        const body = plainBatch(records);
        const borders = [0];
        for (const field of plainTree(records)) {
          borders.push((borders.at(-1) ?? 0) + encodeFields([field]).length);
        }
        const cursor = new RecordCursor();
        let index = 0;
        for (const step of steps) {
          index = Math.min(index + step, records.length);
          expect(cursor.seek(body, index)).toBe(borders[index]);
          expect(cursor.index).toBe(index);
        }
      }),
    );
  });

  it('passes over records of every length of their length', () => {
    const sizes = [0, 100, 127, 128, 16_380, 16_384, 70_000, 2 ** 21];
    const records = sizes.map((size) => record({ value: Buffer.alloc(size) }));
    const body = plainBatch(records);
    const cursor = new RecordCursor();
    records.forEach((_, i) => {
      expect(cursor.seek(body, i)).toBe(plainBatch(records.slice(0, i)).length);
    });
    expect(cursor.seek(body, records.length)).toBe(body.length);
  });

  it('reads each record once while a batch is taken in runs', () => {
    const body = plainBatch(Array.from({ length: 10 }, () => record({ value: Buffer.alloc(5) })));
    const reads: number[] = [];
    const counted = new Proxy(body, {
      get(target, key) {
        const index = typeof key === 'string' ? Number(key) : Number.NaN;
        if (Number.isInteger(index)) reads.push(index);
        return Reflect.get(target, key) as unknown;
      },
    });
    const cursor = new RecordCursor();
    for (const index of [0, 3, 3, 4, 9, 10]) cursor.seek(counted, index);
    expect(new Set(reads).size).toBe(reads.length);
  });

  it('does not go back', () => {
    const body = plainBatch([record(), record()]);
    const cursor = new RecordCursor();
    cursor.seek(body, 2);
    expect(() => cursor.seek(body, 1)).toThrow(/goes forward/);
  });
});

describe('splitByPartition', () => {
  it('puts every record into the partition of its key, in order, and none twice', () => {
    fc.assert(
      fc.property(recordsArbitrary, fc.integer({ min: 1, max: 8 }), (records, partitionCount) => {
        const partitions = partitionsOf(records, partitionCount);
        const parts = splitByPartition(plainBatch(records), partitionCount);
        expect(new Set(parts.keys())).toEqual(new Set(partitions));
        for (const [partition, { bytes, recordCount }] of parts) {
          const expected = records.filter((_, i) => partitions[i] === partition);
          expect(readByProtobufEs(bytes)).toBe(textOfRecords(expected));
          expect(recordCount).toBe(expected.length);
          expect(isBatch(bytes)).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });

  it.each([
    ['first, to partition 0', ['', 'a'], [0, 'a']],
    ['after one with a key, along with it', ['a', ''], ['a', 'a']],
    ['after others, along with the first', ['a', 'b', ''], ['a', 'b', 'a']],
  ])('sends a record without a key that comes %s', (_, keys, expected) => {
    const records = keys.map((key) => record({ key: Buffer.from(key) }));
    const wanted = expected.map((key) =>
      typeof key === 'number' ? key : murmur3(Buffer.from(key)) % 7,
    );
    expect(partitionsOf(records, 7)).toEqual(wanted);
    const parts = splitByPartition(plainBatch(records), 7);
    const counts = Object.fromEntries(
      [...parts].map(([partition, part]) => [partition, part.recordCount]),
    );
    const wantedCounts: Record<number, number> = {};
    for (const partition of wanted) wantedCounts[partition] = (wantedCounts[partition] ?? 0) + 1;
    expect(counts).toEqual(wantedCounts);
  });
});
