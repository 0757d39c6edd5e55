// Hand-written codec of what readers and consumers exchange with the broker on hot paths.
// Shapes: proto/millrace/v1/stream.proto, read.proto, consume.proto.
//
// Invariants: as in publish-codec.ts. A delivery's batch is copied once, from the cached page into the frame.
import { fromBinary } from '@bufbuild/protobuf';
import { limits } from '../../core/limits.ts';
import {
  ConsumerOpenSchema,
  type ConsumerOpen,
} from '../../../proto/gen/millrace/v1/consume_pb.ts';
import { WireReader, wireBytes, wireVarint } from '../../../proto/wire/reader.ts';
import { varintBytes, type WireWriter } from '../../../proto/wire/writer.ts';
import { malformed } from './publish-codec.ts';

/** Field numbers of `deliveries` in the two responses that carry them. */
export const deliveriesField = 2;

/** What a Delivery says; `selected` are inclusive index pairs, flattened; empty: all records of the batch. */
export interface DeliveryFields {
  readonly partition: number;
  readonly baseOffset: number;
  readonly appendTimeMs: number;
  readonly epoch: number;
  readonly attempt: number;
  readonly lease: number;
  readonly selected: readonly number[];
  readonly batch: Uint8Array;
}

/** Adds the delivery as field 2 of the response that the writer holds. */
export function writeDelivery(writer: WireWriter, delivery: DeliveryFields): void {
  const { partition, baseOffset, appendTimeMs, epoch, attempt, lease, selected, batch } = delivery;
  let bytes =
    uintBytes(partition) +
    uintBytes(baseOffset) +
    uintBytes(appendTimeMs) +
    uintBytes(epoch) +
    uintBytes(attempt) +
    uintBytes(lease) +
    1 +
    varintBytes(batch.length) +
    batch.length;
  for (let i = 0; i < selected.length; i += 2) bytes += 2 + rangeBytes(selected, i);
  writer.openBytes(deliveriesField, bytes);
  writer.uint(1, partition);
  writer.uint(2, baseOffset);
  writer.uint(3, appendTimeMs);
  writer.uint(4, epoch);
  writer.uint(5, attempt);
  writer.uint(6, lease);
  for (let i = 0; i < selected.length; i += 2) {
    writer.openBytes(7, rangeBytes(selected, i));
    writer.uint(1, selected[i] as number);
    writer.uint(2, selected[i + 1] as number);
  }
  writer.bytes(15, batch);
}

function rangeBytes(selected: readonly number[], at: number): number {
  return uintBytes(selected[at] as number) + uintBytes(selected[at + 1] as number);
}

function uintBytes(value: number): number {
  return value === 0 ? 0 : 1 + varintBytes(value);
}

/** Adds a PartitionProgress in the given field. */
export function writeProgress(
  writer: WireWriter,
  field: number,
  partition: number,
  nextOffset: number,
  endOffset: number,
): void {
  writer.openBytes(field, uintBytes(partition) + uintBytes(nextOffset) + uintBytes(endOffset));
  writer.uint(1, partition);
  writer.uint(2, nextOffset);
  writer.uint(3, endOffset);
}

/** One AckRange. */
export interface AckRangeFields {
  partition: number;
  firstOffset: number;
  lastOffset: number;
  verb: number;
  lease: number;
  delayMs: number;
  reason: string;
}

export interface ConsumeFrame {
  readonly open: ConsumerOpen | undefined;
  readonly creditRecords: number;
  readonly creditBytes: number;
  readonly acks: readonly AckRangeFields[];
  readonly confirmId: number;
}

export function decodeConsumeFrame(frame: Buffer): ConsumeFrame {
  let open: ConsumerOpen | undefined;
  let creditRecords = 0;
  let creditBytes = 0;
  let confirmId = 0;
  const acks: AckRangeFields[] = [];
  try {
    const reader = new WireReader(frame);
    while (!reader.done) {
      const tag = reader.tag();
      if (tag === ((3 << 3) | wireBytes)) acks.push(readAckRange(reader.view()));
      else if (tag === ((2 << 3) | wireBytes)) {
        const credit = readCredit(reader.view());
        // A field that occurs again is merged: what it sets replaces what was set before.
        if (credit.records > 0) creditRecords = credit.records;
        if (credit.bytes > 0) creditBytes = credit.bytes;
      } else if (tag === ((4 << 3) | wireVarint)) confirmId = reader.varint();
      else if (tag === ((1 << 3) | wireBytes)) open = fromBinary(ConsumerOpenSchema, reader.view());
      else reader.skip(tag & 7);
    }
  } catch (cause) {
    throw malformed('ConsumeStreamRequest', cause);
  }
  return { open, creditRecords, creditBytes, acks, confirmId };
}

function readCredit(bytes: Uint8Array): { readonly records: number; readonly bytes: number } {
  const reader = new WireReader(bytes);
  const credit = { records: 0, bytes: 0 };
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === ((1 << 3) | wireVarint)) credit.records = reader.uint32();
    else if (tag === ((2 << 3) | wireVarint)) credit.bytes = reader.uint32();
    else reader.skip(tag & 7);
  }
  return credit;
}

function readAckRange(bytes: Uint8Array): AckRangeFields {
  const reader = new WireReader(bytes);
  const ack = {
    partition: 0,
    firstOffset: 0,
    lastOffset: 0,
    verb: 0,
    lease: 0,
    delayMs: 0,
    reason: '',
  };
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === ((1 << 3) | wireVarint)) ack.partition = reader.uint32();
    else if (tag === ((2 << 3) | wireVarint)) ack.firstOffset = reader.varint();
    else if (tag === ((3 << 3) | wireVarint)) ack.lastOffset = reader.varint();
    else if (tag === ((4 << 3) | wireVarint)) ack.verb = reader.uint32();
    else if (tag === ((5 << 3) | wireVarint)) ack.lease = reader.varint();
    else if (tag === ((6 << 3) | wireVarint)) ack.delayMs = reader.uint32();
    else if (tag === ((7 << 3) | wireBytes)) ack.reason = readReason(reader.view());
    else reader.skip(tag & 7);
  }
  return ack;
}

/** What is longer is cut off, at a whole character: the failure counts, not the length of its story. */
function readReason(bytes: Uint8Array): string {
  const cut = Buffer.from(
    bytes.buffer,
    bytes.byteOffset,
    Math.min(bytes.length, limits.failureTextBytesMax),
  );
  const text = cut.toString();
  return bytes.length > limits.failureTextBytesMax ? text.replace(/\uFFFD$/, '') : text;
}
