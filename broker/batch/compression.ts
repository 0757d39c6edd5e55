// Opens what a publisher compressed: one gzip member or one zstd frame that fills its field exactly.
//
// Invariants:
// - Never more than the stated size is opened, and never less is answered.
// - Nothing stands before, between or after: some decoders join further members and frames, some ignore what follows
//   the first, some fail; they would read different records.
import { constants, gunzipSync, zstdDecompressSync } from 'node:zlib';
import { refused, type RefusedBatch } from './scan-outcome.ts';
import { isOneZstdFrame } from './zstd-frame.ts';

/** Numbers of millrace.v1.Compression. The batch layer reads wire bytes; it does not import generated code. */
export const compressions = { gzip: 1, zstd: 2 } as const;

/**
 * Largest window of a zstd frame, as a power of two: 8 MiB is what RFC 8878 asks every decoder to support, and more
 * than a batch can use. Without it a frame of a few bytes may ask for 128 MiB.
 */
const zstdWindowLogMax = 23;
/** Smallest output buffer that zlib accepts. */
const chunkBytesMin = 64;

export interface OpenedBatch {
  readonly ok: true;
  readonly plain: Buffer;
}

interface CompressedRecords {
  readonly compression: number;
  readonly records: Buffer;
  readonly openedBytes: number;
}

/** Costs about 0.8 ms (zstd) or 1.3 ms (gzip) a MiB; the caller bounds `openedBytes`. */
export function openCompressed(batch: CompressedRecords): OpenedBatch | RefusedBatch {
  const { compression, openedBytes } = batch;
  if (compression !== compressions.gzip && compression !== compressions.zstd) {
    return invalid(`there is no compression ${compression}; use gzip (1) or zstd (2)`);
  }
  let plain: Buffer;
  try {
    if (compression === compressions.gzip) plain = openGzip(batch);
    else if (isOneZstdFrame(batch.records)) plain = openZstd(batch);
    else return invalid('compressed_records is not one whole zstd frame; send exactly one');
  } catch (error) {
    return openFault(error, openedBytes);
  }
  if (plain.length === openedBytes) return { ok: true, plain };
  return refused(
    'BATCH_COUNT_MISMATCH',
    `a compressed batch opens to ${plain.length} bytes and states ${openedBytes}`,
  );
}

function openGzip({ records, openedBytes }: CompressedRecords): Buffer {
  return gunzipSync(records, { ...outputBounds(openedBytes), rejectGarbageAfterEnd: true });
}

function openZstd({ records, openedBytes }: CompressedRecords): Buffer {
  const params = { [constants.ZSTD_d_windowLogMax]: zstdWindowLogMax };
  return zstdDecompressSync(records, { ...outputBounds(openedBytes), params });
}

/** One output buffer with a byte to spare, so that the end is seen without a second one. */
function outputBounds(openedBytes: number): { maxOutputLength: number; chunkSize: number } {
  return {
    maxOutputLength: Math.max(openedBytes, 1),
    chunkSize: Math.max(openedBytes + 1, chunkBytesMin),
  };
}

function openFault(error: unknown, openedBytes: number): RefusedBatch {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === 'ERR_BUFFER_TOO_LARGE') {
    return refused(
      'BATCH_COUNT_MISMATCH',
      `a compressed batch opens to more than the ${openedBytes} bytes that it states`,
    );
  }
  if (code === 'ERR_TRAILING_JUNK_AFTER_STREAM_END') {
    return invalid('something follows the gzip member in compressed_records; send exactly one');
  }
  if (!/^(Z|ZSTD)_/.test(code)) throw error;
  return invalid(`compressed_records cannot be opened: ${code}`);
}

function invalid(message: string): RefusedBatch {
  return refused('COMPRESSION_INVALID', message);
}
