// The golden vectors were written by generated code. SDK, broker and generated code must agree on every one of them.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodePublishFrame, writeAppendResult } from '../../broker/server/wire/publish-codec.ts';
import { scanBatch } from '../../broker/batch/scan.ts';
import type { MillraceError } from '../../client/src/errors.ts';
import { compressBatch, openBatch } from '../../client/src/records/compress.ts';
import { RecordEncoder } from '../../client/src/records/encode-record.ts';
import type { PublishRecord } from '../../client/src/records/record.ts';
import { copyBody, frameAppend, headroomBytes } from '../../client/src/wire/append-frame.ts';
import {
  encodeClose,
  encodeOpen,
  readPublishAnswers,
  type AppendAnswer,
} from '../../client/src/wire/publish-answers.ts';
import {
  PublishStreamRequestSchema,
  PublishStreamResponseSchema,
} from '../../proto/gen/millrace/v1/publish_pb.ts';
import { RecordBatchSchema } from '../../proto/gen/millrace/v1/record_pb.ts';
import { NoticeKind } from '../../proto/gen/millrace/v1/stream_pb.ts';
import { WireWriter } from '../../proto/wire/writer.ts';
import appends from '../golden/publish-appends.json' with { type: 'json' };
import records from '../golden/publish-records.json' with { type: 'json' };
import results from '../golden/publish-results.json' with { type: 'json' };

const mebibyte = 1024 * 1024;

