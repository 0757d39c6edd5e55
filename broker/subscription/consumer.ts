// The port through which a subscription hands records to whoever consumes it. The gRPC session implements it.

/** A run of records of one batch, handed over. */
export interface HandOver {
  /** Index of the partition in its topic. */
  readonly partition: number;
  /** Offset of the first record in `batch`. */
  readonly baseOffset: number;
  readonly appendTimeMs: number;
  readonly epoch: number;
  /** From 1; 0 for streams. */
  readonly attempt: number;
  /** 0 for streams. */
  readonly lease: number;
  /** Inclusive pairs of record indexes, flattened; empty: all records of the batch. */
  readonly selected: readonly number[];
  readonly batch: Uint8Array;
  /** How many records are handed over. */
  readonly recordCount: number;
}

/** Why a subscription delivers nothing although it has a backlog. */
export type BlockedReason =
  | 'no_consumers'
  | 'no_credit'
  | 'delayed'
  | 'unacked_limit'
  | 'paused'
  | 'cold_read_failing'
  | 'key_busy'
  | 'throttled'
  | 'dead_letter_failing'
  | 'data_loss';

export interface Consumer {
  /** Unique in this process, from 1; never given again. */
  readonly number: number;
  readonly name: string;
  /** Records it may still be handed; 0 also when it is out of bytes or its output is full. */
  creditRecords(): number;
  /** Takes the records' credit. */
  deliver(records: HandOver): void;
  /** Offsets that will never come: retention removed them. Streams only. */
  gap(partition: number, firstOffset: number, lastOffset: number): void;
  leaseLost(partition: number, lease: number): void;
  /** Streams: the partitions it is active on now. */
  assigned(partitions: readonly number[]): void;
  /** Nothing is delivered for a reason that will last; empty: deliveries go on. */
  blocked(reasons: readonly BlockedReason[]): void;
  /** The subscription is gone; the consumer's stream ends with the error. */
  ended(error: Error): void;
}

/** One thing a consumer says about records it was handed. */
export interface Settlement {
  readonly firstOffset: number;
  readonly lastOffset: number;
  readonly verb: 'ack' | 'nack' | 'extend' | 'return' | 'cumulative' | 'reject';
  /** 0: not stated. */
  readonly lease: number;
  readonly delayMs: number;
  /** Of a nack or a reject: what went wrong; empty: not stated. */
  readonly reason: string;
}

/** Why a settlement did not count. */
export type SettlementFailure = 'lease_lost' | 'invalid' | 'wrong_verb' | 'outbox_full';

export interface PartitionStatus {
  readonly ackedOffset: number;
  readonly endOffset: number;
  readonly ready: number;
  readonly inFlight: number;
  readonly waiting: number;
  /** Held back until its delivery time. */
  readonly delayed: number;
  readonly dead: number;
  readonly deadLetteredTotal: number;
  readonly droppedTotal: number;
  readonly expiredTotal: number;
  /** Append time of the oldest record that is not acked; 0: all are. */
  readonly oldestUnackedMs: number;
  readonly ackedAbove: number;
  /** What is behind a reason that is a failure; empty: none. */
  readonly blockDetail: string;
  readonly blocked: readonly BlockedReason[];
}
