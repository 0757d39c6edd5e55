import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { scanBatch, type BatchScan } from '../../broker/batch/scan.ts';
import { limits } from '../../broker/core/limits.ts';
import {
  mutationArbitrary,
  plainBatch,
  plainTree,
  record,
  recordsArbitrary,
  type PlainRecord,
} from './batch-arbitrary.ts';
import { readByProtobufEs, readByProtobufJs, textOfRecords } from './decoders.ts';
import {
  bytesField,
  encodeFields,
  messageField,
  mutate,
  numberField,
  type WireField,
} from './wire-tree.ts';

const noBytes = Buffer.alloc(0);
const value = bytesField(2, 'v');

function scan(bytes: Buffer, batchBytesMax: number = limits.batchBytesMax): BatchScan {
  return scanBatch(bytes, 0, bytes.length, batchBytesMax);
}

function outcome(bytes: Buffer, batchBytesMax?: number): string {
  const result = scan(bytes, batchBytesMax);
  return result.ok ? 'admitted' : result.reason;
}

/** Outcome for a batch of one record with these fields. */
function ofRecord(...fields: readonly WireField[]): string {
  return outcome(encodeFields([messageField(1, fields)]));
}

/** Outcome for a batch of one record with one header with these fields. */
function ofHeader(...fields: readonly WireField[]): string {
  return ofRecord(value, messageField(4, fields));
}

function header(name: string, valueBytes = 0): WireField {
  return messageField(4, [bytesField(1, name), bytesField(2, Buffer.alloc(valueBytes))]);
}

describe('a plain batch', () => {
  it('is admitted with its count, and both decoders read what was put in', () => {
    fc.assert(
      fc.property(recordsArbitrary, (records) => {
        const bytes = plainBatch(records);
        const keyed = records.some(({ key }) => key.length > 0);
        expect(scan(bytes)).toEqual({
          ok: true,
          recordCount: records.length,
          compressed: false,
          keyed,
        });
        expect(readByProtobufEs(bytes)).toBe(textOfRecords(records));
        expect(readByProtobufJs(bytes)).toBe(textOfRecords(records));
      }),
      { numRuns: 500 },
    );
  });

  it('is read alike by both decoders whenever it is admitted, however it was broken', () => {
    let admitted = 0;
    let refused = 0;
    fc.assert(
      fc.property(
        recordsArbitrary,
        fc.array(mutationArbitrary, { minLength: 1, maxLength: 4 }),
        (records, mutations) => {
          const bytes = encodeFields(mutations.reduce(mutate, plainTree(records)));
          const result = scan(bytes);
          if (!result.ok) refused++;
          if (!result.ok || result.compressed) return;
          admitted++;
          const read = readByProtobufEs(bytes);
          expect(readByProtobufJs(bytes)).toBe(read);
          expect((JSON.parse(read) as [string[]])[0]).toHaveLength(result.recordCount);
        },
      ),
      { numRuns: 8_000 },
    );
    expect(admitted).toBeGreaterThan(500);
    expect(refused).toBeGreaterThan(500);
  });

  it('is judged by its own bytes only, wherever it stands in a frame', () => {
    const bytes = plainBatch([record({ value: Buffer.from('a') }), record()]);
    const frame = Buffer.concat([Buffer.alloc(7, 0x0a), bytes, Buffer.alloc(9, 0x0a)]);
    expect(scanBatch(frame, 7, 7 + bytes.length, 1024)).toEqual(scan(bytes));
    expect(scanBatch(frame, 7, 6 + bytes.length, 1024).ok).toBe(false);
  });

  it('is refused at every length that cuts a record', () => {
    const records = [1, 2, 3].map((n) =>
      record({
        key: Buffer.from([n]),
        value: Buffer.alloc(n),
        timestampMs: n,
        headers: [['h', noBytes]],
      }),
    );
    const bytes = plainBatch(records);
    const borders = new Set([1, 2, 3].map((count) => plainBatch(records.slice(0, count)).length));
    for (let length = 1; length <= bytes.length; length++) {
      const expected = borders.has(length) ? 'admitted' : 'BATCH_NOT_CANONICAL';
      expect([length, outcome(bytes.subarray(0, length))]).toEqual([length, expected]);
    }
  });

  it('says where it is broken, counted from its own first byte', () => {
    const bytes = encodeFields([messageField(1, [value, value])]);
    const frame = Buffer.concat([Buffer.alloc(1_000), bytes]);
    const result = scanBatch(frame, 1_000, frame.length, 1_024);
    expect(result.ok ? '' : result.message).toMatch(/near byte [0-9] *\)/);
  });
});

