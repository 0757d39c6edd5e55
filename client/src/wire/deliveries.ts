// Hand-written reading of what readers and consumers are sent, and writing of what consumers say.
// Shapes: proto/millrace/v1/stream.proto, read.proto, consume.proto.
//
// Invariant: a delivery's batch is a view of its frame; nothing is copied.
import { create, toBinary } from '@bufbuild/protobuf';
import {
  AckConfirmationSchema,
  AckFailureSchema,
  ConsumerOpenedSchema,
  ConsumerOpenSchema,
  LeaseLostSchema,
  PartitionAssignmentSchema,
  type AckConfirmation,
  type AckFailure,
  type ConsumerOpened,
} from '../../../proto/gen/millrace/v1/consume_pb.ts';
import { ReaderOpenedSchema, type ReaderOpened } from '../../../proto/gen/millrace/v1/read_pb.ts';
import {
  GapSchema,
  NoticeSchema,
  type Gap,
  type Notice,
} from '../../../proto/gen/millrace/v1/stream_pb.ts';
import type { SubscriptionKind } from '../../../proto/gen/millrace/v1/subscription_pb.ts';
import { WireError, WireReader, wireBytes, wireVarint } from '../../../proto/wire/reader.ts';
import { varintBytes, WireWriter } from '../../../proto/wire/writer.ts';
import { clientError } from '../errors.ts';
import { decodeMessage } from '../grpc-method.ts';

export interface DeliveryFields {
  partition: number;
  baseOffset: number;
  appendTimeMs: number;
  epoch: number;
  attempt: number;
  lease: number;
  /** Inclusive pairs of record indexes, flattened; empty: all. */
  selected: number[];
  batch: Buffer;
}

export interface ReadEvents {
  opened(opened: ReaderOpened): void;
  delivered(delivery: DeliveryFields): void;
  gap(gap: Gap): void;
  noticed(notice: Notice): void;
}

/** Calls back for each item of a ReadResponse. Throws RESPONSE_MALFORMED. */
export function readReadResponse(frame: Buffer, events: ReadEvents): void {
  readItems(frame, 'ReadResponse', (reader) => readReadItem(frame, reader, events));
}

function readReadItem(frame: Buffer, reader: WireReader, events: ReadEvents): void {
  const tag = reader.tag();
  if (tag === ((2 << 3) | wireBytes)) events.delivered(readDelivery(frame, reader));
  else if (tag === ((1 << 3) | wireBytes)) {
    events.opened(decodeMessage(ReaderOpenedSchema, reader.view()));
  } else if (tag === ((3 << 3) | wireBytes)) {
    events.gap(decodeMessage(GapSchema, reader.view()));
  } else if (tag === ((5 << 3) | wireBytes)) {
    events.noticed(decodeMessage(NoticeSchema, reader.view()));
  } else reader.skip(tag & 7);
}

/** The deliveries of a PullResponse. Throws RESPONSE_MALFORMED. */
export function readPullResponse(frame: Buffer): DeliveryFields[] {
  const deliveries: DeliveryFields[] = [];
  readItems(frame, 'PullResponse', (reader) => {
    const tag = reader.tag();
    if (tag === ((2 << 3) | wireBytes)) deliveries.push(readDelivery(frame, reader));
    else reader.skip(tag & 7);
  });
  return deliveries;
}

export interface ConsumeEvents {
  opened(opened: ConsumerOpened): void;
  delivered(delivery: DeliveryFields): void;
  gap(gap: Gap): void;
  confirmed(confirmation: AckConfirmation): void;
  /** The complete list of partitions this consumer is active on. */
  assigned(partitions: readonly number[]): void;
  leaseLost(partition: number, lease: number): void;
  ackFailed(failure: AckFailure): void;
  noticed(notice: Notice): void;
}

/** Calls back for each item of a ConsumeStreamResponse. Throws RESPONSE_MALFORMED. */
export function readConsumeResponse(frame: Buffer, events: ConsumeEvents): void {
  readItems(frame, 'ConsumeStreamResponse', (reader) => {
    const tag = reader.tag();
    if (tag === ((2 << 3) | wireBytes)) events.delivered(readDelivery(frame, reader));
    else if ((tag & 7) === wireBytes) readRareItem(tag >>> 3, reader.view(), events);
    else reader.skip(tag & 7);
  });
}

function readRareItem(field: number, view: Uint8Array, events: ConsumeEvents): void {
  switch (field) {
    case 1:
      events.opened(decodeMessage(ConsumerOpenedSchema, view));
      break;
    case 3:
      events.gap(decodeMessage(GapSchema, view));
      break;
    case 4:
      events.confirmed(decodeMessage(AckConfirmationSchema, view));
      break;
    case 5:
      events.assigned(decodeMessage(PartitionAssignmentSchema, view).active);
      break;
    case 6: {
      const { partition, lease } = decodeMessage(LeaseLostSchema, view);
      events.leaseLost(partition, Number(lease));
      break;
    }
    case 7:
      events.ackFailed(decodeMessage(AckFailureSchema, view));
      break;
    case 8:
      events.noticed(decodeMessage(NoticeSchema, view));
      break;
    default:
      // A newer broker says something that this client does not need to know.
      break;
  }
}

