// Decides whether bytes are a canonical RecordBatch, and what is in it. The rules: proto/millrace/v1/record.proto.
//
// Invariants:
// - What is admitted here, every protobuf decoder reads as the same records (property test with two of them).
// - Nothing is allocated per record; no byte outside [start, end) is read.
// - A compressed batch is opened once, bounded by the size it states, and what it holds is scanned like a plain one:
//   a stored count is never a lie.
import { limits } from '../core/limits.ts';
import { murmur3 } from '../../proto/wire/murmur3.ts';
import { WireError, WireReader, wireBytes, wireVarint } from '../../proto/wire/reader.ts';
import { Compression } from './compression.ts';
import { openCompressed } from './records.ts';

export type ScanReason =
  | 'BATCH_EMPTY'
  | 'BATCH_NOT_CANONICAL'
  | 'BATCH_TOO_LARGE'
  | 'BATCH_COUNT_MISMATCH'
  | 'RECORD_INVALID'
  | 'COMPRESSION_INVALID';

export interface ScannedBatch {
  readonly ok: true;
  readonly recordCount: number;
  readonly compressed: boolean;
  /** Some record has a key. */
  readonly keyed: boolean;
}

export interface RefusedBatch {
  readonly ok: false;
  readonly reason: ScanReason;
  readonly message: string;
}

export type BatchScan = ScannedBatch | RefusedBatch;

const recordsTag = (1 << 3) | wireBytes;
const keyTag = (1 << 3) | wireBytes;
const valueTag = (2 << 3) | wireBytes;
const timestampTag = (3 << 3) | wireVarint;
const headerTag = (4 << 3) | wireBytes;
const headerNameTag = (1 << 3) | wireBytes;
const headerValueTag = (2 << 3) | wireBytes;

/** The bytes from `start` to `end` as a batch of a topic with the given limit. */
export function scanBatch(
  bytes: Uint8Array,
  start: number,
  end: number,
  batchBytesMax: number,
): BatchScan {
  if (start >= end) return refused('BATCH_EMPTY', 'a batch has at least one record');
  if (end - start > batchBytesMax) return tooLarge(end - start, batchBytesMax);
  if (bytes[start] !== recordsTag) return scanCompressed(bytes, start, end, batchBytesMax);
  return scanPlain(bytes, start, end, undefined);
}

/** State of one plain scan; its length reader answers through fields, so that nothing is allocated per record. */
class Cursor {
  readonly bytes: Uint8Array;
  at: number;
  fault: RefusedBatch | undefined;

  constructor(bytes: Uint8Array, at: number) {
    this.bytes = bytes;
    this.at = at;
  }

  /** Reads a length; answers where the field ends, or -1 when it is no length within `limit`. */
  fieldEnd(limit: number): number {
    const { bytes } = this;
    let { at } = this;
    let byte = at < limit ? (bytes[at++] as number) : 0x80;
    let length = byte & 0x7f;
    for (let shift = 7; byte >= 0x80; shift += 7) {
      if (at >= limit || shift > 28) return -1;
      byte = bytes[at++] as number;
      length += (byte & 0x7f) * 2 ** shift;
    }
    this.at = at;
    const end = at + length;
    return end > limit ? -1 : end;
  }

  /** Skips a varint below 2^53, of at most 10 bytes; false when it is none. */
  skipVarint(limit: number): boolean {
    const { bytes } = this;
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 10 && this.at < limit; i++) {
      const byte = bytes[this.at++] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value <= Number.MAX_SAFE_INTEGER;
      scale *= 128;
    }
    return false;
  }
}

/** Where key hashes are compared while an opened batch is scanned. */
interface HashCheck {
  readonly hashes: Buffer;
  /** No record may have a key. */
  readonly none: boolean;
}

function scanPlain(
  bytes: Uint8Array,
  start: number,
  end: number,
  check: HashCheck | undefined,
): BatchScan {
  const cursor = new Cursor(bytes, start);
  let recordCount = 0;
  let keyed = false;
  while (cursor.at < end) {
    if (bytes[cursor.at++] !== recordsTag) {
      return notCanonical(cursor.at - 1 - start, 'a plain batch has records only');
    }
    const recordEnd = cursor.fieldEnd(end);
    if (recordEnd < 0) return notCanonical(cursor.at - start, 'a record reaches past its batch');
    const keyAt = scanRecord(cursor, recordEnd);
    if (keyAt === faulty) return cursor.fault ?? notCanonical(cursor.at - start, 'bad record');
    keyed ||= keyAt >= 0;
    if (check !== undefined && !hashAgrees(check, bytes, recordCount, keyAt)) {
      return refused(
        'BATCH_NOT_CANONICAL',
        `key_hashes do not fit the key of record ${recordCount}; use murmur3-32 with seed 0`,
      );
    }
    if (++recordCount > limits.recordsPerBatchMax) {
      return refused(
        'BATCH_TOO_LARGE',
        `a batch has more than ${limits.recordsPerBatchMax} records; send smaller ones`,
      );
    }
  }
  return { ok: true, recordCount, compressed: false, keyed };
}

