// A dead letter's record: the publisher's own, with headers that say where it comes from and why.
//
// Invariants:
// - key, value, timestamp and the publisher's headers stay as they were, byte by byte;
// - headers of an earlier life as a dead letter are replaced, but for how often it was redriven.
// Names of the headers: docs/dead-letters.md.
import type { StoredBatch } from '../log/stored-batch.ts';
import type { DeadLetter } from './outbox-state.ts';
import { redrivenHeader, withReservedHeaders } from './reserved-headers.ts';

export interface Origin {
  /** Full name. */
  readonly topic: string;
  readonly partition: number;
  readonly subscription: string;
}

/** A plain batch of one record. `batch` holds the letter's offset. Throws DATA_LOSS when it does not open. */
export function deadLetterRecord(batch: StoredBatch, letter: DeadLetter, origin: Origin): Buffer {
  const { header } = batch;
  const added = headersOf(letter, origin, header.epoch, header.appendTimeMs);
  return withReservedHeaders(batch.recordAt(letter.offset), added, [redrivenHeader]);
}

function headersOf(
  letter: DeadLetter,
  origin: Origin,
  epoch: number,
  appendTimeMs: number,
): Readonly<Record<string, string>> {
  return {
    'millrace-origin-topic': origin.topic,
    'millrace-origin-partition': String(origin.partition),
    'millrace-origin-offset': String(letter.offset),
    'millrace-origin-epoch': String(epoch),
    'millrace-origin-append-time-ms': String(appendTimeMs),
    'millrace-origin-subscription': origin.subscription,
    'millrace-attempts': String(letter.attempts),
    'millrace-reason': letter.reason,
    ...(letter.text === '' ? {} : { 'millrace-error': letter.text }),
  };
}
