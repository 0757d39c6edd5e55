// Bytes of a partition's control entries. Protobuf wire format without a schema file: they never leave the journal.
//
// Invariant: decode(encode(x)) equals x; damaged bytes throw DATA_LOSS, they are never read as something else.
import { BrokerError } from '../core/errors.ts';
import {
  partitionId,
  publisherId,
  tenantId,
  type Offset,
  type PartitionId,
  type PublisherId,
  type TenantId,
} from '../core/ids.ts';
import type { OffsetRun } from '../core/run-index.ts';
import type { ManifestPagePointer } from '../tier/manifest.ts';
import { SegmentRows, type SegmentRow } from '../tier/segment-rows.ts';
import { WireError, WireReader } from '../../proto/wire/reader.ts';
import { WireWriter } from '../../proto/wire/writer.ts';
import { decodeMarks, type BatchMark } from './mark-chunk.ts';
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

/** One object's segments, recorded together: from now on the store holds these records. */
export interface SegmentsAdded {
  readonly tenant: TenantId;
  readonly segments: readonly { readonly partition: PartitionId; readonly row: SegmentRow }[];
}

/** The newest rows up to the pointer's last offset stand in a page in the store now. */
export interface ManifestPaged {
  readonly partition: PartitionId;
  readonly page: ManifestPagePointer;
}

/** Records that no queue will deliver; or batches as a part of a checkpoint, encoded by MarkChunk. */
export interface Cancelled {
  readonly partition: PartitionId;
  readonly runs: readonly OffsetRun[];
}

export interface Marks {
  readonly partition: PartitionId;
  readonly marks: readonly BatchMark[];
}

export interface ManifestCheckpoint {
  readonly tenant: TenantId;
  readonly endOffset: Offset;
  readonly pages: readonly ManifestPagePointer[];
  readonly rows: SegmentRows;
}

