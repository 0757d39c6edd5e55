// Two decoders that share no code with each other or with the broker: protobuf-es as generated, and protobufjs from
// the .proto file. What they read is written as one comparable text.
import { fileURLToPath } from 'node:url';
import { fromBinary } from '@bufbuild/protobuf';
import protobuf from 'protobufjs';
import { RecordBatchSchema, type RecordBatch } from '../../proto/gen/millrace/v1/record_pb.ts';
import type { PlainRecord } from './batch-arbitrary.ts';

const recordProto = fileURLToPath(new URL('../../proto/millrace/v1/record.proto', import.meta.url));
const recordBatchType = protobuf.loadSync(recordProto).lookupType('millrace.v1.RecordBatch');

/** As protobufjs gives it, by its `toObject` with strings for what differs. */
interface LooseBatch {
  readonly records: readonly {
    readonly key: Uint8Array;
    readonly value: Uint8Array;
    readonly timestampMs: string;
    readonly headers: readonly { readonly name: string; readonly value: Uint8Array }[];
  }[];
  readonly compression: number;
  readonly compressedRecords: Uint8Array;
  readonly recordCount: number;
  readonly openedBytes: number;
  readonly keyHashes: Uint8Array;
}

/** Everything that a decoder reads. Throws what it throws, and when it met a field that it does not know. */
export function readByProtobufEs(bytes: Uint8Array): string {
  const batch = fromBinary(RecordBatchSchema, bytes);
  refuseUnknown(batch);
  return comparable(batch);
}

export function readByProtobufJs(bytes: Uint8Array): string {
  const message = recordBatchType.decode(bytes);
  const batch = recordBatchType.toObject(message, {
    defaults: true,
    arrays: true,
    longs: String,
  }) as LooseBatch;
  return comparable(batch);
}

/** The same text for records that were never encoded. */
export function textOfRecords(records: readonly PlainRecord[]): string {
  const nothing = new Uint8Array();
  return comparable({
    records: records.map(({ key, value, timestampMs, headers }) => ({
      key,
      value,
      timestampMs: String(timestampMs),
      headers: headers.map(([name, headerValue]) => ({ name, value: headerValue })),
    })),
    compression: 0,
    compressedRecords: nothing,
    recordCount: 0,
    openedBytes: 0,
    keyHashes: nothing,
  });
}

function comparable(batch: LooseBatch | RecordBatch): string {
  const lines = batch.records.map(({ key, value, timestampMs, headers }) => {
    const pairs = headers.map((header) => [header.name, hex(header.value)]);
    return JSON.stringify([hex(key), hex(value), String(timestampMs), pairs]);
  });
  const { compression, compressedRecords, recordCount, openedBytes, keyHashes } = batch;
  return JSON.stringify([
    lines,
    compression,
    hex(compressedRecords),
    recordCount,
    openedBytes,
    hex(keyHashes),
  ]);
}

function refuseUnknown(batch: RecordBatch): void {
  const messages = [batch, ...batch.records, ...batch.records.flatMap(({ headers }) => headers)];
  if (messages.some(({ $unknown }) => $unknown !== undefined && $unknown.length > 0)) {
    throw new Error('the batch holds a field that is not in the .proto file');
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
