// Hand-written codec of PublishStream: the request's batches stay views of the frame, answers go straight into one
// buffer. Shapes: proto/millrace/v1/publish.proto.
//
// Invariants:
// - What this reads and writes, generated code reads and writes alike (golden vectors, property tests).
// - A frame that is no PublishStreamRequest throws FRAME_MALFORMED; an append whose batch field does not occur exactly
//   once is marked, and fails alone.
import { fromBinary } from '@bufbuild/protobuf';
import { BrokerError } from '../../core/errors.ts';
import {
  PublisherOpenSchema,
  type PublisherOpen,
} from '../../../proto/gen/millrace/v1/publish_pb.ts';
import { WireError, WireReader, wireBytes, wireVarint } from '../../../proto/wire/reader.ts';
import { varintBytes, type WireWriter } from '../../../proto/wire/writer.ts';

/** How queues are to treat a batch, as its publisher says. 0: not stated. */
export interface TermsFields {
  deliverAtMs: number;
  delayMs: number;
  timeToLiveMs: number;
  priority: number;
}

/** One Append; the batch is `frame.subarray(batchStart, batchEnd)`. */
export interface AppendFrame extends TermsFields {
  handle: number;
  partition: number;
  sequence: number;
  expectedOffset: number | undefined;
  batchStart: number;
  batchEnd: number;
  /** How often the batch field occurred; anything but 1 is not canonical. */
  batchCount: number;
}

export interface PublishFrame {
  readonly opens: readonly PublisherOpen[];
  readonly appends: readonly AppendFrame[];
  readonly closes: readonly number[];
}

const none: readonly never[] = [];

export function decodePublishFrame(frame: Buffer): PublishFrame {
  let opens: PublisherOpen[] | undefined;
  let closes: number[] | undefined;
  const appends: AppendFrame[] = [];
  try {
    const reader = new WireReader(frame);
    while (!reader.done) {
      const tag = reader.tag();
      if (tag === ((2 << 3) | wireBytes)) appends.push(readAppend(reader));
      else if (tag === ((1 << 3) | wireBytes)) {
        (opens ??= []).push(fromBinary(PublisherOpenSchema, reader.view()));
      } else if (tag === ((3 << 3) | wireBytes)) (closes ??= []).push(readClose(reader.view()));
      else reader.skip(tag & 7);
    }
  } catch (cause) {
    throw malformed('PublishStreamRequest', cause);
  }
  return { opens: opens ?? none, appends, closes: closes ?? none };
}

function readAppend(reader: WireReader): AppendFrame {
  const end = reader.delimited();
  const append: AppendFrame = {
    handle: 0,
    partition: 0,
    sequence: 0,
    expectedOffset: undefined,
    deliverAtMs: 0,
    delayMs: 0,
    timeToLiveMs: 0,
    priority: 0,
    batchStart: 0,
    batchEnd: 0,
    batchCount: 0,
  };
  while (reader.position < end) {
    const tag = reader.tag();
    if (tag === ((15 << 3) | wireBytes)) {
      append.batchEnd = reader.delimited();
      append.batchStart = reader.position;
      append.batchCount++;
      reader.position = append.batchEnd;
    } else if (tag === ((1 << 3) | wireVarint)) append.handle = reader.uint32();
    else if (tag === ((2 << 3) | wireVarint)) append.partition = reader.uint32();
    else if (tag === ((3 << 3) | wireVarint)) append.sequence = reader.varint();
    else if (tag === ((4 << 3) | wireVarint)) append.expectedOffset = reader.varint();
    else if (tag === ((5 << 3) | wireVarint)) append.deliverAtMs = reader.varint();
    else if (tag === ((6 << 3) | wireVarint)) append.delayMs = reader.varint();
    else if (tag === ((7 << 3) | wireVarint)) append.timeToLiveMs = reader.varint();
    else if (tag === ((8 << 3) | wireVarint)) append.priority = reader.uint32();
    else reader.skip(tag & 7);
  }
  if (reader.position !== end) throw new WireError('append reaches past its end');
  return append;
}

function readClose(bytes: Uint8Array): number {
  let handle = 0;
  const reader = new WireReader(bytes);
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === ((1 << 3) | wireVarint)) handle = reader.uint32();
    else reader.skip(tag & 7);
  }
  return handle;
}

/** One stored append as field 2 of PublishStreamResponse. */
export function writeAppendResult(
  writer: WireWriter,
  handle: number,
  partition: number,
  sequence: number,
  baseOffset: number,
  recordCount: number,
  duplicate: boolean,
): void {
  const bytes =
    uintBytes(handle) +
    uintBytes(partition) +
    uintBytes(sequence) +
    uintBytes(baseOffset) +
    uintBytes(recordCount) +
    (duplicate ? 2 : 0);
  writer.openBytes(2, bytes);
  writer.uint(1, handle);
  writer.uint(2, partition);
  writer.uint(3, sequence);
  writer.uint(4, baseOffset);
  writer.uint(5, recordCount);
  writer.bool(6, duplicate);
}

/** Bytes of a number field with a one-byte tag. */
function uintBytes(value: number): number {
  return value === 0 ? 0 : 1 + varintBytes(value);
}

/** A frame that cannot be read; the stream ends with it. */
export function malformed(message: string, cause: unknown): BrokerError {
  const text = cause instanceof Error ? cause.message : String(cause);
  return new BrokerError(
    'FRAME_MALFORMED',
    `the bytes are not a ${message}: ${text}; encode it with code generated from the proto files`,
    { cause },
  );
}
