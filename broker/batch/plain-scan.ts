// The validating scan of a plain batch: `records` fields and nothing else, checked at every depth.
//
// Invariants:
// - A tag is one byte: longer forms of it are legal protobuf, but nobody writes them.
// - A length takes up to 5 bytes, a timestamp up to 10, in minimal form or not: every decoder reads those alike.
// - Nothing is allocated per record or header; no byte outside [start, end) is read.
//
// Hot: 64 KiB of 100-byte records take 18 us (35 M records/s), 22 us with keys; 419 records with two headers 38 us.
import { murmur3 } from '../../proto/wire/murmur3.ts';
import { wireBytes, wireVarint } from '../../proto/wire/reader.ts';
import { limits } from '../core/limits.ts';
import { notCanonical, refused, type BatchScan, type RefusedBatch } from './scan-outcome.ts';

export const recordsTag = (1 << 3) | wireBytes;
const keyTag = (1 << 3) | wireBytes;
const valueTag = (2 << 3) | wireBytes;
const timestampTag = (3 << 3) | wireVarint;
const headerTag = (4 << 3) | wireBytes;
const headerNameTag = (1 << 3) | wireBytes;
const headerValueTag = (2 << 3) | wireBytes;

/** Scans the bytes from `start` to `end`; with `keyHashes` (empty: no record has a key) every key must fit its hash. */
export function scanPlain(
  bytes: Uint8Array,
  start: number,
  end: number,
  keyHashes: Buffer | undefined,
): BatchScan {
  const cursor = new ScanCursor(bytes, start);
  let recordCount = 0;
  let keyed = false;
  while (cursor.at < end) {
    if (bytes[cursor.at++] !== recordsTag) {
      return notCanonical(cursor.at - 1 - start, 'a plain batch has records only');
    }
    const recordEnd = cursor.fieldEnd(end);
    if (recordEnd < 0) return notCanonical(cursor.at - start, 'a record reaches past its batch');
    const fault = scanRecord(cursor, recordEnd);
    if (fault !== undefined) return fault;
    keyed ||= cursor.keyEnd > cursor.keyStart;
    if (keyHashes !== undefined && !hashFits(keyHashes, recordCount, cursor)) {
      return refused(
        'BATCH_NOT_CANONICAL',
        `key_hashes do not fit the key of record ${recordCount}; use murmur3-32 with seed 0`,
      );
    }
    if (++recordCount > limits.recordsPerBatchMax) return tooManyRecords();
  }
  return { ok: true, recordCount, compressed: false, keyed };
}

export function tooManyRecords(): RefusedBatch {
  return refused(
    'BATCH_TOO_LARGE',
    `a batch has more than ${limits.recordsPerBatchMax} records; send smaller ones`,
  );
}

/** Position of one scan, and what it found last: results through fields, so that nothing is allocated per record. */
class ScanCursor {
  readonly bytes: Uint8Array;
  readonly start: number;
  at: number;
  /** Key of the record scanned last; empty when it has none. */
  keyStart = 0;
  keyEnd = 0;
  /** Bytes of name and value of the header scanned last. */
  headerBytes = 0;

  constructor(bytes: Uint8Array, start: number) {
    this.bytes = bytes;
    this.start = start;
    this.at = start;
  }