/** Result of scanRecord: a fault; otherwise the position of the key's length, or `keyless`. */
const faulty = -2;
const keyless = -1;

/** Scans one record's fields up to `end`. Answers where its key's length stands, `keyless`, or `faulty`. */
function scanRecord(cursor: Cursor, end: number): number {
  const { bytes } = cursor;
  let keyAt = keyless;
  let seen = 0;
  let headerCount = 0;
  let headerBytes = 0;
  while (cursor.at < end) {
    const tag = bytes[cursor.at++] as number;
    if (tag === headerTag) {
      const headerEnd = cursor.fieldEnd(end);
      if (headerEnd < 0) return fail(cursor, 'a header reaches past its record');
      const counted = scanHeader(cursor, headerEnd);
      if (counted < 0) return faulty;
      headerBytes += counted;
      if (++headerCount > limits.headersPerRecordMax || headerBytes > limits.headersBytesMax) {
        return failRecord(
          cursor,
          `a record has at most ${limits.headersPerRecordMax} headers of ${limits.headersBytesMax} bytes in all`,
        );
      }
      continue;
    }
    const bit = 1 << (tag >>> 3);
    if ((seen & bit) !== 0) return fail(cursor, 'a field of a record occurs twice');
    seen |= bit;
    if (tag === valueTag || tag === keyTag) {
      const lengthAt = cursor.at;
      const fieldEnd = cursor.fieldEnd(end);
      if (fieldEnd < 0) return fail(cursor, 'a field reaches past its record');
      if (tag === keyTag) {
        const keyBytes = fieldEnd - cursor.at;
        if (keyBytes > limits.keyBytesMax) {
          return failRecord(cursor, `a key has at most ${limits.keyBytesMax} bytes`);
        }
        if (keyBytes > 0) keyAt = lengthAt;
      }
      cursor.at = fieldEnd;
    } else if (tag === timestampTag) {
      if (!cursor.skipVarint(end)) return fail(cursor, 'a timestamp is no number below 2^53');
    } else return fail(cursor, 'a record has an unknown field or a wrong wire type');
  }
  return keyAt;
}

/** Answers the bytes of name and value, or -1 after a fault. */
function scanHeader(cursor: Cursor, end: number): number {
  const { bytes } = cursor;
  let nameBytes = 0;
  let valueBytes = 0;
  let seen = 0;
  while (cursor.at < end) {
    const tag = bytes[cursor.at++] as number;
    const bit = tag === headerNameTag ? 1 : tag === headerValueTag ? 2 : 0;
    if (bit === 0) return fail(cursor, 'a header has an unknown field or a wrong wire type');
    if ((seen & bit) !== 0) return fail(cursor, 'a field of a header occurs twice');
    seen |= bit;
    const fieldEnd = cursor.fieldEnd(end);
    if (fieldEnd < 0) return fail(cursor, 'a field reaches past its header');
    if (bit === 1) {
      nameBytes = fieldEnd - cursor.at;
      if (!isHeaderName(bytes, cursor.at, fieldEnd)) return failHeaderName(cursor);
    } else valueBytes = fieldEnd - cursor.at;
    cursor.at = fieldEnd;
  }
  if (nameBytes === 0) return failHeaderName(cursor);
  return nameBytes + valueBytes;
}

const reservedPrefix = Buffer.from('millrace-');

function isHeaderName(bytes: Uint8Array, start: number, end: number): boolean {
  if (end === start || end - start > limits.headerNameBytesMax) return false;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number;
    if (byte < 0x20 || byte > 0x7e) return false;
  }
  return !reservedPrefix.every((byte, i) => start + i < end && bytes[start + i] === byte);
}

function hashAgrees(check: HashCheck, bytes: Uint8Array, index: number, keyAt: number): boolean {
  if (check.none) return keyAt < 0;
  if (index * 4 + 4 > check.hashes.length) return true;
  const stated = check.hashes.readUInt32LE(index * 4);
  if (keyAt < 0) return stated === 0;
  const reader = new WireReader(bytes, keyAt);
  const keyEnd = reader.delimited();
  return stated === murmur3(bytes, reader.position, keyEnd);
}

interface CompressedFields {
  compression: number;
  records: Uint8Array | undefined;
  recordCount: number;
  openedBytes: number;
  keyHashes: Uint8Array | undefined;
}

