// Batches of the simulation: one record each, its value in the clear.
import { crc32 } from 'node:zlib';
import { WireReader } from '../../proto/wire/reader.ts';
import { WireWriter } from '../../proto/wire/writer.ts';

const valueTag = (2 << 3) | 2;

/** One record whose size varies with its value, so that pages and generations end at odd places. */
export function batchOf(value: string): Buffer {
  const padded = new WireWriter(256);
  padded.string(2, value);
  padded.bytes(4, headerOf(Buffer.alloc(crc32(value) % 300, 'x')));
  const batch = new WireWriter(512);
  batch.bytes(1, padded.finish());
  return batch.finish();
}

function headerOf(value: Buffer): Buffer {
  const header = new WireWriter(320);
  header.string(1, 'padding');
  header.bytes(2, value);
  return header.finish();
}

/** The value of the first record. */
export function valueOf(batch: Uint8Array): string {
  const reader = new WireReader(batch);
  reader.tag();
  const end = reader.delimited();
  while (reader.position < end) {
    if (reader.tag() === valueTag) return Buffer.from(reader.view()).toString();
    reader.skip(2);
  }
  throw new Error('a record without a value');
}
