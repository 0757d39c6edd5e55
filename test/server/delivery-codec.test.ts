// The hand-written codecs of reading and consuming against generated code.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeConsumeFrame,
  writeDelivery,
  writeProgress,
  type DeliveryFields,
} from '../../broker/server/wire/delivery-codec.ts';
import {
  AckVerb,
  ConsumeStreamRequestSchema,
  ConsumeStreamResponseSchema,
} from '../../proto/gen/millrace/v1/consume_pb.ts';
import { ReadResponseSchema } from '../../proto/gen/millrace/v1/read_pb.ts';
import { RecordBatchSchema } from '../../proto/gen/millrace/v1/record_pb.ts';
import { SubscriptionKind } from '../../proto/gen/millrace/v1/subscription_pb.ts';
import { WireWriter } from '../../proto/wire/writer.ts';
import { plainBatch, recordsArbitrary } from '../batch/batch-arbitrary.ts';
import { bytesField, encodeFields, messageField, numberField } from '../batch/wire-tree.ts';
import { reasonOf } from '../support/reason-of.ts';
import { bytes, text, uint32, uint53 } from './wire-arbitrary.ts';

const delivery: fc.Arbitrary<DeliveryFields> = fc.record({
  partition: uint32,
  baseOffset: uint53,
  appendTimeMs: uint53,
  epoch: uint32,
  attempt: uint32,
  lease: uint53,
  selected: fc.array(fc.tuple(uint32, uint32), { maxLength: 4 }).map((pairs) => pairs.flat()),
  batch: fc.oneof(fc.constant(Buffer.alloc(0)), recordsArbitrary.map(plainBatch)),
});

/** As generated code knows it. */
function deliveryMessage({ selected, batch, ...fields }: DeliveryFields) {
  const ranges = [];
  for (let i = 0; i < selected.length; i += 2) {
    ranges.push({ first: selected[i] ?? 0, last: selected[i + 1] ?? 0 });
  }
  return {
    ...fields,
    baseOffset: BigInt(fields.baseOffset),
    appendTimeMs: BigInt(fields.appendTimeMs),
    lease: BigInt(fields.lease),
    selected: ranges,
    batch: fromBinary(RecordBatchSchema, batch),
  };
}

