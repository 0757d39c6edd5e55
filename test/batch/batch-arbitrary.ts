// Batches for tests: as plain records, as a wire tree, as bytes; and ways to break them.
import { gzipSync, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { murmur3 } from '../../proto/wire/murmur3.ts';
import {
  bytesField,
  encodeFields,
  messageField,
  mutationKinds,
  numberField,
  type Mutation,
  type WireField,
} from './wire-tree.ts';

export interface PlainRecord {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly timestampMs: number;
  readonly headers: readonly (readonly [string, Buffer])[];
}

const bytes = (maxLength: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));

const headerName = fc
  .string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 20 })
  .filter((name) => !name.startsWith('millrace-'));

export const recordArbitrary: fc.Arbitrary<PlainRecord> = fc.record({
  key: fc.oneof(fc.constant(Buffer.alloc(0)), bytes(8)),
  value: fc.oneof(bytes(30), bytes(300)),
  timestampMs: fc.oneof(fc.constant(0), fc.maxSafeNat()),
  headers: fc.array(fc.tuple(headerName, bytes(20)), { maxLength: 3 }),
});

export const recordsArbitrary = fc.array(recordArbitrary, { minLength: 1, maxLength: 6 });

export const mutationArbitrary: fc.Arbitrary<Mutation> = fc.record({
  kind: fc.constantFrom(...mutationKinds),
  at: fc.nat(200),
  how: fc.nat(1_000),
});

/** A plain batch; what is 0 or empty is left out, as every encoder does. */
export function plainTree(records: readonly PlainRecord[]): readonly WireField[] {
  return records.map(({ key, value, timestampMs, headers }) => {
    const fields: WireField[] = [];
    if (key.length > 0) fields.push(bytesField(1, key));
    if (value.length > 0) fields.push(bytesField(2, value));
    if (timestampMs > 0) fields.push(numberField(3, timestampMs));
    for (const [name, headerValue] of headers) {
      const header = [bytesField(1, name)];
      if (headerValue.length > 0) header.push(bytesField(2, headerValue));
      fields.push(messageField(4, header));
    }
    return messageField(1, fields);
  });
}

export function plainBatch(records: readonly PlainRecord[]): Buffer {
  return encodeFields(plainTree(records));
}

export function record(fields: Partial<PlainRecord> = {}): PlainRecord {
  return { key: Buffer.alloc(0), value: Buffer.alloc(0), timestampMs: 0, headers: [], ...fields };
}

export interface CompressedOptions {
  readonly compression: 'gzip' | 'zstd';
  /** Instead of the compressed bytes. */
  readonly compressed?: Buffer;
  /** Instead of what is true. */
  readonly recordCount?: number;
  readonly openedBytes?: number;
  readonly keyHashes?: Buffer;
}

/** The compressed form of records. */
export function compressedTree(
  records: readonly PlainRecord[],
  options: CompressedOptions,
): readonly WireField[] {
  const plain = plainBatch(records);
  const isGzip = options.compression === 'gzip';
  const compressed = options.compressed ?? (isGzip ? gzipSync(plain) : zstdCompressSync(plain));
  const hashes = options.keyHashes ?? keyHashes(records);
  const fields = [
    numberField(2, isGzip ? 1 : 2),
    bytesField(3, compressed),
    numberField(4, options.recordCount ?? records.length),
    numberField(5, options.openedBytes ?? plain.length),
  ];
  if (hashes.length > 0) fields.push(bytesField(6, hashes));
  return fields;
}

/** Empty when no record has a key. */
export function keyHashes(records: readonly PlainRecord[]): Buffer {
  if (records.every(({ key }) => key.length === 0)) return Buffer.alloc(0);
  const hashes = Buffer.alloc(records.length * 4);
  records.forEach(({ key }, i) => hashes.writeUInt32LE(murmur3(key), i * 4));
  return hashes;
}
