// A dead letter's record: the publisher's own, with headers that say where it comes from and why.
//
// Invariants:
// - key, value, timestamp and the publisher's headers stay as they were, byte by byte;
// - headers of an earlier life as a dead letter are replaced.
// Names of the headers: docs/dead-letters.md.
import { WireReader, wireBytes } from '../../proto/wire/reader.ts';
import { WireWriter } from '../../proto/wire/writer.ts';
import type { StoredBatch } from '../log/stored-batch.ts';
import type { DeadLetter } from './outbox-state.ts';

export interface Origin {
  /** Full name. */
  readonly topic: string;
  readonly partition: number;
  readonly subscription: string;
}

const recordsField = 1;
const headersField = 4;
const headerTag = (headersField << 3) | wireBytes;
const nameTag = (1 << 3) | wireBytes;
const reservedPrefix = 'millrace-';

/** A plain batch of one record. `batch` holds the letter's offset. Throws DATA_LOSS when it does not open. */
export function deadLetterRecord(batch: StoredBatch, letter: DeadLetter, origin: Origin): Buffer {
  const { header } = batch;
  const own = ownFields(batch.recordAt(letter.offset));
  const added = headersOf(letter, origin, header.epoch, header.appendTimeMs);
  const record = Buffer.concat([own, added]);
  const writer = new WireWriter(record.length + 8);
  writer.bytes(recordsField, record);
  return writer.finish();
}

/** The fields of the record but for reserved headers. */
function ownFields(batch: Buffer): Buffer {
  const reader = new WireReader(batch);
  reader.tag();
  const end = reader.delimited();
  const kept: Buffer[] = [];
  while (reader.position < end) {
    const from = reader.position;
    const tag = reader.tag();
    const bodyFrom = reader.position;
    reader.skip(tag & 7);
    if (tag === headerTag && isReserved(batch, bodyFrom)) continue;
    kept.push(batch.subarray(from, reader.position));
  }
  return Buffer.concat(kept);
}

function isReserved(batch: Buffer, at: number): boolean {
  const reader = new WireReader(batch, at);
  const end = reader.delimited();
  while (reader.position < end) {
    const tag = reader.tag();
    if (tag !== nameTag) {
      reader.skip(tag & 7);
      continue;
    }
    const nameEnd = reader.delimited();
    return batch.toString('latin1', reader.position, nameEnd).startsWith(reservedPrefix);
  }
  return false;
}

function headersOf(
  letter: DeadLetter,
  origin: Origin,
  epoch: number,
  appendTimeMs: number,
): Buffer {
  const headers = {
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
  const writer = new WireWriter(1024);
  for (const [name, value] of Object.entries(headers)) {
    const header = new WireWriter(64);
    header.string(1, name);
    header.bytes(2, Buffer.from(value));
    writer.bytes(headersField, header.finish());
  }
  return writer.finish();
}