describe('a delivery written by hand', () => {
  it('is read by generated code as it was written, in both responses that carry it', () => {
    fc.assert(
      fc.property(fc.array(delivery, { minLength: 1, maxLength: 3 }), (deliveries) => {
        const writer = new WireWriter(1);
        for (const one of deliveries) writeDelivery(writer, one);
        const written = writer.finish();
        const init = { deliveries: deliveries.map(deliveryMessage) };
        for (const schema of [ReadResponseSchema, ConsumeStreamResponseSchema] as const) {
          const expected = create<typeof ReadResponseSchema | typeof ConsumeStreamResponseSchema>(
            schema,
            init,
          );
          expect(fromBinary(schema, written)).toEqual(expected);
          // Also the same bytes: what is left out by one is left out by the other.
          expect(Buffer.from(toBinary(schema, expected))).toEqual(written);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('carries its batch as the bytes that it was given', () => {
    fc.assert(
      fc.property(delivery, bytes, (fields, batch) => {
        const writer = new WireWriter(1);
        writeDelivery(writer, { ...fields, batch });
        expect(writer.finish().subarray(-batch.length || undefined)).toEqual(
          batch.length > 0 ? batch : writer.finish(),
        );
      }),
    );
  });
});

describe('progress written by hand', () => {
  it('is read by generated code as it was written', () => {
    fc.assert(
      fc.property(uint32, uint53, uint53, (partition, next, end) => {
        const writer = new WireWriter(1);
        writeProgress(writer, 4, partition, next, end);
        const progress = { partition, nextOffset: BigInt(next), endOffset: BigInt(end) };
        const expected = create(ReadResponseSchema, { progress: [progress] });
        expect(fromBinary(ReadResponseSchema, writer.finish())).toEqual(expected);
      }),
    );
  });
});

const ack = fc.record({
  partition: uint32,
  firstOffset: uint53,
  lastOffset: uint53,
  verb: fc.constantFrom(...Object.values(AckVerb)),
  lease: uint53,
  delayMs: uint32,
  reason: fc.oneof(fc.constant(''), fc.string({ maxLength: 40 })),
});
const subscriptionKind = fc.constantFrom(...Object.values(SubscriptionKind));
const request = fc.record({
  open: fc.option(
    fc.record({ topic: text, subscription: text, consumer: text, kind: subscriptionKind }),
    {
      nil: undefined,
    },
  ),
  credit: fc.option(fc.record({ records: uint32, bytes: uint32 }), { nil: undefined }),
  acks: fc.array(ack, { maxLength: 5 }),
  confirmId: uint53,
});
type RequestSample = typeof request extends fc.Arbitrary<infer T> ? T : never;

function encodeRequest({ open, credit, acks, confirmId }: RequestSample): Buffer {
  const message = create(ConsumeStreamRequestSchema, {
    ...(open !== undefined && { open }),
    ...(credit !== undefined && { credit }),
    acks: acks.map((one) => ({
      ...one,
      firstOffset: BigInt(one.firstOffset),
      lastOffset: BigInt(one.lastOffset),
      lease: BigInt(one.lease),
    })),
    confirmId: BigInt(confirmId),
  });
  return Buffer.from(toBinary(ConsumeStreamRequestSchema, message));
}

describe('a ConsumeStreamRequest of generated code', () => {
  it('is read by hand as it was written', () => {
    fc.assert(
      fc.property(request, (sample) => {
        const read = decodeConsumeFrame(encodeRequest(sample));
        expect(read.acks).toEqual(sample.acks);
        expect(read.confirmId).toBe(sample.confirmId);
        expect(read.creditRecords).toBe(sample.credit?.records ?? 0);
        expect(read.creditBytes).toBe(sample.credit?.bytes ?? 0);
        if (sample.open === undefined) expect(read.open).toBeUndefined();
        else expect(read.open).toMatchObject(sample.open);
      }),
      { numRuns: 500 },
    );
  });

  it('is read alike with unknown fields at every depth', () => {
    const unknown = [numberField(99, 1), bytesField(100, 'unknown')];
    const frame = encodeFields([
      ...unknown,
      messageField(3, [...unknown, numberField(2, 5), ...unknown, numberField(3, 7)]),
      messageField(2, [...unknown, numberField(1, 3), numberField(2, 4)]),
      numberField(4, 8),
    ]);
    expect(decodeConsumeFrame(frame)).toEqual({
      open: undefined,
      creditRecords: 3,
      creditBytes: 4,
      acks: [
        { partition: 0, firstOffset: 5, lastOffset: 7, verb: 0, lease: 0, delayMs: 0, reason: '' },
      ],
      confirmId: 8,
    });
  });

  it('cut anywhere, or with bytes put in, is read or FRAME_MALFORMED, nothing else', () => {
    fc.assert(
      fc.property(request, fc.nat(), bytes, (sample, at, junk) => {
        const frame = encodeRequest(sample);
        const cut = at % (frame.length + 1);
        for (const broken of [
          frame.subarray(0, cut),
          Buffer.concat([frame.subarray(0, cut), junk, frame.subarray(cut)]),
        ]) {
          expect(['nothing', 'FRAME_MALFORMED']).toContain(
            reasonOf(() => decodeConsumeFrame(broken)),
          );
        }
      }),
    );
  });

  it.each([
    ['an offset of 2^53', [messageField(3, [numberField(2, 2n ** 53n)])]],
    ['a lease of 2^64 - 1', [messageField(3, [numberField(5, 2n ** 64n - 1n)])]],
    ['a partition of 2^32', [messageField(3, [numberField(1, 2n ** 32n)])]],
    ['a credit of 2^32', [messageField(2, [numberField(1, 2n ** 32n)])]],
    ['a verb of -1', [messageField(3, [numberField(4, 2n ** 64n - 1n)])]],
    ['an open that is none', [bytesField(1, '\x08')]],
  ])('with %s is FRAME_MALFORMED', (_, fields) => {
    expect(reasonOf(() => decodeConsumeFrame(encodeFields(fields)))).toBe('FRAME_MALFORMED');
  });
});