describe('the canonical form', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['no bytes', outcome(noBytes), 'BATCH_EMPTY'],
    ['an empty record', ofRecord(), 'admitted'],
    ['an empty key', ofRecord(bytesField(1, noBytes)), 'admitted'],
    ['fields in any order', ofRecord(numberField(3, 5), value, bytesField(1, 'k')), 'admitted'],
    ['a header between fields', ofRecord(header('h'), value), 'admitted'],
    ['a header name that repeats', ofRecord(header('h'), header('h')), 'admitted'],
    ['a key twice', ofRecord(bytesField(1, 'a'), bytesField(1, 'a')), 'BATCH_NOT_CANONICAL'],
    ['an empty key twice', ofRecord(bytesField(1, ''), bytesField(1, '')), 'BATCH_NOT_CANONICAL'],
    ['a value twice', ofRecord(value, value), 'BATCH_NOT_CANONICAL'],
    ['a timestamp twice', ofRecord(numberField(3, 1), numberField(3, 1)), 'BATCH_NOT_CANONICAL'],
    ['an unknown field in a record', ofRecord(value, numberField(5, 1)), 'BATCH_NOT_CANONICAL'],
    ['field 16, of a two-byte tag', ofRecord(value, bytesField(16, 'x')), 'BATCH_NOT_CANONICAL'],
    ['field 0', ofRecord(value, numberField(0, 1)), 'BATCH_NOT_CANONICAL'],
    [
      'an unknown field in a batch',
      outcome(encodeFields([messageField(1, []), numberField(7, 1)])),
      'BATCH_NOT_CANONICAL',
    ],
    [
      'records and compression',
      outcome(encodeFields([messageField(1, []), numberField(2, 1)])),
      'BATCH_NOT_CANONICAL',
    ],
    ['a value of another wire type', ofRecord(numberField(2, 1)), 'BATCH_NOT_CANONICAL'],
    [
      'a timestamp of fixed width',
      ofRecord({ number: 3, type: 1, value: Buffer.alloc(8) }),
      'BATCH_NOT_CANONICAL',
    ],
    ['a record as a group', outcome(Buffer.from([0x0b, 0x0c])), 'BATCH_NOT_CANONICAL'],
    [
      'a group in a record',
      ofRecord({ number: 2, type: 3, value: noBytes }),
      'BATCH_NOT_CANONICAL',
    ],
    ['a padded tag', ofRecord({ ...value, tagPad: 1 }), 'BATCH_NOT_CANONICAL'],
    ['a length of five bytes', ofRecord({ ...value, valuePad: 4 }), 'admitted'],
    ['a length of six bytes', ofRecord({ ...value, valuePad: 5 }), 'BATCH_NOT_CANONICAL'],
    [
      'a length above 2^32 that is small modulo 2^32',
      ofRecord({ ...value, lengthLie: 2 ** 32 }),
      'BATCH_NOT_CANONICAL',
    ],
    ['a timestamp of 2^53 - 1', ofRecord(numberField(3, 2n ** 53n - 1n)), 'admitted'],
    ['a timestamp of 2^53', ofRecord(numberField(3, 2n ** 53n)), 'BATCH_NOT_CANONICAL'],
    ['a timestamp of 2^64 - 1', ofRecord(numberField(3, 2n ** 64n - 1n)), 'BATCH_NOT_CANONICAL'],
    ['a timestamp of ten bytes', ofRecord({ ...numberField(3, 1), valuePad: 9 }), 'admitted'],
    [
      'a timestamp of eleven bytes',
      ofRecord({ ...numberField(3, 1), valuePad: 10 }),
      'BATCH_NOT_CANONICAL',
    ],
    ['a header without a name', ofHeader(bytesField(2, 'v')), 'RECORD_INVALID'],
    ['an empty header', ofHeader(), 'RECORD_INVALID'],
    [
      'a header name twice',
      ofHeader(bytesField(1, 'a'), bytesField(1, 'a')),
      'BATCH_NOT_CANONICAL',
    ],
    ['a header value twice', ofHeader(bytesField(1, 'a'), value, value), 'BATCH_NOT_CANONICAL'],
    ['a header value before its name', ofHeader(value, bytesField(1, 'a')), 'admitted'],
    [
      'an unknown field in a header',
      ofHeader(bytesField(1, 'a'), numberField(3, 1)),
      'BATCH_NOT_CANONICAL',
    ],
  ];
  it.each(cases)('%s', (_, actual, expected) => expect(actual).toBe(expected));
});

