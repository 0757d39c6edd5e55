// Bytes of a partition's control entries. Protobuf wire format without a schema file: they never leave the journal.
//
// Invariant: decode(encode(x)) equals x; damaged bytes throw DATA_LOSS, they are never read as something else.
import { BrokerError } from '../core/errors.ts';
import {
  partitionId,
  publisherId,
  type Offset,
  type PartitionId,
  type PublisherId,
} from '../core/ids.ts';
import { WireError, WireReader } from '../../proto/wire/reader.ts';
import { WireWriter } from '../../proto/wire/writer.ts';
import type { Publisher } from './publishers-state.ts';

export interface PublisherOpened {
  readonly partition: PartitionId;
  readonly id: PublisherId;
  readonly name: string;
  readonly epoch: number;
  readonly atMs: number;
}

export interface Trimmed {
  readonly partition: PartitionId;
  readonly startOffset: Offset;
}

export interface PartitionCheckpoint {
  readonly partition: PartitionId;
  readonly startOffset: Offset;
  readonly nextOffset: Offset;
  readonly lastAppendTimeMs: number;
  readonly publishers: readonly Publisher[];
}

export function encodePublisherOpened(entry: PublisherOpened): Buffer {
  const writer = new WireWriter(64);
  writer.uint(1, entry.partition);
  writer.string(2, entry.name);
  writer.uint(3, entry.epoch);
  writer.uint(4, entry.atMs);
  writer.uint(5, entry.id);
  return writer.finish();
}

export function decodePublisherOpened(bytes: Uint8Array): PublisherOpened {
  const fields = { partition: 0, id: 0, name: '', epoch: 0, atMs: 0 };
  readFields(bytes, 'publisher-opened', (field, reader) => {
    if (field === 1) fields.partition = reader.varint();
    else if (field === 2) fields.name = reader.text();
    else if (field === 3) fields.epoch = reader.varint();
    else if (field === 4) fields.atMs = reader.varint();
    else if (field === 5) fields.id = reader.varint();
    else return false;
    return true;
  });
  return { ...fields, id: publisherId(fields.id), partition: partitionId(fields.partition) };
}

export function encodeTrimmed(entry: Trimmed): Buffer {
  const writer = new WireWriter(16);
  writer.uint(1, entry.partition);
  writer.uint(2, entry.startOffset);
  return writer.finish();
}

export function decodeTrimmed(bytes: Uint8Array): Trimmed {
  const fields = { partition: 0, startOffset: 0 };
  readFields(bytes, 'trimmed', (field, reader) => {
    if (field === 1) fields.partition = reader.varint();
    else if (field === 2) fields.startOffset = reader.varint();
    else return false;
    return true;
  });
  return { partition: partitionId(fields.partition), startOffset: fields.startOffset };
}

export function encodePartitionDropped(partition: PartitionId): Buffer {
  return encodeTrimmed({ partition, startOffset: 0 });
}

export function decodePartitionDropped(bytes: Uint8Array): PartitionId {
  return decodeTrimmed(bytes).partition;
}

export function encodePartitionCheckpoint(entry: PartitionCheckpoint): Buffer {
  const writer = new WireWriter(64 + entry.publishers.length * 96);
  writer.uint(1, entry.partition);
  writer.uint(2, entry.startOffset);
  writer.uint(3, entry.nextOffset);
  writer.uint(4, entry.lastAppendTimeMs);
  for (const publisher of entry.publishers) writer.bytes(5, encodePublisher(publisher));
  return writer.finish();
}

export function decodePartitionCheckpoint(bytes: Uint8Array): PartitionCheckpoint {
  const fields = { partition: 0, startOffset: 0, nextOffset: 0, lastAppendTimeMs: 0 };
  const publishers: Publisher[] = [];
  readFields(bytes, 'partition checkpoint', (field, reader) => {
    if (field === 1) fields.partition = reader.varint();
    else if (field === 2) fields.startOffset = reader.varint();
    else if (field === 3) fields.nextOffset = reader.varint();
    else if (field === 4) fields.lastAppendTimeMs = reader.varint();
    else if (field === 5) publishers.push(decodePublisher(reader.view()));
    else return false;
    return true;
  });
  return { ...fields, partition: partitionId(fields.partition), publishers };
}

function encodePublisher(publisher: Publisher): Buffer {
  const writer = new WireWriter(96);
  writer.uint(1, publisher.id);
  writer.string(2, publisher.name);
  writer.uint(3, publisher.epoch);
  writer.uint(4, publisher.lastSequence);
  writer.uint(5, publisher.lastUsedMs);
  const answers = new WireWriter(publisher.answers.length * 4 + 8);
  for (const value of publisher.answers) answers.varint(value);
  writer.bytes(6, answers.finish());
  return writer.finish();
}

function decodePublisher(bytes: Uint8Array): Publisher {
  const fields = { id: 0, name: '', epoch: 0, lastSequence: 0, lastUsedMs: 0 };
  const answers: number[] = [];
  readFields(bytes, 'publisher', (field, reader) => {
    if (field === 1) fields.id = reader.varint();
    else if (field === 2) fields.name = reader.text();
    else if (field === 3) fields.epoch = reader.varint();
    else if (field === 4) fields.lastSequence = reader.varint();
    else if (field === 5) fields.lastUsedMs = reader.varint();
    else if (field === 6) {
      const list = new WireReader(reader.view());
      while (!list.done) answers.push(list.varint());
    } else return false;
    return true;
  });
  return { ...fields, id: publisherId(fields.id), answers, openCount: 0 };
}

/** Calls `read` for each field; what it does not know, and bytes that are no fields, are damage. */
function readFields(
  bytes: Uint8Array,
  what: string,
  read: (field: number, reader: WireReader) => boolean,
): void {
  try {
    const reader = new WireReader(bytes);
    while (!reader.done) {
      const tag = reader.tag();
      if (!read(tag >>> 3, reader)) throw new WireError(`unknown field ${tag >>> 3}`);
    }
  } catch (cause) {
    if (!(cause instanceof WireError)) throw cause;
    throw new BrokerError(
      'DATA_LOSS',
      `a journal entry (${what}) is damaged: ${cause.message}; restore the volume from a backup`,
      { cause },
    );
  }
}
