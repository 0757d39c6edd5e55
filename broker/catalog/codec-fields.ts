// Reading the fields of the catalog's objects. Every function throws WireError, which catalog-entries.ts turns into
// DATA_LOSS.
import { quoted } from '../core/quoted.ts';
import { WireError, WireReader, wireBytes, wireVarint } from '../../proto/wire/reader.ts';
import { WireWriter } from '../../proto/wire/writer.ts';
import type { Labels } from './labels.ts';

const shardName = /^[a-z0-9][a-z0-9-]{0,31}$/;
const printable = /^[\x20-\x7e]+$/;
const idMax = 2 ** 32 - 1;

/** Calls the reader of each field, by number and wire type together; any other field is damage. */
export function readMessage(
  bytes: Uint8Array,
  readers: Readonly<Record<number, (reader: WireReader) => unknown>>,
): void {
  const reader = new WireReader(bytes);
  while (!reader.done) {
    const tag = reader.tag();
    const read = readers[tag];
    if (read === undefined) throw new WireError(`field ${tag >>> 3} of type ${tag & 7} is unknown`);
    read(reader);
  }
}

export function numberField(field: number): number {
  return (field << 3) | wireVarint;
}

/** Also of text and nested messages. */
export function bytesField(field: number): number {
  return (field << 3) | wireBytes;
}

/** A number that is there also when it is 0: what was said differs from what was not. */
export function writeSaid(writer: WireWriter, field: number, value: number | undefined): void {
  if (value === undefined) return;
  writer.varint(numberField(field));
  writer.varint(value);
}

export function readId(id: number, what: string): number {
  if (id < 1 || id > idMax) throw new WireError(`${what} is ${id}`);
  return id;
}

export function readShard(name: string): string {
  if (!shardName.test(name)) throw new WireError(`shard name is ${quoted(name)}`);
  return name;
}

/** Names are ASCII; any other byte becomes a character that no name may have. */
export function readText(reader: WireReader): string {
  const view = reader.view();
  return Buffer.from(view.buffer, view.byteOffset, view.length).toString('latin1');
}

/** The name that has this code in the table. */
export function nameOf<K extends string>(
  codes: Readonly<Record<K, number>>,
  code: number,
  what: string,
): K {
  for (const name in codes) if (codes[name] === code) return name;
  throw new WireError(`${what} is ${code}`);
}

/** One field for each. */
export function writeLabels(writer: WireWriter, field: number, labels: Labels): void {
  for (const [name, text] of labels) {
    const label = new WireWriter(64);
    label.string(1, name);
    label.string(2, text);
    writer.bytes(field, label.finish());
  }
}

/** These and the one that is next. */
export function withLabel(labels: Labels, reader: WireReader): Labels {
  const label = { name: '', text: '' };
  readMessage(reader.view(), {
    [bytesField(1)]: (inner) => (label.name = readText(inner)),
    [bytesField(2)]: (inner) => (label.text = readText(inner)),
  });
  for (const part of [label.name, label.text]) {
    if (!printable.test(part)) throw new WireError(`label has ${quoted(part)}`);
  }
  if (labels.has(label.name)) throw new WireError(`label ${label.name} is there twice`);
  return new Map([...labels, [label.name, label.text]]);
}

export function readFlag(reader: WireReader): boolean {
  const value = reader.varint();
  if (value > 1) throw new WireError(`flag is ${value}`);
  return value === 1;
}
