// The hand-written codecs of publishing against generated code.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodePublishFrame, writeAppendResult } from '../../broker/server/wire/publish-codec.ts';
import { decodePublishRequest } from '../../broker/server/wire/publish-request-codec.ts';
import {
  PublishRequestSchema,
  PublishStreamRequestSchema,
  PublishStreamResponseSchema,
} from '../../proto/gen/millrace/v1/publish_pb.ts';
import { RecordBatchSchema } from '../../proto/gen/millrace/v1/record_pb.ts';
import { WireWriter } from '../../proto/wire/writer.ts';
import { bytesField, encodeFields, messageField, numberField } from '../batch/wire-tree.ts';
import { reasonOf } from '../support/reason-of.ts';
import { bytes, text, uint32, uint53 } from './wire-arbitrary.ts';

const record = fc.record({ key: bytes, value: bytes, timestampMs: uint53.map(BigInt) });
const batch = fc.record({ records: fc.array(record, { maxLength: 3 }) });
const open = fc.record({
  handle: uint32,
  topic: text,
  publisher: text,
  publisherEpoch: uint32,
});
const append = fc.record({
  handle: uint32,
  partition: uint32,
  sequence: uint53,
  expectedOffset: fc.option(uint53, { nil: undefined }),
  deliverAtMs: uint53,
  delayMs: uint53,
  timeToLiveMs: uint53,
  priority: uint32,
  batch,
});
const request = fc.record({
  opens: fc.array(open, { maxLength: 3 }),
  appends: fc.array(append, { maxLength: 4 }),
  closes: fc.array(uint32, { maxLength: 3 }),
});

/** BigInts where the message has uint64. */
function appendMessage({ sequence, expectedOffset, ...rest }: AppendSample) {
  return {
    ...rest,
    sequence: BigInt(sequence),
    deliverAtMs: BigInt(rest.deliverAtMs),
    delayMs: BigInt(rest.delayMs),
    timeToLiveMs: BigInt(rest.timeToLiveMs),
    ...(expectedOffset !== undefined && { expectedOffset: BigInt(expectedOffset) }),
  };
}

type AppendSample = typeof append extends fc.Arbitrary<infer T> ? T : never;

function encodeRequest(sample: typeof request extends fc.Arbitrary<infer T> ? T : never): Buffer {
  const message = create(PublishStreamRequestSchema, {
    opens: sample.opens,
    appends: sample.appends.map(appendMessage),
    closes: sample.closes.map((handle) => ({ handle })),
  });
  return Buffer.from(toBinary(PublishStreamRequestSchema, message));
}

