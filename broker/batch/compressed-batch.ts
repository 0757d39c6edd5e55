// The fields of a RecordBatch in its compressed form, and its way back to the plain one.
//
// Invariant: a tag is one byte; a number and a length take at most 5, in minimal form or not. Longer ones are legal
// protobuf, but some decoders refuse them, and then cannot read the whole frame (seen: protobuf-es, tags).
import { WireError, WireReader, wireBytes, wireVarint } from '../../proto/wire/reader.ts';
import { BrokerError } from '../core/errors.ts';
import { openCompressed } from './compression.ts';
import { flagCompressed } from './stored-header.ts';

/** What a field left out means stands here as it does in proto3: 0 or empty. */
export interface CompressedBatch {
  readonly compression: number;
  readonly records: Buffer;
  readonly recordCount: number;
  readonly openedBytes: number;
  readonly keyHashes: Buffer;
}

const compressionTag = (2 << 3) | wireVarint;
const compressedRecordsTag = (3 << 3) | wireBytes;
const recordCountTag = (4 << 3) | wireVarint;
const openedBytesTag = (5 << 3) | wireVarint;
const keyHashesTag = (6 << 3) | wireBytes;

const numberBytesMax = 5;
const empty = Buffer.alloc(0);

/** Views of the bytes from `start` to `end`. Throws WireError for any field that the compressed form does not have. */
export function readCompressedBatch(
  bytes: Uint8Array,
  start: number,
  end: number,
): CompressedBatch {
  const reader = new WireReader(bytes, start, end);
  let compression = 0;
  let records: Buffer = empty;
  let recordCount = 0;
  let openedBytes = 0;
  let keyHashes: Buffer = empty;
  let seen = 0;
  while (!reader.done) {
    const tag = bytes[reader.position++] as number;
    const bit = 1 << (tag >>> 3);
    if ((seen & bit) !== 0) throw new WireError('a field occurs twice');
    seen |= bit;
    if (tag === compressionTag) compression = readNumber(reader);
    else if (tag === compressedRecordsTag) records = readBytes(reader);
    else if (tag === recordCountTag) recordCount = readNumber(reader);
    else if (tag === openedBytesTag) openedBytes = readNumber(reader);
    else if (tag === keyHashesTag) keyHashes = readBytes(reader);
    else throw new WireError('an unknown field, or plain records beside compressed ones,');
  }
  return { compression, records, recordCount, openedBytes, keyHashes };
}

/**
 * The plain form of a stored body with the given flags of its header: the body itself, or what it opens to. It was
 * opened when it was admitted, so a body that does not open any more is damage: throws DATA_LOSS.
 */
export function openPlain(body: Buffer, flags: number): Buffer {
  if ((flags & flagCompressed) === 0) return body;
  let message: string;
  try {
    const opened = openCompressed(readCompressedBatch(body, 0, body.length));
    if (opened.ok) return opened.plain;
    ({ message } = opened);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    ({ message } = error);
  }
  throw new BrokerError('DATA_LOSS', `a stored batch does not open: ${message}; check the volume`);
}

/**
 * The stated key hashes of the records [fromIndex, toIndex) of a stored compressed batch, without opening it; 0 for a
 * record without a key (and for one of 2^32 keys, which then has no order).
 */
export function statedKeyHashes(body: Buffer, fromIndex: number, toIndex: number): Uint32Array {
  const stated = readCompressedBatch(body, 0, body.length).keyHashes;
  const hashes = new Uint32Array(toIndex - fromIndex);
  for (let i = 0; i < hashes.length; i++) hashes[i] = stated.readUInt32LE(4 * (fromIndex + i));
  return hashes;
}

function readNumber(reader: WireReader): number {
  const start = reader.position;
  const value = reader.uint32();
  if (reader.position - start > numberBytesMax) throw new WireError('a number of too many bytes');
  return value;
}

function readBytes(reader: WireReader): Buffer {
  const length = readNumber(reader);
  const start = reader.position;
  if (length > reader.end - start) throw new WireError('a field that reaches past the end');
  reader.position += length;
  return Buffer.from(reader.bytes.buffer, reader.bytes.byteOffset + start, length);
}
