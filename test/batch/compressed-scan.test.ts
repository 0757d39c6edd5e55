import { constants, gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openPlain } from '../../broker/batch/compressed-batch.ts';
import { scanBatch, type BatchScan } from '../../broker/batch/scan.ts';
import { flagCompressed, flagKeyed } from '../../broker/batch/stored-header.ts';
import { limits } from '../../broker/core/limits.ts';
import { reasonOf } from '../support/reason-of.ts';
import {
  compressedTree,
  keyHashes,
  mutationArbitrary,
  plainBatch,
  record,
  recordsArbitrary,
  type CompressedOptions,
} from './batch-arbitrary.ts';
import { readByProtobufEs, readByProtobufJs, textOfRecords } from './decoders.ts';
import { bytesField, encodeFields, mutate, numberField } from './wire-tree.ts';

const records = [
  record({ key: Buffer.from('a'), value: Buffer.alloc(300, 'x') }),
  record({ value: Buffer.from('no key') }),
];
const plain = plainBatch(records);
const gzipped = gzipSync(plain);
const zstd = zstdCompressSync(plain);
const formats = ['gzip', 'zstd'] as const;
const format = fc.constantFrom(...formats);

function scan(bytes: Buffer, batchBytesMax: number = limits.batchBytesMax): BatchScan {
  return scanBatch(bytes, 0, bytes.length, batchBytesMax);
}

function outcome(bytes: Buffer, batchBytesMax?: number): string {
  const result = scan(bytes, batchBytesMax);
  return result.ok ? 'admitted' : result.reason;
}

function of(options: CompressedOptions, batchBytesMax?: number): string {
  return outcome(encodeFields(compressedTree(records, options)), batchBytesMax);
}

describe('a compressed batch', () => {
  it('is admitted with its count, and opens to what was put in', () => {
    fc.assert(
      fc.property(recordsArbitrary, format, (someRecords, compression) => {
        const bytes = encodeFields(compressedTree(someRecords, { compression }));
        const keyed = someRecords.some(({ key }) => key.length > 0);
        const recordCount = someRecords.length;
        expect(scan(bytes)).toEqual({ ok: true, recordCount, compressed: true, keyed });
        const opened = openPlain(bytes, flagCompressed | (keyed ? flagKeyed : 0));
        expect(readByProtobufEs(opened)).toBe(textOfRecords(someRecords));
      }),
      { numRuns: 300 },
    );
  });

  it('is read and opened alike whenever it is admitted, however it was broken', () => {
    let admitted = 0;
    let refused = 0;
    fc.assert(
      fc.property(
        recordsArbitrary,
        format,
        fc.array(mutationArbitrary, { minLength: 1, maxLength: 3 }),
        (someRecords, compression, mutations) => {
          const bytes = encodeFields(
            mutations.reduce(mutate, compressedTree(someRecords, { compression })),
          );
          const result = scan(bytes);
          if (!result.ok) refused++;
          if (!result.ok || !result.compressed) return;
          admitted++;
          const read = readByProtobufEs(bytes);
          expect(readByProtobufJs(bytes)).toBe(read);
          const opened = openPlain(bytes, flagCompressed);
          expect(readByProtobufEs(opened)).toBe(textOfRecords(someRecords));
          expect(readByProtobufJs(opened)).toBe(textOfRecords(someRecords));
        },
      ),
      { numRuns: 4_000 },
    );
    expect(admitted).toBeGreaterThan(200);
    expect(refused).toBeGreaterThan(200);
  });

  it('with one bit flipped is refused, or still holds as many records as it states', () => {
    for (const compression of formats) {
      const bytes = encodeFields(compressedTree(records, { compression }));
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const flipped = Buffer.from(bytes);
        flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
        const result = scan(flipped);
        if (!result.ok) continue;
        const opened = openPlain(flipped, flagCompressed);
        const read = readByProtobufEs(opened);
        expect(readByProtobufJs(opened)).toBe(read);
        expect((JSON.parse(read) as [string[]])[0]).toHaveLength(result.recordCount);
        // A gzip member has a CRC of its own; a zstd frame has one only when its publisher asks for it.
        if (compression === 'gzip') expect(read).toBe(textOfRecords(records));
      }
    }
  });
});