describe('limits', () => {
  const { keyBytesMax, headersPerRecordMax, headersBytesMax, headerNameBytesMax } = limits;
  const key = (bytes: number) => ofRecord(bytesField(1, Buffer.alloc(bytes)));
  const headers = (count: number) => ofRecord(...Array.from({ length: count }, () => header('h')));
  const headersOf = (bytes: number) => ofRecord(header('n', 1), header('n', bytes - 3));
  const records = (count: number) => outcome(Buffer.from('0a00'.repeat(count), 'hex'));
  const sized = (bytes: number, max: number) => {
    const batch: readonly PlainRecord[] = [record({ value: Buffer.alloc(bytes - 4) })];
    return outcome(plainBatch(batch), max);
  };
  const cases: readonly (readonly [string, string, string])[] = [
    ['a key of 1 KiB', key(keyBytesMax), 'admitted'],
    ['a key of 1 KiB and a byte', key(keyBytesMax + 1), 'RECORD_INVALID'],
    ['64 headers', headers(headersPerRecordMax), 'admitted'],
    ['65 headers', headers(headersPerRecordMax + 1), 'RECORD_INVALID'],
    ['16 KiB of headers', headersOf(headersBytesMax), 'admitted'],
    ['16 KiB of headers and a byte', headersOf(headersBytesMax + 1), 'RECORD_INVALID'],
    [
      'a header name of 128 bytes',
      ofHeader(bytesField(1, 'n'.repeat(headerNameBytesMax))),
      'admitted',
    ],
    ['a header name of 129 bytes', ofHeader(bytesField(1, 'n'.repeat(129))), 'RECORD_INVALID'],
    ['65,536 records', records(limits.recordsPerBatchMax), 'admitted'],
    ['65,537 records', records(limits.recordsPerBatchMax + 1), 'BATCH_TOO_LARGE'],
    ['as many bytes as the topic allows', sized(100, 100), 'admitted'],
    ['a byte more than the topic allows', sized(101, 100), 'BATCH_TOO_LARGE'],
  ];
  it.each(cases)('%s', (_, actual, expected) => expect(actual).toBe(expected));

  const names: readonly (readonly [string, string])[] = [
    ['trace-id', 'admitted'],
    [' ~', 'admitted'],
    ['millrace', 'admitted'],
    ['Millrace-x', 'admitted'],
    ['x-millrace-', 'admitted'],
    ['millrace-', 'RECORD_INVALID'],
    ['millrace-origin', 'RECORD_INVALID'],
    ['tab\t', 'RECORD_INVALID'],
    ['\x7f', 'RECORD_INVALID'],
    ['caf\u00e9', 'RECORD_INVALID'],
    ['', 'RECORD_INVALID'],
  ];
  it.each(names)('header name %j is %s', (name, expected) => {
    expect(ofHeader(bytesField(1, name))).toBe(expected);
  });
});