describe('a record', () => {
  it.each(records)('is written as generated code writes it: $name', ({ record, batchHex }) => {
    expect(encode(record as unknown as PublishRecord).toString('hex')).toBe(batchHex);
  });

  it('of any content is canonical for the broker, and generated code reads the same', () => {
    fc.assert(
      fc.property(fc.array(anyRecord, { minLength: 1, maxLength: 20 }), (list) => {
        const batch = Buffer.concat(list.map((record) => encode(record)));
        const scan = scanBatch(batch, 0, batch.length, mebibyte);
        expect(scan).toMatchObject({ ok: true, recordCount: list.length, compressed: false });
        const read = fromBinary(RecordBatchSchema, batch).records;
        expect(read.map(({ key, value }) => [text(key), text(value)])).toEqual(
          list.map(({ key, value }) => [text(key ?? ''), text(value)]),
        );
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    ['a key over 1 KiB', { key: 'k'.repeat(1025), value: '' }],
    ['a key over 1 KiB in bytes', { key: 'ü'.repeat(513), value: '' }],
    ['65 headers', { value: '', headers: Array.from({ length: 65 }, () => ['a', ''] as const) }],
    ['headers over 16 KiB', { value: '', headers: { a: 'x'.repeat(16 * 1024) } }],
    ['a header without a name', { value: '', headers: { '': 'x' } }],
    ['a header name that is not ASCII', { value: '', headers: { ä: 'x' } }],
    ["a header of the broker's", { value: '', headers: { 'millrace-origin': 'x' } }],
    ['a time that is no whole number', { value: '', timestampMs: 1.5 }],
    ['a time before 1970', { value: '', timestampMs: -1 }],
    ['no value', { value: undefined as unknown as string }],
    ['a number as its value', { value: 7 as unknown as string }],
  ])('is refused before it reaches a batch with %s', (_name, record: PublishRecord) => {
    expect(() => encode(record)).toThrow(
      expect.objectContaining({ kind: 'invalid', reason: 'RECORD_INVALID' }) as MillraceError,
    );
  });
});

describe('an append', () => {
  it.each(appends)('is framed as generated code frames it: $name', (golden) => {
    const { append, batchHex, frameHex } = golden;
    expect(
      frameAppend(bodyOf(batchHex), { ...fieldsOf(append), terms: undefined }).toString('hex'),
    ).toBe(frameHex);
  });

  it.each(appends)('is read by the broker as it was meant: $name', (golden) => {
    const { append, batchHex, frameHex } = golden;
    const frame = Buffer.from(frameHex, 'hex');
    const [read, ...others] = decodePublishFrame(frame).appends;
    expect(others).toEqual([]);
    expect(read).toMatchObject({ ...fieldsOf(append), batchCount: 1 });
    expect(frame.subarray(read?.batchStart, read?.batchEnd).toString('hex')).toBe(batchHex);
  });

  it('with terms of delivery is framed and read as generated code does', () => {
    const uint53 = fc.maxSafeNat();
    const someTerms = fc.record({
      deliverAtMs: uint53,
      delayMs: uint53,
      timeToLiveMs: uint53,
      priority: fc.nat(9),
    });
    fc.assert(
      fc.property(someTerms, fc.option(uint53, { nil: undefined }), (terms, expectedOffset) => {
        const largest = 2 ** 32 - 1;
        const head = { handle: largest, partition: largest, sequence: Number.MAX_SAFE_INTEGER };
        const body = bodyOf(appends[0]?.batchHex ?? '');
        const frame = frameAppend(body, { ...head, expectedOffset, terms });
        const [generated] = fromBinary(PublishStreamRequestSchema, frame).appends;
        expect(generated).toMatchObject({
          sequence: BigInt(head.sequence),
          deliverAtMs: BigInt(terms.deliverAtMs),
          delayMs: BigInt(terms.delayMs),
          timeToLiveMs: BigInt(terms.timeToLiveMs),
          priority: terms.priority,
        });
        const [read] = decodePublishFrame(frame).appends;
        expect(read).toMatchObject({ ...head, ...terms, batchCount: 1 });
      }),
    );
  });

  it('can be framed again with another sequence, and its copy leaves the first alone', () => {
    const [golden] = appends;
    const body = bodyOf(golden?.batchHex ?? '');
    const fields = {
      handle: 1,
      partition: 2,
      sequence: 3,
      expectedOffset: undefined,
      terms: undefined,
    };
    const first = frameAppend(body, fields);
    const before = first.toString('hex');
    frameAppend(copyBody(body), { ...fields, sequence: 2 ** 40 });
    expect(first.toString('hex')).toBe(before);
    const again = frameAppend(body, { ...fields, sequence: 2 ** 40 });
    expect(decodePublishFrame(again).appends[0]).toMatchObject({ sequence: 2 ** 40 });
  });

  it('shares a frame with others and with opens and closes', () => {
    const frame = Buffer.concat([
      encodeOpen(0, 'tenant/namespace/topic', 'me', 4),
      ...appends.map(({ frameHex }) => Buffer.from(frameHex, 'hex')),
      encodeClose(9),
      encodeClose(0),
    ]);
    const read = decodePublishFrame(frame);
    expect(read.opens).toMatchObject([
      { handle: 0, topic: 'tenant/namespace/topic', publisher: 'me', publisherEpoch: 4 },
    ]);
    expect(read.appends).toHaveLength(appends.length);
    expect(read.closes).toEqual([9, 0]);
    expect(fromBinary(PublishStreamRequestSchema, frame).appends).toHaveLength(appends.length);
  });
});

describe('an answer', () => {
  it.each(results)('is written by the broker as generated code writes it: $name', (golden) => {
    const { result, frameHex } = golden;
    const { handle, partition, sequence, baseOffset, recordCount, duplicate } = result;
    const writer = new WireWriter();
    writeAppendResult(writer, handle, partition, sequence, baseOffset, recordCount, duplicate);
    expect(writer.finish().toString('hex')).toBe(frameHex);
  });

  it.each(results)('is read as it was meant: $name', ({ result, frameHex }) => {
    expect(answersOf(Buffer.from(frameHex, 'hex')).appended).toEqual([
      { ...result, error: undefined },
    ]);
  });

  it('carries the error of a refused append, opens and notices', () => {
    const frame = toBinary(
      PublishStreamResponseSchema,
      create(PublishStreamResponseSchema, {
        opened: [{ handle: 5, publisherEpoch: 2, partitionCount: 3 }],
        results: [
          {
            handle: 5,
            sequence: 9n,
            error: { code: 9, reason: 'SEQUENCE_GAP', metadata: { last_sequence: '7' }, effect: 1 },
          },
        ],
        notice: { kind: NoticeKind.CLOSING, retryAfterMs: 100 },
      }),
    );
    const read = answersOf(Buffer.from(frame));
    expect(read.opened).toMatchObject([{ handle: 5, publisherEpoch: 2, partitionCount: 3 }]);
    expect(read.appended[0]?.error).toMatchObject({
      kind: 'conflict',
      reason: 'SEQUENCE_GAP',
      effect: 'none',
      metadata: { last_sequence: '7' },
    });
    expect(read.noticed).toMatchObject([{ kind: NoticeKind.CLOSING, retryAfterMs: 100 }]);
  });

  it('of any bytes is read or refused as malformed', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          answersOf(Buffer.from(bytes));
        } catch (error) {
          expect(error).toMatchObject({ reason: 'RESPONSE_MALFORMED' });
        }
      }),
      { numRuns: 20_000 },
    );
  });
});

