// Walks, cuts and splits the records of a plain batch. The batch has been scanned: its bytes are canonical.
//
// Invariant: any run of whole `records` fields of a plain batch is itself a valid batch, so cutting is `subarray`.
import { murmur3 } from '../../proto/wire/murmur3.ts';
import { WireReader, wireBytes } from '../../proto/wire/reader.ts';
import { assert } from '../core/assert.ts';

const recordsTag = (1 << 3) | wireBytes;
const keyTag = (1 << 3) | wireBytes;

/** Finds byte positions of record boundaries, going forward from where it stopped. */
export class RecordCursor {
  private at = 0;
  private record = 0;

  /** Index of the record that it stands before. */
  get index(): number {
    return this.record;
  }

  /** Byte position before the record of the given index; the body's end for the index after the last one. */
  seek(body: Uint8Array, index: number): number {
    assert(
      index >= this.record,
      `a record cursor goes forward, not from ${this.record} to ${index}`,
    );
    let { at } = this;
    for (; this.record < index; this.record++) at = recordEnd(body, at);
    this.at = at;
    return at;
  }
}

/** The records from one index up to another (exclusive) as a batch; a view. */
export function sliceRecords(body: Buffer, fromIndex: number, toIndex: number): Buffer {
  const cursor = new RecordCursor();
  const start = cursor.seek(body, fromIndex);
  return body.subarray(start, cursor.seek(body, toIndex));
}

export interface PartitionSlice {
  readonly bytes: Buffer;
  readonly recordCount: number;
}

/**
 * The records of a batch by partition: murmur3-32 of the key modulo the partition count. A record without a key goes
 * where the batch's first record goes; if that one has no key either, to partition 0. Order is kept.
 */
export function splitByPartition(
  body: Buffer,
  partitionCount: number,
): ReadonlyMap<number, PartitionSlice> {
  const parts = new Map<number, { pieces: Buffer[]; recordCount: number }>();
  let keyless: number | undefined;
  for (let at = 0; at < body.length;) {
    const end = recordEnd(body, at);
    const hash = keyHash(body, at);
    const partition = hash === undefined ? (keyless ?? 0) : hash % partitionCount;
    keyless ??= partition;
    const part = parts.get(partition) ?? { pieces: [], recordCount: 0 };
    part.pieces.push(body.subarray(at, end));
    part.recordCount++;
    parts.set(partition, part);
    at = end;
  }
  const joined = new Map<number, PartitionSlice>();
  for (const [partition, { pieces, recordCount }] of parts) {
    joined.set(partition, { bytes: Buffer.concat(pieces), recordCount });
  }
  return joined;
}

/**
 * murmur3-32 of the keys of the records [fromIndex, toIndex); 0 for a record without a key. A key whose hash is 0 gets
 * 1: it shares a lock, but keeps its order.
 */
export function keyHashes(body: Buffer, fromIndex: number, toIndex: number): Uint32Array {
  const hashes = new Uint32Array(toIndex - fromIndex);
  let at = new RecordCursor().seek(body, fromIndex);
  for (let i = 0; i < hashes.length; i++) {
    const hash = keyHash(body, at);
    if (hash !== undefined) hashes[i] = hash === 0 ? 1 : hash;
    at = recordEnd(body, at);
  }
  return hashes;
}

function recordEnd(body: Uint8Array, at: number): number {
  assert(body[at] === recordsTag, `byte ${at} of a plain batch begins a record`);
  let length = 0;
  let scale = 1;
  let position = at + 1;
  for (;;) {
    const byte = body[position++] as number;
    length += (byte & 0x7f) * scale;
    if (byte < 0x80) break;
    scale *= 128;
  }
  assert(position + length <= body.length, 'a record ends within its batch');
  return position + length;
}

/** Undefined for a record without a key, or with an empty one. */
function keyHash(body: Uint8Array, at: number): number | undefined {
  const reader = new WireReader(body, at + 1);
  const end = reader.delimited();
  while (reader.position < end) {
    const tag = reader.tag();
    if (tag !== keyTag) {
      reader.skip(tag & 7);
      continue;
    }
    const keyEnd = reader.delimited();
    return keyEnd > reader.position ? murmur3(body, reader.position, keyEnd) : undefined;
  }
  return undefined;
}
