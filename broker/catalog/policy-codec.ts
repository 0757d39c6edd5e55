// Bytes of policies and quotas inside the catalog's objects. A field that was not said is not there; one that was said
// to be 0 is.
import { WireError } from '../../proto/wire/reader.ts';
import { WireWriter } from '../../proto/wire/writer.ts';
import {
  bytesField,
  nameOf,
  numberField,
  readFlag,
  readMessage,
  writeSaid,
} from './codec-fields.ts';
import type { BacklogQuota, Policy, Retention, SaidPolicy, Tiering } from './policy.ts';
import { quotaOf, type Quota, type QuotaField } from './quota.ts';

const backlogPolicyCodes = { refuse_publish: 1, drop_oldest: 2 } as const;

const quotaNumbers = {
  publishBytesPerSecond: 1,
  publishRecordsPerSecond: 2,
  deliveryBytesPerSecond: 3,
  storedBytes: 4,
  topics: 5,
  partitions: 6,
  subscriptions: 7,
  connections: 8,
  adminCallsPerSecond: 9,
} as const satisfies Record<QuotaField, number>;

export function encodePolicy(said: SaidPolicy): Buffer {
  const { retention, tiering, backlogQuota } = said;
  const writer = new WireWriter(64);
  if (retention !== undefined) writer.bytes(1, encodeRetention(retention));
  if (tiering !== undefined) writer.bytes(2, encodeTiering(tiering));
  if (backlogQuota !== undefined) writer.bytes(3, encodeBacklogQuota(backlogQuota));
  writeSaid(writer, 4, said.batchBytesMax);
  writeSaid(writer, 5, said.timeToLiveMs);
  return writer.finish();
}

export function decodePolicy(bytes: Uint8Array): SaidPolicy {
  const said: { -readonly [F in keyof Policy]?: Policy[F] } = {};
  readMessage(bytes, {
    [bytesField(1)]: (reader) => (said.retention = decodeRetention(reader.view())),
    [bytesField(2)]: (reader) => (said.tiering = decodeTiering(reader.view())),
    [bytesField(3)]: (reader) => (said.backlogQuota = decodeBacklogQuota(reader.view())),
    [numberField(4)]: (reader) => (said.batchBytesMax = reader.varint()),
    [numberField(5)]: (reader) => (said.timeToLiveMs = reader.varint()),
  });
  return said;
}

export function encodeQuota(quota: Quota): Buffer {
  const writer = new WireWriter(64);
  for (const [field, number] of Object.entries(quotaNumbers)) {
    writer.uint(number, quota[field as QuotaField]);
  }
  return writer.finish();
}

export function decodeQuota(bytes: Uint8Array): Quota {
  const values = new Map<number, number>();
  const numbers = Object.values(quotaNumbers);
  const readers = numbers.map((number) => [
    numberField(number),
    (reader: { varint(): number }) => values.set(number, reader.varint()),
  ]);
  readMessage(bytes, Object.fromEntries(readers) as Parameters<typeof readMessage>[1]);
  return quotaOf((field) => values.get(quotaNumbers[field]) ?? 0);
}

function encodeRetention({ ageMs, bytes, forever, unackedAgeMs }: Retention): Buffer {
  const writer = new WireWriter(32);
  writer.uint(1, ageMs);
  writer.uint(2, bytes);
  writer.bool(3, forever);
  writer.uint(4, unackedAgeMs);
  return writer.finish();
}

function decodeRetention(bytes: Uint8Array): Retention {
  const retention = { ageMs: 0, bytes: 0, forever: false, unackedAgeMs: 0 };
  readMessage(bytes, {
    [numberField(1)]: (reader) => (retention.ageMs = reader.varint()),
    [numberField(2)]: (reader) => (retention.bytes = reader.varint()),
    [numberField(3)]: (reader) => (retention.forever = readFlag(reader)),
    [numberField(4)]: (reader) => (retention.unackedAgeMs = reader.varint()),
  });
  return retention;
}

function encodeTiering({ hotAgeMs, hotBytes }: Tiering): Buffer {
  const writer = new WireWriter(16);
  writer.uint(1, hotAgeMs);
  writer.uint(2, hotBytes);
  return writer.finish();
}

function decodeTiering(bytes: Uint8Array): Tiering {
  const tiering = { hotAgeMs: 0, hotBytes: 0 };
  readMessage(bytes, {
    [numberField(1)]: (reader) => (tiering.hotAgeMs = reader.varint()),
    [numberField(2)]: (reader) => (tiering.hotBytes = reader.varint()),
  });
  return tiering;
}

function encodeBacklogQuota({ bytes, policy }: BacklogQuota): Buffer {
  const writer = new WireWriter(16);
  writer.uint(1, bytes);
  writer.uint(2, backlogPolicyCodes[policy]);
  return writer.finish();
}

function decodeBacklogQuota(encoded: Uint8Array): BacklogQuota {
  const backlog = { bytes: 0, policy: 0 };
  readMessage(encoded, {
    [numberField(1)]: (reader) => (backlog.bytes = reader.varint()),
    [numberField(2)]: (reader) => (backlog.policy = reader.varint()),
  });
  if (backlog.policy === 0) throw new WireError('backlog quota has no policy');
  return {
    bytes: backlog.bytes,
    policy: nameOf(backlogPolicyCodes, backlog.policy, 'backlog policy'),
  };
}
