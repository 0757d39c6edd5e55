// What a scan of a batch answers: what is in it, or why it is refused. A refusal is an expected outcome, not an error.

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

export function refused(reason: ScanReason, message: string): RefusedBatch {
  return { ok: false, reason, message };
}

/** `at` counts from the first byte of the batch. */
export function notCanonical(at: number, what: string): RefusedBatch {
  return refused(
    'BATCH_NOT_CANONICAL',
    `${what} (near byte ${at}); encode the batch with code generated from the proto files`,
  );
}

export function tooLarge(bytes: number, bytesMax: number): RefusedBatch {
  return refused(
    'BATCH_TOO_LARGE',
    `a batch of ${bytes} bytes is over the topic's ${bytesMax}; send smaller ones or raise batch_bytes_max`,
  );
}