describe('stated numbers', () => {
  const zeroHashes = Buffer.alloc(4 * records.length);
  const wrongHashes = Buffer.from(keyHashes(records)).fill(7, 0, 1);
  const cases: readonly (readonly [string, CompressedOptions, string])[] = [
    [
      'one record too many',
      {
        compression: 'gzip',
        recordCount: 3,
        keyHashes: Buffer.concat([keyHashes(records), Buffer.alloc(4)]),
      },
      'BATCH_COUNT_MISMATCH',
    ],
    [
      'one record too few',
      { compression: 'gzip', recordCount: 1, keyHashes: keyHashes(records).subarray(0, 4) },
      'BATCH_COUNT_MISMATCH',
    ],
    ['no count', { compression: 'zstd', recordCount: 0 }, 'BATCH_EMPTY'],
    [
      'more records than a batch may have',
      { compression: 'zstd', recordCount: 65_537 },
      'BATCH_TOO_LARGE',
    ],
    ['a count of 2^32 - 1', { compression: 'zstd', recordCount: 2 ** 32 - 1 }, 'BATCH_TOO_LARGE'],
    [
      'a byte too many',
      { compression: 'zstd', openedBytes: plain.length + 1 },
      'BATCH_COUNT_MISMATCH',
    ],
    [
      'a byte too few',
      { compression: 'zstd', openedBytes: plain.length - 1 },
      'BATCH_COUNT_MISMATCH',
    ],
    [
      'a byte too few, gzip',
      { compression: 'gzip', openedBytes: plain.length - 1 },
      'BATCH_COUNT_MISMATCH',
    ],
    ['no size', { compression: 'gzip', openedBytes: 0 }, 'BATCH_COUNT_MISMATCH'],
    [
      'key hashes of another length',
      { compression: 'gzip', keyHashes: Buffer.alloc(4) },
      'BATCH_COUNT_MISMATCH',
    ],
    [
      'no key hashes for a key',
      { compression: 'gzip', keyHashes: Buffer.alloc(0) },
      'BATCH_NOT_CANONICAL',
    ],
    [
      'the hash of no key for a key',
      { compression: 'zstd', keyHashes: zeroHashes },
      'BATCH_NOT_CANONICAL',
    ],
    ['a wrong key hash', { compression: 'zstd', keyHashes: wrongHashes }, 'BATCH_NOT_CANONICAL'],
  ];
  it.each(cases)('%s', (_, options, expected) => expect(of(options)).toBe(expected));

  it('opens to more than the topic allows: refused before it is opened', () => {
    expect(of({ compression: 'zstd' }, plain.length)).toBe('admitted');
    expect(of({ compression: 'zstd' }, plain.length - 1)).toBe('BATCH_TOO_LARGE');
  });

  it.each(formats)('a %s bomb costs no more than the size it states', (compression) => {
    const zeros = Buffer.alloc(64 * 1024 * 1024);
    const bomb = compression === 'gzip' ? gzipSync(zeros) : zstdCompressSync(zeros);
    const before = process.memoryUsage().arrayBuffers;
    for (const openedBytes of [1, 1_000, limits.batchBytesMax]) {
      expect(of({ compression, compressed: bomb, openedBytes })).toBe('BATCH_COUNT_MISMATCH');
    }
    const after = process.memoryUsage().arrayBuffers;
    expect(after - before).toBeLessThan(3 * limits.batchBytesMax);
  });
});

/** A frame of stored blocks by hand: descriptor, window byte, one raw block. */
function zstdByHand(windowLog: number, body: Buffer): Buffer {
  const block = Buffer.alloc(3);
  block.writeUIntLE((body.length << 3) | 1, 0, 3);
  return Buffer.concat([
    Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, (windowLog - 10) << 3]),
    block,
    body,
  ]);
}