export interface PartitionCheckpoint {
  readonly partition: PartitionId;
  readonly startOffset: Offset;
  readonly nextOffset: Offset;
  readonly lastAppendTimeMs: number;
  readonly publishers: readonly Publisher[];
  readonly manifest: ManifestCheckpoint;
  readonly cancelled: readonly OffsetRun[];
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

export function encodeSegmentsAdded({ tenant, segments }: SegmentsAdded): Buffer {
  const writer = new WireWriter(16 + segments.length * 72);
  writer.uint(1, tenant);
  for (const { partition, row } of segments) {
    const rows = new SegmentRows();
    rows.add(row);
    const nested = new WireWriter(72);
    nested.uint(1, partition);
    nested.bytes(2, rows.encoded());
    writer.bytes(2, nested.finish());
  }
  return writer.finish();
}

export function decodeSegmentsAdded(bytes: Uint8Array): SegmentsAdded {
  let tenant = 0;
  const segments: { partition: PartitionId; row: SegmentRow }[] = [];
  readFields(bytes, 'segments-added', (field, reader) => {
    if (field === 1) tenant = reader.varint();
    else if (field === 2) {
      const nested = { partition: 0, rows: new SegmentRows() };
      readFields(reader.view(), 'segment', (inner, one) => {
        if (inner === 1) nested.partition = one.varint();
        else if (inner === 2) nested.rows = new SegmentRows(Buffer.from(one.view()));
        else return false;
        return true;
      });
      if (nested.rows.count !== 1) throw new WireError('a segment has one row');
      segments.push({ partition: partitionId(nested.partition), row: nested.rows.at(0) });
    } else return false;
    return true;
  });
  return { tenant: tenantId(tenant), segments };
}

export function encodeManifestPaged({ partition, page }: ManifestPaged): Buffer {
  const writer = new WireWriter(96);
  writer.uint(1, partition);
  writer.bytes(2, encodePagePointer(page));
  return writer.finish();
}

export function decodeManifestPaged(bytes: Uint8Array): ManifestPaged {
  let partition = 0;
  let page: ManifestPagePointer | undefined;
  readFields(bytes, 'manifest-paged', (field, reader) => {
    if (field === 1) partition = reader.varint();
    else if (field === 2) page = decodePagePointer(reader.view());
    else return false;
    return true;
  });
  if (page === undefined) throw damagedEntry('manifest-paged', new WireError('it has no page'));
  return { partition: partitionId(partition), page };
}

export function encodeCancelled({ partition, runs }: Cancelled): Buffer {
  const writer = new WireWriter(16 + runs.length * 8);
  writer.uint(1, partition);
  writer.bytes(2, encodeRuns(runs));
  return writer.finish();
}

export function decodeCancelled(bytes: Uint8Array): Cancelled {
  let partition = 0;
  let runs: OffsetRun[] = [];
  readFields(bytes, 'cancelled', (field, reader) => {
    if (field === 1) partition = reader.varint();
    else if (field === 2) runs = decodeRuns(reader.view());
    else return false;
    return true;
  });
  return { partition: partitionId(partition), runs };
}

/** `marks` as MarkChunk encodes them. */
export function encodeMarks(partition: PartitionId, marks: Uint8Array): Buffer {
  const writer = new WireWriter(16 + marks.length);
  writer.uint(1, partition);
  writer.bytes(2, marks);
  return writer.finish();
}

export function decodeMarksEntry(bytes: Uint8Array): Marks {
  let partition = 0;
  let marks: BatchMark[] = [];
  readFields(bytes, 'marks', (field, reader) => {
    if (field === 1) partition = reader.varint();
    else if (field === 2) marks = decodeMarks(reader.view());
    else return false;
    return true;
  });
  return { partition: partitionId(partition), marks };
}

export function encodePartitionCheckpoint(entry: PartitionCheckpoint): Buffer {
  const writer = new WireWriter(64 + entry.publishers.length * 96);
  writer.uint(1, entry.partition);
  writer.uint(2, entry.startOffset);
  writer.uint(3, entry.nextOffset);
  writer.uint(4, entry.lastAppendTimeMs);
  for (const publisher of entry.publishers) writer.bytes(5, encodePublisher(publisher));
  const { manifest } = entry;
  writer.uint(6, manifest.tenant);
  writer.uint(7, manifest.endOffset);
  for (const page of manifest.pages) writer.bytes(8, encodePagePointer(page));
  if (manifest.rows.count > 0) writer.bytes(9, manifest.rows.encoded());
  if (entry.cancelled.length > 0) writer.bytes(10, encodeRuns(entry.cancelled));
  return writer.finish();
}

export function decodePartitionCheckpoint(bytes: Uint8Array): PartitionCheckpoint {
  const fields = { partition: 0, startOffset: 0, nextOffset: 0, lastAppendTimeMs: 0 };
  const publishers: Publisher[] = [];
  const manifest = { tenant: 0, endOffset: 0, rows: new SegmentRows() };
  const pages: ManifestPagePointer[] = [];
  let cancelled: OffsetRun[] = [];
  readFields(bytes, 'partition checkpoint', (field, reader) => {
    if (field === 1) fields.partition = reader.varint();
    else if (field === 2) fields.startOffset = reader.varint();
    else if (field === 3) fields.nextOffset = reader.varint();
    else if (field === 4) fields.lastAppendTimeMs = reader.varint();
    else if (field === 5) publishers.push(decodePublisher(reader.view()));
    else if (field === 6) manifest.tenant = reader.varint();
    else if (field === 7) manifest.endOffset = reader.varint();
    else if (field === 8) pages.push(decodePagePointer(reader.view()));
    else if (field === 9) manifest.rows = new SegmentRows(Buffer.from(reader.view()));
    else if (field === 10) cancelled = decodeRuns(reader.view());
    else return false;
    return true;
  });
  return {
    ...fields,
    partition: partitionId(fields.partition),
    publishers,
    manifest: { ...manifest, tenant: tenantId(manifest.tenant), pages },
    cancelled,
  };
}

function encodeRuns(runs: readonly OffsetRun[]): Buffer {
  const writer = new WireWriter(runs.length * 6 + 8);
  let before = 0;
  for (const { first, last } of runs) {
    writer.varint(first - before);
    writer.varint(last - first);
    before = last;
  }
  return writer.finish();
}

function decodeRuns(bytes: Uint8Array): OffsetRun[] {
  const reader = new WireReader(bytes);
  const runs: OffsetRun[] = [];
  let before = 0;
  while (!reader.done) {
    const first = before + reader.varint();
    before = first + reader.varint();
    runs.push({ first, last: before });
  }
  return runs;
}

function encodePagePointer(page: ManifestPagePointer): Buffer {
  const writer = new WireWriter(72);
  writer.uint(1, page.object.epoch);
  writer.uint(2, page.object.number);
  writer.uint(3, page.firstOffset);
  writer.uint(4, page.lastOffset);
  writer.uint(5, page.firstTimeMs);
  writer.uint(6, page.lastTimeMs);
  writer.uint(7, page.rows);
  writer.uint(8, page.bytes);
  return writer.finish();
}

function decodePagePointer(bytes: Uint8Array): ManifestPagePointer {
  const values = [0, 0, 0, 0, 0, 0, 0, 0, 0];
  readFields(bytes, 'manifest page', (field, reader) => {
    if (field >= values.length) return false;
    values[field] = reader.varint();
    return true;
  });
  const [, epoch = 0, number = 0, firstOffset = 0, lastOffset = 0, firstTimeMs = 0] = values;
  const [lastTimeMs = 0, rows = 0, sum = 0] = values.slice(6);
  const object = { epoch, number };
  return { object, firstOffset, lastOffset, firstTimeMs, lastTimeMs, rows, bytes: sum };
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
    throw damagedEntry(what, cause);
  }
}

function damagedEntry(what: string, cause: WireError): BrokerError {
  return new BrokerError(
    'DATA_LOSS',
    `a journal entry (${what}) is damaged: ${cause.message}; restore the volume from a backup`,
    { cause },
  );
}
