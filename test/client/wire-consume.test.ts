// Deliveries and acks: the golden vectors were written by generated code; SDK, broker and generated code agree on them.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeConsumeFrame, writeDelivery } from '../../broker/server/wire/delivery-codec.ts';
import { MillraceError } from '../../client/src/errors.ts';
import {
  encodeConsumeRequest,
  encodeConsumerOpen,
  readConsumeResponse,
  readReadResponse,
  type ConsumeRequestFields,
  type DeliveryFields,
} from '../../client/src/wire/deliveries.ts';
import {
  ConsumeStreamRequestSchema,
  ConsumeStreamResponseSchema,
} from '../../proto/gen/millrace/v1/consume_pb.ts';
import { ReadResponseSchema } from '../../proto/gen/millrace/v1/read_pb.ts';
import { GapReason, NoticeKind } from '../../proto/gen/millrace/v1/stream_pb.ts';
import { SubscriptionKind } from '../../proto/gen/millrace/v1/subscription_pb.ts';
import { WireWriter } from '../../proto/wire/writer.ts';
import requests from '../golden/consume-requests.json' with { type: 'json' };
import deliveries from '../golden/deliveries.json' with { type: 'json' };

describe('a delivery', () => {
  it.each(deliveries)('is written by the broker as generated code writes it: $name', (golden) => {
    const writer = new WireWriter();
    writeDelivery(writer, { ...golden.delivery, batch: Buffer.from(golden.batchHex, 'hex') });
    expect(writer.finish().toString('hex')).toBe(golden.frameHex);
  });

  it.each(deliveries)('is read as it was meant by readers and consumers: $name', (golden) => {
    const frame = Buffer.from(golden.frameHex, 'hex');
    const expected = [{ ...golden.delivery, batch: Buffer.from(golden.batchHex, 'hex') }];
    expect(itemsOfRead(frame).delivered).toEqual(expected);
    expect(itemsOfConsume(frame).delivered).toEqual(expected);
  });

  it('is a view of its frame, not a copy', () => {
    const frame = Buffer.from(deliveries[0]?.frameHex ?? '', 'hex');
    expect(itemsOfRead(frame).delivered[0]?.batch.buffer).toBe(frame.buffer);
  });
});

describe('what else a broker says', () => {
  it('to a reader is told in its order', () => {
    const message = create(ReadResponseSchema, {
      opened: { partitionCount: 2, partitions: [{ partition: 1, nextOffset: 5n, endOffset: 9n }] },
      gaps: [{ partition: 1, firstOffset: 5n, lastOffset: 6n, reason: GapReason.EXPIRED }],
      progress: [{ partition: 1, nextOffset: 9n, endOffset: 9n }],
      notice: { kind: NoticeKind.CLOSING, retryAfterMs: 10 },
    });
    expect(itemsOfRead(Buffer.from(toBinary(ReadResponseSchema, message))).others).toMatchObject([
      message.opened,
      message.gaps[0],
      message.notice,
    ]);
  });

  it('to a consumer is told in its order', () => {
    const message = create(ConsumeStreamResponseSchema, {
      opened: { consumer: 'me', kind: SubscriptionKind.QUEUE, ackDeadlineMs: 30_000 },
      gaps: [{ lastOffset: 6n, reason: GapReason.EXPIRED }],
      confirmations: [{ confirmId: 7n }],
      assignment: { active: [0, 300] },
      leasesLost: [{ partition: 2, lease: 2n ** 52n }],
      ackFailures: [{ lease: 4n, error: { reason: 'LEASE_LOST' } }],
      notice: { kind: NoticeKind.BLOCKED },
    });
    const frame = Buffer.from(toBinary(ConsumeStreamResponseSchema, message));
    expect(itemsOfConsume(frame).others).toMatchObject([
      message.opened,
      message.gaps[0],
      message.confirmations[0],
      [0, 300],
      [2, 2 ** 52],
      message.ackFailures[0],
      message.notice,
    ]);
  });

  it('in fields that this client does not know is passed over', () => {
    const unknown = Buffer.from('f2010161f00105', 'hex');
    const known = Buffer.from(deliveries[0]?.frameHex ?? '', 'hex');
    const frame = Buffer.concat([unknown, known, unknown]);
    expect(itemsOfRead(frame).delivered).toHaveLength(1);
    expect(itemsOfConsume(frame).delivered).toHaveLength(1);
  });

  it('is a MillraceError or a message, whatever the bytes are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        for (const read of [itemsOfRead, itemsOfConsume]) {
          try {
            read(Buffer.from(bytes));
          } catch (error) {
            expect(error).toBeInstanceOf(MillraceError);
            expect(error).toMatchObject({ reason: 'RESPONSE_MALFORMED' });
          }
        }
      }),
      { numRuns: 5_000 },
    );
  });
});