describe('compressed_records is one gzip member or one zstd frame', () => {
  const skippable = Buffer.from('502a4d1804000000' + '01020304', 'hex');
  const checked = zstdCompressSync(plain, { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
  const half = plainBatch(records.slice(0, 1));
  const otherHalf = plainBatch(records.slice(1));
  const join = (...parts: readonly Buffer[]) => Buffer.concat(parts);
  const lastByteOff = (bytes: Buffer) =>
    join(bytes.subarray(0, -1), Buffer.from([bytes.readUInt8(bytes.length - 1) ^ 1]));
  const cases: readonly (readonly [string, 'gzip' | 'zstd', Buffer, string])[] = [
    ['a gzip member', 'gzip', gzipped, 'admitted'],
    ['a gzip member and a zero', 'gzip', join(gzipped, Buffer.alloc(1)), 'COMPRESSION_INVALID'],
    ['a gzip member and junk', 'gzip', join(gzipped, Buffer.from('junk')), 'COMPRESSION_INVALID'],
    ['two gzip members', 'gzip', join(gzipSync(half), gzipSync(otherHalf)), 'COMPRESSION_INVALID'],
    ['an empty gzip member first', 'gzip', join(gzipSync(''), gzipped), 'COMPRESSION_INVALID'],
    ['an empty gzip member last', 'gzip', join(gzipped, gzipSync('')), 'COMPRESSION_INVALID'],
    ['gzip without its last byte', 'gzip', gzipped.subarray(0, -1), 'COMPRESSION_INVALID'],
    ['gzip with a wrong size', 'gzip', lastByteOff(gzipped), 'COMPRESSION_INVALID'],
    ['zstd called gzip', 'gzip', zstd, 'COMPRESSION_INVALID'],
    ['plain bytes called gzip', 'gzip', plain, 'COMPRESSION_INVALID'],
    ['a zstd frame', 'zstd', zstd, 'admitted'],
    ['a zstd frame with its checksum', 'zstd', checked, 'admitted'],
    ['a zstd frame with a wrong checksum', 'zstd', lastByteOff(checked), 'COMPRESSION_INVALID'],
    ['zstd without its last byte', 'zstd', checked.subarray(0, -1), 'COMPRESSION_INVALID'],
    ['a zstd frame and a zero', 'zstd', join(zstd, Buffer.alloc(1)), 'COMPRESSION_INVALID'],
    ['a zstd frame and junk', 'zstd', join(zstd, Buffer.from('junk')), 'COMPRESSION_INVALID'],
    [
      'two zstd frames',
      'zstd',
      join(zstdCompressSync(half), zstdCompressSync(otherHalf)),
      'COMPRESSION_INVALID',
    ],
    ['an empty zstd frame first', 'zstd', join(zstdCompressSync(''), zstd), 'COMPRESSION_INVALID'],
    ['a skippable frame first', 'zstd', join(skippable, zstd), 'COMPRESSION_INVALID'],
    ['a skippable frame last', 'zstd', join(zstd, skippable), 'COMPRESSION_INVALID'],
    ['gzip called zstd', 'zstd', gzipped, 'COMPRESSION_INVALID'],
    ['a zstd window of 8 MiB', 'zstd', zstdByHand(23, plain), 'admitted'],
    ['a zstd window of 16 MiB', 'zstd', zstdByHand(24, plain), 'COMPRESSION_INVALID'],
    ['nothing', 'zstd', Buffer.alloc(0), 'BATCH_EMPTY'],
  ];
  it.each(cases)('%s', (_, compression, compressed, expected) => {
    expect(of({ compression, compressed })).toBe(expected);
  });

  it('at every level and with every option, as libraries write it', () => {
    for (const level of [1, 3, 9, 19]) {
      for (const [checksum, contentSize] of [
        [0, 0],
        [0, 1],
        [1, 0],
        [1, 1],
      ] as const) {
        const params = {
          [constants.ZSTD_c_compressionLevel]: level,
          [constants.ZSTD_c_checksumFlag]: checksum,
          [constants.ZSTD_c_contentSizeFlag]: contentSize,
        };
        const compressed = zstdCompressSync(plain, { params, pledgedSrcSize: plain.length });
        expect(of({ compression: 'zstd', compressed })).toBe('admitted');
      }
    }
    for (const level of [0, 1, 6, 9]) {
      expect(of({ compression: 'gzip', compressed: gzipSync(plain, { level }) })).toBe('admitted');
    }
  });

  it('opens to a plain batch, never to a compressed one', () => {
    const inner = encodeFields(compressedTree(records, { compression: 'gzip' }));
    const outer = compressedTree(records, {
      compression: 'gzip',
      compressed: gzipSync(inner),
      openedBytes: inner.length,
    });
    expect(outcome(encodeFields(outer))).toBe('BATCH_NOT_CANONICAL');
  });
});

describe('the fields of the compressed form', () => {
  const tree = compressedTree(records, { compression: 'gzip' });
  const [compression, ...rest] = tree;
  const first = compression ?? numberField(2, 1);
  const cases: readonly (readonly [string, string, string])[] = [
    ['in another order', outcome(encodeFields(tree.toReversed())), 'admitted'],
    [
      'a padded tag',
      outcome(encodeFields([{ ...first, tagPad: 1 }, ...rest])),
      'BATCH_NOT_CANONICAL',
    ],
    [
      'a tag of six bytes',
      outcome(encodeFields([{ ...first, tagPad: 5 }, ...rest])),
      'BATCH_NOT_CANONICAL',
    ],
    [
      'a number of five bytes',
      outcome(encodeFields([{ ...first, valuePad: 4 }, ...rest])),
      'admitted',
    ],
    [
      'a number of six bytes',
      outcome(encodeFields([{ ...first, valuePad: 5 }, ...rest])),
      'BATCH_NOT_CANONICAL',
    ],
    [
      'a length of six bytes',
      outcome(encodeFields([first, { ...bytesField(3, 'xx'), valuePad: 5 }])),
      'BATCH_NOT_CANONICAL',
    ],
    [
      'a length past the end',
      outcome(encodeFields([first, { ...bytesField(3, 'xx'), lengthLie: 1 }])),
      'BATCH_NOT_CANONICAL',
    ],
    ['compression twice', outcome(encodeFields([first, ...tree])), 'BATCH_NOT_CANONICAL'],
    [
      'an unknown field',
      outcome(encodeFields([...tree, numberField(7, 1)])),
      'BATCH_NOT_CANONICAL',
    ],
    [
      'field 200 twice',
      outcome(encodeFields([...tree, numberField(200, 1), numberField(200, 1)])),
      'BATCH_NOT_CANONICAL',
    ],
    [
      'records behind it',
      outcome(encodeFields([...tree, bytesField(1, 'x')])),
      'BATCH_NOT_CANONICAL',
    ],
    [
      'a count as bytes',
      outcome(encodeFields([...rest, bytesField(4, 'x')])),
      'BATCH_NOT_CANONICAL',
    ],
    ['no compression', outcome(encodeFields(rest)), 'COMPRESSION_INVALID'],
    ['compression 3', outcome(encodeFields([numberField(2, 3), ...rest])), 'COMPRESSION_INVALID'],
    [
      'compression -1',
      outcome(encodeFields([numberField(2, 2n ** 64n - 1n), ...rest])),
      'BATCH_NOT_CANONICAL',
    ],
    ['no records at all', outcome(encodeFields([first])), 'BATCH_EMPTY'],
  ];
  it.each(cases)('%s', (_, actual, expected) => expect(actual).toBe(expected));
});

describe('openPlain', () => {
  it('answers a plain body as it is, without a copy', () => {
    expect(openPlain(plain, flagKeyed)).toBe(plain);
  });

  it.each([
    ['a body that is no compressed batch', plain],
    [
      'a body cut short',
      encodeFields(compressedTree(records, { compression: 'zstd' })).subarray(0, 20),
    ],
    [
      'a body whose frame is damaged',
      encodeFields(compressedTree(records, { compression: 'zstd', compressed: zstd.subarray(1) })),
    ],
  ])('calls %s DATA_LOSS', (_, body) => {
    expect(reasonOf(() => openPlain(body, flagCompressed))).toBe('DATA_LOSS');
  });

  it('is checked here against decoders that join what follows', () => {
    // The planted fault: what these read, a decoder of one member or frame does not.
    expect(gunzipSync(Buffer.concat([gzipped, gzipped])).length).toBe(2 * plain.length);
    expect(zstdDecompressSync(Buffer.concat([zstd, zstd])).length).toBe(2 * plain.length);
  });
});