function scanCompressed(
  bytes: Uint8Array,
  start: number,
  end: number,
  batchBytesMax: number,
): BatchScan {
  let fields: CompressedFields;
  try {
    fields = readCompressed(new WireReader(bytes, start, end));
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return refused('BATCH_NOT_CANONICAL', `${error.message} in a compressed batch`);
  }
  const { compression, records, recordCount, openedBytes } = fields;
  if (compression !== Compression.gzip && compression !== Compression.zstd) {
    return refused(
      'COMPRESSION_INVALID',
      `there is no compression ${compression}; use gzip or zstd`,
    );
  }
  if (records === undefined || records.length === 0 || recordCount === 0) {
    return refused('BATCH_EMPTY', 'a compressed batch has compressed_records and a record_count');
  }
  if (openedBytes > batchBytesMax) return tooLarge(openedBytes, batchBytesMax);
  const hashes = Buffer.from(fields.keyHashes ?? []);
  if (hashes.length !== 0 && hashes.length !== recordCount * 4) {
    return refused(
      'BATCH_COUNT_MISMATCH',
      `key_hashes has ${hashes.length} bytes for ${recordCount} records; send 4 bytes for each, or none`,
    );
  }
  return scanOpened(fields, records, { hashes, none: hashes.length === 0 });
}

function scanOpened(fields: CompressedFields, records: Uint8Array, check: HashCheck): BatchScan {
  const { compression, recordCount, openedBytes } = fields;
  let opened: Buffer;
  try {
    opened = openCompressed(compression, records, Math.max(openedBytes, 1));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'not readable';
    if (code === 'ERR_BUFFER_TOO_LARGE') {
      return refused(
        'BATCH_COUNT_MISMATCH',
        `a compressed batch opens to more than the ${openedBytes} bytes that it states`,
      );
    }
    return refused('COMPRESSION_INVALID', `compressed_records cannot be opened: ${code}`);
  }
  if (opened.length !== openedBytes) {
    return refused(
      'BATCH_COUNT_MISMATCH',
      `a compressed batch opens to ${opened.length} bytes and states ${openedBytes}`,
    );
  }
  const scan = scanPlain(opened, 0, opened.length, check);
  if (!scan.ok) return scan;
  if (scan.recordCount !== recordCount) {
    return refused(
      'BATCH_COUNT_MISMATCH',
      `a compressed batch holds ${scan.recordCount} records and states ${recordCount}`,
    );
  }
  return { ok: true, recordCount, compressed: true, keyed: scan.keyed };
}

function readCompressed(reader: WireReader): CompressedFields {
  const fields: CompressedFields = {
    compression: 0,
    records: undefined,
    recordCount: 0,
    openedBytes: 0,
    keyHashes: undefined,
  };
  let seen = 0;
  while (!reader.done) {
    const tag = reader.tag();
    const bit = 1 << Math.min(tag >>> 3, 31);
    if ((seen & bit) !== 0) throw new WireError('a field occurs twice');
    seen |= bit;
    if (tag === ((2 << 3) | wireVarint)) fields.compression = reader.uint32();
    else if (tag === ((3 << 3) | wireBytes)) fields.records = reader.view();
    else if (tag === ((4 << 3) | wireVarint)) fields.recordCount = reader.uint32();
    else if (tag === ((5 << 3) | wireVarint)) fields.openedBytes = reader.uint32();
    else if (tag === ((6 << 3) | wireBytes)) fields.keyHashes = reader.view();
    else throw new WireError('an unknown field, or plain records beside compressed ones,');
  }
  return fields;
}

function fail(cursor: Cursor, what: string): typeof faulty {
  cursor.fault = notCanonical(cursor.at, what);
  return faulty;
}

function failRecord(cursor: Cursor, what: string): typeof faulty {
  cursor.fault = refused('RECORD_INVALID', what);
  return faulty;
}

function failHeaderName(cursor: Cursor): typeof faulty {
  return failRecord(
    cursor,
    `a header name has 1 to ${limits.headerNameBytesMax} printable ASCII bytes and does not begin with "millrace-"`,
  );
}

function refused(reason: ScanReason, message: string): RefusedBatch {
  return { ok: false, reason, message };
}

function notCanonical(at: number, what: string): RefusedBatch {
  return refused(
    'BATCH_NOT_CANONICAL',
    `${what} (near byte ${at}); encode the batch with code generated from the proto files`,
  );
}

function tooLarge(bytes: number, bytesMax: number): RefusedBatch {
  return refused(
    'BATCH_TOO_LARGE',
    `a batch of ${bytes} bytes is over the topic's ${bytesMax}; send smaller ones or raise batch_bytes_max`,
  );
}
