// Batches of a few keyed records, and what stands in them; values and keys in the clear.
import { WireReader } from '../../../proto/wire/reader.ts';
import { WireWriter } from '../../../proto/wire/writer.ts';

export interface PlainRecord {
  readonly key: string;
  readonly value: string;
}

export interface ReadRecord extends PlainRecord {
  readonly headers: ReadonlyMap<string, string>;
}

const recordsField = 1;
const keyField = 1;
const valueField = 2;
const headersField = 4;

export function batchOf(records: readonly PlainRecord[]): Buffer {
  const batch = new WireWriter(64 * records.length);
  for (const { key, value } of records) {
    const record = new WireWriter(64);
    if (key !== '') record.string(keyField, key);
    record.string(valueField, value);
    batch.bytes(recordsField, record.finish());
  }
  return batch.finish();
}

export function recordsOf(batch: Uint8Array): ReadRecord[] {
  const reader = new WireReader(batch);
  const records: ReadRecord[] = [];
  while (!reader.done) {
    reader.tag();
    records.push(recordOf(reader));
  }
  return records;
}

function recordOf(reader: WireReader): ReadRecord {
  const end = reader.delimited();
  const headers = new Map<string, string>();
  let key = '';
  let value = '';
  while (reader.position < end) {
    const field = reader.tag() >>> 3;
    if (field === headersField) {
      const [name, text] = headerOf(new WireReader(Buffer.from(reader.view())));
      headers.set(name, text);
      continue;
    }
    const text = Buffer.from(reader.view()).toString();
    if (field === keyField) key = text;
    if (field === valueField) value = text;
  }
  return { key, value, headers };
}

function headerOf(reader: WireReader): [string, string] {
  const texts: string[] = [];
  while (!reader.done) {
    reader.tag();
    texts.push(Buffer.from(reader.view()).toString());
  }
  return [texts[0] ?? '', texts[1] ?? ''];
}
