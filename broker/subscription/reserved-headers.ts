// Headers that are the broker's own, in the bytes of one record: `millrace-...`, which no publisher may send.
//
// Invariant: key, value, timestamp and the publisher's headers stay as they were, byte by byte.
import { WireReader, wireBytes } from '../../proto/wire/reader.ts';
import { WireWriter } from '../../proto/wire/writer.ts';

export const reservedPrefix = 'millrace-';
/** How often the record was redriven; it stays with it. */
export const redrivenHeader = 'millrace-redriven';

const recordsField = 1;
const headersField = 4;
const headerTag = (headersField << 3) | wireBytes;
const nameTag = (1 << 3) | wireBytes;

/** The record of a plain batch of one, with these headers for what reserved ones it had; `kept` stay. */
export function withReservedHeaders(
  batch: Buffer,
  added: Readonly<Record<string, string>>,
  kept: readonly string[] = [],
): Buffer {
  const record = Buffer.concat([ownFields(batch, kept), encoded(added)]);
  const writer = new WireWriter(record.length + 8);
  writer.bytes(recordsField, record);
  return writer.finish();
}

function ownFields(batch: Buffer, kept: readonly string[]): Buffer {
  const reader = new WireReader(batch);
  reader.tag();
  const end = reader.delimited();
  const fields: Buffer[] = [];
  while (reader.position < end) {
    const from = reader.position;
    const tag = reader.tag();
    const bodyFrom = reader.position;
    reader.skip(tag & 7);
    if (tag === headerTag) {
      const name = nameAt(batch, bodyFrom);
      if (name.startsWith(reservedPrefix) && !kept.includes(name)) continue;
    }
    fields.push(batch.subarray(from, reader.position));
  }
  return Buffer.concat(fields);
}

function nameAt(batch: Buffer, at: number): string {
  const reader = new WireReader(batch, at);
  const end = reader.delimited();
  while (reader.position < end) {
    const tag = reader.tag();
    if (tag !== nameTag) {
      reader.skip(tag & 7);
      continue;
    }
    const nameEnd = reader.delimited();
    return batch.toString('latin1', reader.position, nameEnd);
  }
  return '';
}

function encoded(headers: Readonly<Record<string, string>>): Buffer {
  const writer = new WireWriter(1024);
  for (const [name, value] of Object.entries(headers)) {
    const header = new WireWriter(64);
    header.string(1, name);
    header.bytes(2, Buffer.from(value));
    writer.bytes(headersField, header.finish());
  }
  return writer.finish();
}