  /** Reads a length; answers where the field ends, or -1 when it is no length within `limit`. */
  fieldEnd(limit: number): number {
    const { bytes } = this;
    let { at } = this;
    if (at >= limit) return -1;
    let byte = bytes[at++] as number;
    let length = byte & 0x7f;
    for (let scale = 128; byte >= 0x80; scale *= 128) {
      if (at >= limit || scale > 2 ** 28) return -1;
      byte = bytes[at++] as number;
      length += (byte & 0x7f) * scale;
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

  notCanonical(what: string): RefusedBatch {
    return notCanonical(this.at - this.start, what);
  }
}

/** Scans one record's fields up to `end`. */
function scanRecord(cursor: ScanCursor, end: number): RefusedBatch | undefined {
  const { bytes } = cursor;
  let seen = 0;
  let headerCount = 0;
  let headersBytes = 0;
  cursor.keyStart = 0;
  cursor.keyEnd = 0;
  while (cursor.at < end) {
    const tag = bytes[cursor.at++] as number;
    if (tag === headerTag) {
      const fault = scanHeader(cursor, end);
      if (fault !== undefined) return fault;
      headersBytes += cursor.headerBytes;
      headerCount++;
      if (headerCount > limits.headersPerRecordMax || headersBytes > limits.headersBytesMax) {
        return tooManyHeaders();
      }
      continue;
    }
    // Fields 1 to 15 have their own bit; higher ones are unknown, whatever bit they share.
    const bit = 1 << (tag >>> 3);
    if ((seen & bit) !== 0) return cursor.notCanonical('a field of a record occurs twice');
    seen |= bit;
    if (tag === valueTag || tag === keyTag) {
      const fieldEnd = cursor.fieldEnd(end);
      if (fieldEnd < 0) return cursor.notCanonical('a field reaches past its record');
      if (tag === keyTag) {
        if (fieldEnd - cursor.at > limits.keyBytesMax) return keyTooLong();
        cursor.keyStart = cursor.at;
        cursor.keyEnd = fieldEnd;
      }
      cursor.at = fieldEnd;
    } else if (tag === timestampTag) {
      if (!cursor.skipVarint(end)) {
        return cursor.notCanonical('a timestamp is no number below 2^53');
      }
    } else return cursor.notCanonical('a record has an unknown field or a wrong wire type');
  }
  return undefined;
}

/** Scans a header whose tag was read; `recordEnd` bounds it. */
function scanHeader(cursor: ScanCursor, recordEnd: number): RefusedBatch | undefined {
  const { bytes } = cursor;
  const end = cursor.fieldEnd(recordEnd);
  if (end < 0) return cursor.notCanonical('a header reaches past its record');
  let nameBytes = 0;
  let valueBytes = 0;
  let seen = 0;
  while (cursor.at < end) {
    const tag = bytes[cursor.at++] as number;
    const bit = tag === headerNameTag ? 1 : tag === headerValueTag ? 2 : 0;
    if (bit === 0) {
      return cursor.notCanonical('a header has an unknown field or a wrong wire type');
    }
    if ((seen & bit) !== 0) return cursor.notCanonical('a field of a header occurs twice');
    seen |= bit;
    const fieldEnd = cursor.fieldEnd(end);
    if (fieldEnd < 0) return cursor.notCanonical('a field reaches past its header');
    if (bit === 1) {
      nameBytes = fieldEnd - cursor.at;
      if (!isHeaderName(bytes, cursor.at, fieldEnd)) return badHeaderName();
    } else valueBytes = fieldEnd - cursor.at;
    cursor.at = fieldEnd;
  }
  if (nameBytes === 0) return badHeaderName();
  cursor.headerBytes = nameBytes + valueBytes;
  return undefined;
}

const reservedPrefix = Buffer.from('millrace-');

function isHeaderName(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start > limits.headerNameBytesMax) return false;
  let at = start;
  while (at < end && bytes[at] === reservedPrefix[at - start]) at++;
  if (at - start === reservedPrefix.length) return false;
  for (; at < end; at++) {
    const byte = bytes[at] as number;
    if (byte < 0x20 || byte > 0x7e) return false;
  }
  return true;
}

/** A record past the stated ones fits: its batch is refused for its count. */
function hashFits(hashes: Buffer, index: number, { bytes, keyStart, keyEnd }: ScanCursor): boolean {
  if (hashes.length === 0) return keyEnd === keyStart;
  if (index * 4 + 4 > hashes.length) return true;
  return hashes.readUInt32LE(index * 4) === murmur3(bytes, keyStart, keyEnd);
}

function keyTooLong(): RefusedBatch {
  return refused('RECORD_INVALID', `a key has at most ${limits.keyBytesMax} bytes; hash or cut it`);
}

function tooManyHeaders(): RefusedBatch {
  return refused(
    'RECORD_INVALID',
    `a record has at most ${limits.headersPerRecordMax} headers of ${limits.headersBytesMax} bytes in all`,
  );
}

function badHeaderName(): RefusedBatch {
  return refused(
    'RECORD_INVALID',
    `a header name has 1 to ${limits.headerNameBytesMax} printable ASCII bytes and does not begin with "millrace-"`,
  );
}
