// Decides whether bytes are a canonical RecordBatch, and what is in it. The rules: proto/millrace/v1/record.proto.
//
// Invariant: what is admitted here, every protobuf decoder reads as the same records (property test with two of them).
import { scanCompressed } from './compressed-scan.ts';
import { recordsTag, scanPlain } from './plain-scan.ts';
import { refused, tooLarge, type BatchScan } from './scan-outcome.ts';

export type { BatchScan, RefusedBatch, ScannedBatch, ScanReason } from './scan-outcome.ts';

/** The bytes from `start` to `end` as a batch of a topic with the given limit. */
export function scanBatch(
  bytes: Uint8Array,
  start: number,
  end: number,
  batchBytesMax: number,
): BatchScan {
  if (start >= end) return refused('BATCH_EMPTY', 'a batch has at least one record');
  if (end - start > batchBytesMax) return tooLarge(end - start, batchBytesMax);
  if (bytes[start] === recordsTag) return scanPlain(bytes, start, end, undefined);
  return scanCompressed(bytes, start, end, batchBytesMax);
}