describe('a compressed batch', () => {
  it.each(['gzip', 'zstd'] as const)(
    'is admitted by the broker, with key hashes: %s',
    async (how) => {
      const list: PublishRecord[] = [
        { key: 'a', value: 'x' },
        { value: 'y' },
        { key: 'ü', value: '' },
      ];
      const plain = Buffer.concat([Buffer.alloc(headroomBytes), ...list.map((r) => encode(r))]);
      const body = { buffer: plain, start: headroomBytes, end: plain.length };
      const { buffer, start, end } = await compressBatch(body, list.length, how);
      expect(start).toBeGreaterThanOrEqual(headroomBytes);
      expect(scanBatch(buffer, start, end, mebibyte)).toMatchObject({
        ok: true,
        recordCount: 3,
        compressed: true,
        keyed: true,
      });
      expect(openBatch(buffer.subarray(start, end))).toEqual(plain.subarray(headroomBytes));
    },
  );
});

const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.uint8Array({ maxLength: 200 }),
);
const anyName = fc.string({
  unit: fc.integer({ min: 0x20, max: 0x7e }).map((c) => String.fromCharCode(c)),
  minLength: 1,
  maxLength: 20,
});
const anyRecord: fc.Arbitrary<PublishRecord> = fc.record(
  {
    key: anyText,
    value: anyText,
    timestampMs: fc.maxSafeNat(),
    headers: fc.array(fc.tuple(anyName, anyText), { maxLength: 3 }),
  },
  { requiredKeys: ['value'] },
);

function encode(record: PublishRecord): Buffer {
  const encoder = new RecordEncoder();
  const buffer = Buffer.alloc(encoder.measure(record));
  expect(encoder.encode(buffer, 0)).toBe(buffer.length);
  return buffer;
}

function text(bytes: string | Uint8Array): string {
  return Buffer.from(bytes as Uint8Array).toString('hex');
}

function bodyOf(batchHex: string) {
  const buffer = Buffer.concat([Buffer.alloc(headroomBytes), Buffer.from(batchHex, 'hex')]);
  return { buffer, start: headroomBytes, end: buffer.length };
}

function fieldsOf(append: (typeof appends)[number]['append']) {
  return { expectedOffset: undefined, ...append };
}

function answersOf(frame: Buffer) {
  const appended: AppendAnswer[] = [];
  const opened: unknown[] = [];
  const noticed: unknown[] = [];
  readPublishAnswers(frame, {
    appended: (answer) => appended.push(answer),
    opened: (item) => opened.push(item),
    noticed: (notice) => noticed.push(notice),
  });
  return { appended, opened, noticed };
}
