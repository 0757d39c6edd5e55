// A record that was encoded before its batch is known: the application may change what it handed over.
import type { RecordEncoder } from '../records/encode-record.ts';
import type { PublishRecord } from '../records/record.ts';
import { termsOf, type BatchTerms } from './batch-terms.ts';

/** The bytes of a `records` field, and what chooses the partition. */
export interface EncodedRecord {
  readonly bytes: Buffer;
  readonly partition: number | undefined;
  readonly keyHash: number | undefined;
  readonly terms: BatchTerms | undefined;
}

/** Throws RECORD_INVALID. */
export function encodeRecord(encoder: RecordEncoder, record: PublishRecord): EncodedRecord {
  const terms = termsOf(record);
  const bytes = Buffer.allocUnsafe(encoder.measure(record));
  const keyHash = encoder.keyHash();
  encoder.encode(bytes, 0);
  return { bytes, partition: record.partition, keyHash, terms };
}