describe('what a consumer says', () => {
  it.each(requests)('is written as generated code writes it: $name', ({ request, frameHex }) => {
    expect(encodeConsumeRequest(request).toString('hex')).toBe(frameHex);
  });

  it.each(requests)('is read by the broker as it was meant: $name', ({ request, frameHex }) => {
    const { open, ...read } = decodeConsumeFrame(Buffer.from(frameHex, 'hex'));
    expect(open).toBeUndefined();
    expect(read).toEqual(request);
  });

  it('of any numbers is what broker and generated code read', () => {
    const uint32 = fc.nat(2 ** 32 - 1);
    const offset = fc.maxSafeNat();
    const anyRequest: fc.Arbitrary<ConsumeRequestFields> = fc.record({
      creditRecords: uint32,
      creditBytes: uint32,
      confirmId: offset,
      acks: fc.array(
        fc.record({
          partition: uint32,
          firstOffset: offset,
          lastOffset: offset,
          verb: fc.integer({ min: 1, max: 6 }),
          lease: offset,
          delayMs: uint32,
          reason: fc.oneof(fc.constant(''), fc.string({ maxLength: 60 })),
        }),
      ),
    });
    fc.assert(
      fc.property(anyRequest, (request) => {
        const frame = encodeConsumeRequest(request);
        expect(decodeConsumeFrame(frame)).toMatchObject(request);
        const read = fromBinary(ConsumeStreamRequestSchema, frame);
        expect(read.acks.map(({ lease }) => Number(lease))).toEqual(
          request.acks.map(({ lease }) => lease),
        );
        expect(Number(read.confirmId)).toBe(request.confirmId);
      }),
      { numRuns: 300 },
    );
  });

  it('first is whom it is and what it wants', () => {
    const frame = encodeConsumerOpen('t', 's', 'me', SubscriptionKind.STREAM);
    const open = { topic: 't', subscription: 's', consumer: 'me', kind: SubscriptionKind.STREAM };
    expect(fromBinary(ConsumeStreamRequestSchema, frame).open).toMatchObject(open);
    expect(decodeConsumeFrame(frame).open).toMatchObject(open);
  });
});

interface Items {
  readonly delivered: DeliveryFields[];
  readonly others: unknown[];
}

function itemsOfRead(frame: Buffer): Items {
  const items: Items = { delivered: [], others: [] };
  readReadResponse(frame, {
    delivered: (delivery) => items.delivered.push(delivery),
    opened: (opened) => items.others.push(opened),
    gap: (gap) => items.others.push(gap),
    noticed: (notice) => items.others.push(notice),
  });
  return items;
}

function itemsOfConsume(frame: Buffer): Items {
  const items: Items = { delivered: [], others: [] };
  readConsumeResponse(frame, {
    delivered: (delivery) => items.delivered.push(delivery),
    opened: (opened) => items.others.push(opened),
    gap: (gap) => items.others.push(gap),
    confirmed: (confirmation) => items.others.push(confirmation),
    assigned: (active) => items.others.push(active),
    leaseLost: (partition, lease) => items.others.push([partition, lease]),
    ackFailed: (failure) => items.others.push(failure),
    noticed: (notice) => items.others.push(notice),
  });
  return items;
}