describe('a PublishStreamRequest of generated code', () => {
  it('is read by hand as it was written, its batches as their own bytes', () => {
    fc.assert(
      fc.property(request, (sample) => {
        const frame = encodeRequest(sample);
        const read = decodePublishFrame(frame);
        expect(read.opens).toMatchObject(sample.opens);
        expect(read.opens).toHaveLength(sample.opens.length);
        expect(read.closes).toEqual(sample.closes);
        const appends = read.appends.map(({ batchStart, batchEnd, ...fields }) => ({
          ...fields,
          batch: frame.subarray(batchStart, batchEnd).toString('hex'),
        }));
        const expected = sample.appends.map(({ batch: sent, ...fields }) => ({
          ...fields,
          batchCount: 1,
          batch: hexOfBatch(sent),
        }));
        expect(appends).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });

  it('is read alike with its fields in another order and unknown ones between them', () => {
    fc.assert(
      fc.property(append, fc.nat(1_000), bytes, ({ expectedOffset, ...fields }, seed, unknown) => {
        const body = Buffer.from(hexOfBatch(fields.batch), 'hex');
        const known = [
          numberField(1, fields.handle),
          numberField(2, fields.partition),
          numberField(3, fields.sequence),
          numberField(4, expectedOffset ?? 0),
          bytesField(15, body),
          bytesField(300, unknown),
          numberField(9, 5),
        ];
        const turned = known.map((_, i) => known[(i + seed) % known.length] ?? numberField(9, 0));
        const frame = encodeFields([
          numberField(7, seed),
          messageField(2, turned),
          bytesField(8, unknown),
        ]);
        const [read] = decodePublishFrame(frame).appends;
        expect(read).toMatchObject({ handle: fields.handle, partition: fields.partition });
        expect(read).toMatchObject({ sequence: fields.sequence, batchCount: 1 });
        expect(read?.expectedOffset).toBe(expectedOffset ?? 0);
        expect(frame.subarray(read?.batchStart, read?.batchEnd)).toEqual(body);
      }),
    );
  });

  it.each([
    ['no batch', [numberField(3, 1)], 0],
    ['one batch', [bytesField(15, 'x')], 1],
    ['two batches', [bytesField(15, 'x'), numberField(3, 1), bytesField(15, 'y')], 2],
    ['a batch of another wire type', [numberField(15, 1)], 0],
  ])('with %s says how often its batch occurred', (_, fields, count) => {
    const frame = encodeFields([messageField(2, fields)]);
    expect(decodePublishFrame(frame).appends).toMatchObject([{ batchCount: count }]);
  });
});

describe('bytes that are no PublishStreamRequest', () => {
  it.each([
    ['a field cut short', '12'],
    ['a length past the end', '1205'],
    ['field 0', '0200'],
    ['a group', '1300'],
    ['a field that ends outside its append', '1202' + '7a05' + '0000000000'],
    ['a number that ends outside its append', '1201' + '08' + '01'],
    ['a handle of 2^32', '1206' + '088080808010'],
    ['a sequence of 2^53', '1209' + '188080808080808010'],
    ['an open that is none', '0a0108'],
    ['a close cut short', '1a0108'],
  ])('%s: FRAME_MALFORMED', (_, hex) => {
    expect(reasonOf(() => decodePublishFrame(Buffer.from(hex, 'hex')))).toBe('FRAME_MALFORMED');
  });

  it('cut anywhere, or with bytes put in, are read or FRAME_MALFORMED, nothing else', () => {
    fc.assert(
      fc.property(request, fc.nat(), bytes, (sample, at, junk) => {
        const frame = encodeRequest(sample);
        const cut = at % (frame.length + 1);
        for (const broken of [
          frame.subarray(0, cut),
          Buffer.concat([frame.subarray(0, cut), junk, frame.subarray(cut)]),
        ]) {
          expect(['nothing', 'FRAME_MALFORMED']).toContain(
            reasonOf(() => decodePublishFrame(broken)),
          );
        }
      }),
    );
  });
});

describe('an AppendResult written by hand', () => {
  it('is read by generated code as it was written', () => {
    const result = fc.record({
      handle: uint32,
      partition: uint32,
      sequence: uint53,
      baseOffset: uint53,
      recordCount: uint32,
      duplicate: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(result, { maxLength: 5 }), (results) => {
        const writer = new WireWriter(1);
        for (const one of results) {
          const { handle, partition, sequence, baseOffset, recordCount, duplicate } = one;
          writeAppendResult(
            writer,
            handle,
            partition,
            sequence,
            baseOffset,
            recordCount,
            duplicate,
          );
        }
        const expected = create(PublishStreamResponseSchema, {
          results: results.map((one) => ({
            ...one,
            sequence: BigInt(one.sequence),
            baseOffset: BigInt(one.baseOffset),
          })),
        });
        const written = writer.finish();
        expect(fromBinary(PublishStreamResponseSchema, written)).toEqual(expected);
        // Also the same bytes: what is left out by one is left out by the other.
        expect(Buffer.from(toBinary(PublishStreamResponseSchema, expected))).toEqual(written);
      }),
      { numRuns: 500 },
    );
  });
});

describe('a PublishRequest of generated code', () => {
  it('is read by hand as it was written', () => {
    const unary = fc.record({
      topic: text,
      partition: fc.option(uint32, { nil: undefined }),
      batch: fc.option(batch, { nil: undefined }),
    });
    fc.assert(
      fc.property(unary, ({ topic, partition, batch: sent }) => {
        const message = create(PublishRequestSchema, {
          topic,
          ...(partition !== undefined && { partition }),
          ...(sent !== undefined && { batch: sent }),
        });
        const frame = Buffer.from(toBinary(PublishRequestSchema, message));
        const read = decodePublishRequest(frame);
        expect(read).toMatchObject({ topic, partition, batchCount: sent === undefined ? 0 : 1 });
        const body = frame.subarray(read.batchStart, read.batchEnd).toString('hex');
        expect(body).toBe(sent === undefined ? '' : hexOfBatch(sent));
      }),
      { numRuns: 500 },
    );
  });

  it('keeps a byte order mark in its topic, so that two names are never read as one', () => {
    const frame = encodeFields([bytesField(1, '\ufefforders')]);
    expect(decodePublishRequest(frame).topic).toBe('\ufefforders');
  });

  it.each([
    ['a topic cut short', '0a0561'],
    ['a partition of 2^32', '108080808010'],
    ['a batch past the end', '7a0501'],
  ])('with %s is FRAME_MALFORMED', (_, hex) => {
    expect(reasonOf(() => decodePublishRequest(Buffer.from(hex, 'hex')))).toBe('FRAME_MALFORMED');
  });
});

function hexOfBatch(sent: AppendSample['batch']): string {
  return Buffer.from(toBinary(RecordBatchSchema, create(RecordBatchSchema, sent))).toString('hex');
}