function readItems(frame: Buffer, name: string, readItem: (reader: WireReader) => void): void {
  try {
    const reader = new WireReader(frame);
    while (!reader.done) readItem(reader);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw clientError(
      'RESPONSE_MALFORMED',
      `the broker's answer is not a ${name}: ${error.message}`,
      { effect: 'unknown', cause: error },
    );
  }
}

export interface AckRangeFields {
  readonly partition: number;
  readonly firstOffset: number;
  readonly lastOffset: number;
  readonly verb: number;
  readonly lease: number;
  readonly delayMs: number;
  /** Of a nack or reject; empty: not stated. */
  readonly reason: string;
}

export interface ConsumeRequestFields {
  readonly creditRecords: number;
  readonly creditBytes: number;
  readonly acks: readonly AckRangeFields[];
  /** 0: no confirmation is asked for. */
  readonly confirmId: number;
}

export function encodeConsumerOpen(
  topic: string,
  subscription: string,
  consumer: string,
  kind: SubscriptionKind,
): Buffer {
  const open = create(ConsumerOpenSchema, { topic, subscription, consumer, kind });
  const writer = new WireWriter(128);
  writer.bytes(1, toBinary(ConsumerOpenSchema, open));
  return writer.finish();
}

export function encodeConsumeRequest(request: ConsumeRequestFields): Buffer {
  const { creditRecords, creditBytes, acks, confirmId } = request;
  const writer = new WireWriter(32 + acks.length * 40);
  if (creditRecords > 0 || creditBytes > 0) {
    writer.openBytes(2, uintBytes(creditRecords) + uintBytes(creditBytes));
    writer.uint(1, creditRecords);
    writer.uint(2, creditBytes);
  }
  for (const ack of acks) {
    const { partition, firstOffset, lastOffset, verb, lease, delayMs } = ack;
    const reason = ack.reason === '' ? undefined : Buffer.from(ack.reason);
    const bytes =
      (reason === undefined ? 0 : 1 + varintBytes(reason.length) + reason.length) +
      uintBytes(partition) +
      uintBytes(firstOffset) +
      uintBytes(lastOffset) +
      uintBytes(verb) +
      uintBytes(lease) +
      uintBytes(delayMs);
    writer.openBytes(3, bytes);
    writer.uint(1, partition);
    writer.uint(2, firstOffset);
    writer.uint(3, lastOffset);
    writer.uint(4, verb);
    writer.uint(5, lease);
    writer.uint(6, delayMs);
    if (reason !== undefined) writer.bytes(7, reason);
  }
  writer.uint(4, confirmId);
  return writer.finish();
}

function readDelivery(frame: Buffer, reader: WireReader): DeliveryFields {
  const end = reader.delimited();
  const delivery: DeliveryFields = {
    partition: 0,
    baseOffset: 0,
    appendTimeMs: 0,
    epoch: 0,
    attempt: 0,
    lease: 0,
    selected: [],
    batch: frame.subarray(0, 0),
  };
  while (reader.position < end) {
    const tag = reader.tag();
    if (tag === ((15 << 3) | wireBytes)) {
      const batchEnd = reader.delimited();
      delivery.batch = frame.subarray(reader.position, batchEnd);
      reader.position = batchEnd;
    } else if (tag === ((1 << 3) | wireVarint)) delivery.partition = reader.uint32();
    else if (tag === ((2 << 3) | wireVarint)) delivery.baseOffset = reader.varint();
    else if (tag === ((3 << 3) | wireVarint)) delivery.appendTimeMs = reader.varint();
    else if (tag === ((4 << 3) | wireVarint)) delivery.epoch = reader.uint32();
    else if (tag === ((5 << 3) | wireVarint)) delivery.attempt = reader.uint32();
    else if (tag === ((6 << 3) | wireVarint)) delivery.lease = reader.varint();
    else if (tag === ((7 << 3) | wireBytes)) readSelected(reader, delivery.selected);
    else reader.skip(tag & 7);
  }
  return delivery;
}

function readSelected(reader: WireReader, selected: number[]): void {
  const end = reader.delimited();
  let first = 0;
  let last = 0;
  while (reader.position < end) {
    const tag = reader.tag();
    if (tag === ((1 << 3) | wireVarint)) first = reader.uint32();
    else if (tag === ((2 << 3) | wireVarint)) last = reader.uint32();
    else reader.skip(tag & 7);
  }
  selected.push(first, last);
}

function uintBytes(value: number): number {
  return value === 0 ? 0 : 1 + varintBytes(value);
}
