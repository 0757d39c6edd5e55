// One Append of a PublishStreamRequest around the bytes of a batch, without copying them.
// Shape: proto/millrace/v1/publish.proto.
//
// Invariant: a body has `headroomBytes` free bytes before it; the fields around the batch are written there, ending
// where the batch begins.
import { varintBytes } from '../../../proto/wire/writer.ts';
import type { BatchTerms } from '../publish/batch-terms.ts';

/**
 * Tags and lengths of append and batch (2 + 5 each at most), handle, partition (6 each), sequence, offset, three times
 * (9 each), priority (2).
 */
export const headroomBytes = 80;

/** The bytes of a RecordBatch inside a buffer that has room before them. */
export interface BatchBody {
  readonly buffer: Buffer;
  /** At least `headroomBytes`. */
  readonly start: number;
  readonly end: number;
}

export interface AppendFields {
  readonly handle: number;
  readonly partition: number;
  readonly sequence: number;
  readonly expectedOffset: number | undefined;
  readonly terms: BatchTerms | undefined;
}

const appendTag = (2 << 3) | 2;
const handleTag = 1 << 3;
const partitionTag = 2 << 3;
const sequenceTag = 3 << 3;
const expectedOffsetTag = 4 << 3;
const deliverAtTag = 5 << 3;
const delayTag = 6 << 3;
const timeToLiveTag = 7 << 3;
const priorityTag = 8 << 3;
const batchTag = (15 << 3) | 2;

/** The bytes of a PublishStreamRequest with this one append: a view of the body's buffer. */
export function frameAppend(body: BatchBody, fields: AppendFields): Buffer {
  const { buffer, start, end } = body;
  const { handle, partition, sequence, expectedOffset, terms } = fields;
  const batchBytes = end - start;
  const batchHead = 1 + varintBytes(batchBytes);
  const inside =
    numberBytes(handle) +
    numberBytes(partition) +
    numberBytes(sequence) +
    (expectedOffset === undefined ? 0 : 1 + varintBytes(expectedOffset)) +
    (terms === undefined ? 0 : termsBytes(terms)) +
    batchHead +
    batchBytes;
  const frameStart = end - inside - varintBytes(inside) - 1;
  let at = writeField(buffer, frameStart, appendTag, inside);
  if (handle !== 0) at = writeField(buffer, at, handleTag, handle);
  if (partition !== 0) at = writeField(buffer, at, partitionTag, partition);
  if (sequence !== 0) at = writeField(buffer, at, sequenceTag, sequence);
  if (expectedOffset !== undefined) at = writeField(buffer, at, expectedOffsetTag, expectedOffset);
  if (terms !== undefined) at = writeTerms(buffer, at, terms);
  writeField(buffer, at, batchTag, batchBytes);
  return buffer.subarray(frameStart, end);
}

/** The same bytes in a buffer of their own, so that a stream that still holds the first ones is not disturbed. */
export function copyBody(body: BatchBody): BatchBody {
  const { buffer, start, end } = body;
  const copy = Buffer.allocUnsafe(headroomBytes + end - start);
  buffer.copy(copy, headroomBytes, start, end);
  return { buffer: copy, start: headroomBytes, end: copy.length };
}

function termsBytes({ deliverAtMs, delayMs, timeToLiveMs, priority }: BatchTerms): number {
  return [deliverAtMs, delayMs, timeToLiveMs, priority].reduce((sum, n) => sum + numberBytes(n), 0);
}

function writeTerms(buffer: Buffer, start: number, terms: BatchTerms): number {
  const { deliverAtMs, delayMs, timeToLiveMs, priority } = terms;
  let at = start;
  if (deliverAtMs !== 0) at = writeField(buffer, at, deliverAtTag, deliverAtMs);
  if (delayMs !== 0) at = writeField(buffer, at, delayTag, delayMs);
  if (timeToLiveMs !== 0) at = writeField(buffer, at, timeToLiveTag, timeToLiveMs);
  if (priority !== 0) at = writeField(buffer, at, priorityTag, priority);
  return at;
}

/** Bytes of a number field with a one-byte tag; 0 is left out. */
function numberBytes(value: number): number {
  return value === 0 ? 0 : 1 + varintBytes(value);
}

function writeField(buffer: Buffer, start: number, tag: number, value: number): number {
  let at = start;
  buffer[at++] = tag;
  let rest = value;
  while (rest >= 128) {
    buffer[at++] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  buffer[at++] = rest;
  return at;
}
