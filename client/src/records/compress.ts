// The compressed form of a RecordBatch: made by publishers, opened by readers.
import { gunzipSync, gzip, zstdCompress, zstdDecompressSync } from 'node:zlib';
import { promisify } from 'node:util';
import { murmur3 } from '../../../proto/wire/murmur3.ts';
import { WireError, WireReader, wireBytes, wireVarint } from '../../../proto/wire/reader.ts';
import { WireWriter } from '../../../proto/wire/writer.ts';
import { clientError, type MillraceError } from '../errors.ts';
import { headroomBytes, type BatchBody } from '../wire/append-frame.ts';

export type CompressionName = 'none' | 'gzip' | 'zstd';

const numbers = { gzip: 1, zstd: 2 } as const;
const gzipAsync = promisify(gzip);
const zstdAsync = promisify(zstdCompress);
const headroom = Buffer.alloc(headroomBytes);
const recordsTag = (1 << 3) | wireBytes;
const keyTag = (1 << 3) | wireBytes;

/** A plain batch in its compressed form; runs off the event loop. */
export async function compressBatch(
  { buffer, start, end }: BatchBody,
  recordCount: number,
  compression: 'gzip' | 'zstd',
): Promise<BatchBody> {
  const plain = buffer.subarray(start, end);
  const compressed = await (compression === 'gzip' ? gzipAsync(plain) : zstdAsync(plain));
  const writer = new WireWriter(headroomBytes + compressed.length + recordCount * 4 + 32);
  writer.raw(headroom);
  writer.uint(2, numbers[compression]);
  writer.bytes(3, compressed);
  writer.uint(4, recordCount);
  writer.uint(5, plain.length);
  const hashes = keyHashes(plain, recordCount);
  if (hashes !== undefined) writer.bytes(6, hashes);
  const written = writer.finish();
  return { buffer: written, start: headroomBytes, end: written.length };
}

/** The plain form of a batch; what is plain already comes back as it is. Throws BATCH_DAMAGED. */
export function openBatch(batch: Buffer): Buffer {
  if (isPlain(batch)) return batch;
  try {
    const { compression, bytes, openedBytes } = readCompressed(batch);
    // The stated size bounds what opening may take: a few bytes can hold gigabytes.
    const options = { maxOutputLength: Math.max(openedBytes, 1) };
    const plain =
      compression === 'gzip' ? gunzipSync(bytes, options) : zstdDecompressSync(bytes, options);
    if (plain.length === openedBytes) return plain;
    throw new WireError(`it has ${plain.length} bytes and states ${openedBytes}`);
  } catch (cause) {
    throw notOpened(cause);
  }
}

/** Records of a batch; a compressed one says how many. Throws BATCH_DAMAGED. */
export function statedRecordCount(batch: Buffer): number {
  try {
    if (!isPlain(batch)) return readCompressed(batch).recordCount;
    const reader = new WireReader(batch);
    let count = 0;
    for (; !reader.done; count++) {
      reader.tag();
      reader.position = reader.delimited();
    }
    return count;
  } catch (cause) {
    throw notOpened(cause);
  }
}

interface CompressedBatch {
  readonly compression: 'gzip' | 'zstd';
  readonly bytes: Uint8Array;
  readonly recordCount: number;
  readonly openedBytes: number;
}

function isPlain(batch: Buffer): boolean {
  return batch[0] === recordsTag;
}

function readCompressed(batch: Buffer): CompressedBatch {
  let number = 0;
  let bytes: Uint8Array | undefined;
  let recordCount = 0;
  let openedBytes = 0;
  const reader = new WireReader(batch);
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === ((2 << 3) | wireVarint)) number = reader.uint32();
    else if (tag === ((3 << 3) | wireBytes)) bytes = reader.view();
    else if (tag === ((4 << 3) | wireVarint)) recordCount = reader.uint32();
    else if (tag === ((5 << 3) | wireVarint)) openedBytes = reader.uint32();
    else reader.skip(tag & 7);
  }
  if (bytes === undefined) throw new WireError('there are no compressed bytes');
  if (number !== numbers.gzip && number !== numbers.zstd) {
    throw new WireError(`compression ${number} is not known to this client`);
  }
  const compression = number === numbers.gzip ? 'gzip' : 'zstd';
  return { compression, bytes, recordCount, openedBytes };
}

function notOpened(cause: unknown): MillraceError {
  const text = cause instanceof Error ? cause.message : String(cause);
  return clientError('BATCH_DAMAGED', `a delivered batch cannot be opened: ${text}`, { cause });
}

/** murmur3-32 of every record's key; undefined when none has one. */
function keyHashes(plain: Buffer, recordCount: number): Buffer | undefined {
  const hashes = Buffer.alloc(recordCount * 4);
  const reader = new WireReader(plain);
  let isKeyed = false;
  for (let i = 0; !reader.done; i++) {
    reader.tag();
    const end = reader.delimited();
    if (reader.position < end && plain[reader.position] === keyTag) {
      reader.position++;
      const keyEnd = reader.delimited();
      hashes.writeUInt32LE(murmur3(plain, reader.position, keyEnd), i * 4);
      isKeyed = true;
    }
    reader.position = end;
  }
  return isKeyed ? hashes : undefined;
}
