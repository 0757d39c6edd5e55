// The validating scan of a compressed batch: its fields, then, opened once, the plain batch inside.
//
// Invariant: count, opened size and key hashes of an admitted batch are never a lie: readers rely on them unopened.
import { limits } from '../core/limits.ts';
import { WireError } from '../../proto/wire/reader.ts';
import { readCompressedBatch, type CompressedBatch } from './compressed-batch.ts';
import { openCompressed } from './compression.ts';
import { scanPlain, tooManyRecords } from './plain-scan.ts';
import { refused, tooLarge, type BatchScan, type RefusedBatch } from './scan-outcome.ts';

export function scanCompressed(
  bytes: Uint8Array,
  start: number,
  end: number,
  batchBytesMax: number,
): BatchScan {
  let batch: CompressedBatch;
  try {
    batch = readCompressedBatch(bytes, start, end);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return refused(
      'BATCH_NOT_CANONICAL',
      `${error.message} in a compressed batch; encode it with code generated from the proto files`,
    );
  }
  const fault = statedFault(batch, batchBytesMax);
  if (fault !== undefined) return fault;
  const opened = openCompressed(batch);
  if (!opened.ok) return opened;
  const { recordCount, keyHashes } = batch;
  const scan = scanPlain(opened.plain, 0, opened.plain.length, keyHashes);
  if (!scan.ok) return scan;
  if (scan.recordCount !== recordCount) {
    return refused(
      'BATCH_COUNT_MISMATCH',
      `a compressed batch holds ${scan.recordCount} records and states ${recordCount}`,
    );
  }
  return { ok: true, recordCount, compressed: true, keyed: scan.keyed };
}

/** What is wrong with the stated numbers, before anything is opened. */
function statedFault(batch: CompressedBatch, batchBytesMax: number): RefusedBatch | undefined {
  const { records, recordCount, openedBytes, keyHashes } = batch;
  if (records.length === 0 || recordCount === 0) {
    return refused('BATCH_EMPTY', 'a compressed batch has compressed_records and a record_count');
  }
  if (recordCount > limits.recordsPerBatchMax) return tooManyRecords();
  if (openedBytes > batchBytesMax) return tooLarge(openedBytes, batchBytesMax);
  if (keyHashes.length !== 0 && keyHashes.length !== recordCount * 4) {
    return refused(
      'BATCH_COUNT_MISMATCH',
      `key_hashes has ${keyHashes.length} bytes for ${recordCount} records; send 4 bytes for each, or none`,
    );
  }
  return undefined;
}
