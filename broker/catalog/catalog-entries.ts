// Bytes of the catalog's journal entries: protobuf wire format without a schema file, they never leave the journal.
//
// Invariants:
// - decode(encode(x)) equals x.
// - Damaged bytes throw DATA_LOSS or decode to another well-formed entry (which the journal's CRC excludes); policy
//   limits are not checked here, so that lowering one never makes a journal unreadable.
import { BrokerError } from '../core/errors.ts';
import { subscriptionId, tenantId, topicId } from '../core/ids.ts';
import { WireError } from '../../proto/wire/reader.ts';
import { WireWriter } from '../../proto/wire/writer.ts';
import type { CatalogCheckpointEntry, CatalogCounters, CatalogEvent } from './catalog-events.ts';
import { decodeDeadLetterJob, encodeDeadLetterJob, readJobId } from './dead-letter-job-codec.ts';
import {
  decodeGrant,
  decodeGrantKey,
  decodeToken,
  decodeTokenName,
  encodeGrant,
  encodeGrantKey,
  encodeToken,
  encodeTokenName,
} from './access-codec.ts';
import {
  bytesField,
  nameOf,
  numberField,
  readId,
  readMessage,
  readShard,
  readText,
} from './codec-fields.ts';
import {
  decodeSubscription,
  decodeTombstone,
  decodeTopic,
  encodeSubscription,
  encodeTombstone,
  encodeTopic,
  tombstoneCodes,
} from './object-codec.ts';
import { decodeTenant, encodeTenant } from './tenant-codec.ts';

const eventCodes = {
  'topic-created': 1,
  'topic-changed': 2,
  'topic-deleted': 3,
  'subscription-created': 4,
  'subscription-changed': 5,
  'subscription-deleted': 6,
  'tombstone-cleared': 7,
  'dead-letter-job-put': 8,
  'dead-letter-job-forgotten': 9,
  'tenant-created': 10,
  'tenant-changed': 11,
  'tenant-deleted': 12,
  'grant-changed': 20,
  'grant-removed': 21,
  'token-created': 22,
  'token-removed': 23,
} as const satisfies Record<CatalogEvent['kind'], number>;

const checkpointCodes = {
  counters: 1,
  topic: 2,
  subscription: 3,
  tombstone: 4,
  'dead-letter-job': 5,
  tenant: 6,
  grant: 20,
  token: 21,
} as const satisfies Record<CatalogCheckpointEntry['kind'], number>;

export function encodeCatalogEvent(event: CatalogEvent): Buffer {
  const writer = new WireWriter();
  writer.uint(1, eventCodes[event.kind]);
  switch (event.kind) {
    case 'topic-created':
    case 'topic-changed':
      writer.bytes(2, encodeTopic(event.topic));
      break;
    case 'subscription-created':
    case 'subscription-changed':
      writer.bytes(2, encodeSubscription(event.subscription));
      break;
    case 'topic-deleted':
    case 'subscription-deleted':
      writer.bytes(2, encodeTombstone(event.tombstone));
      break;
    case 'dead-letter-job-put':
      writer.bytes(2, encodeDeadLetterJob(event.job));
      break;
    case 'tenant-created':
    case 'tenant-changed':
      writer.bytes(2, encodeTenant(event.tenant));
      break;
    case 'dead-letter-job-forgotten':
    case 'tenant-deleted':
      writer.uint(4, event.id);
      break;
    case 'tombstone-cleared':
      writer.uint(3, tombstoneCodes[event.of]);
      writer.uint(4, event.id);
      writer.string(5, event.shard);
      break;
    case 'grant-changed':
      writer.bytes(2, encodeGrant(event.grant));
      break;
    case 'grant-removed':
      writer.bytes(2, encodeGrantKey(event));
      break;
    case 'token-created':
      writer.bytes(2, encodeToken(event.token));
      break;
    case 'token-removed':
      writer.bytes(2, encodeTokenName(event));
  }
  return writer.finish();
}

/** Throws DATA_LOSS. */
export function decodeCatalogEvent(bytes: Uint8Array): CatalogEvent {
  return orDataLoss('catalog event', (): CatalogEvent => {
    const fields = { kind: 0, of: 0, id: 0, shard: '' };
    let object: Uint8Array = new Uint8Array(0);
    readMessage(bytes, {
      [numberField(1)]: (reader) => (fields.kind = reader.uint32()),
      [bytesField(2)]: (reader) => (object = reader.view()),
      [numberField(3)]: (reader) => (fields.of = reader.uint32()),
      [numberField(4)]: (reader) => (fields.id = reader.varint()),
      [bytesField(5)]: (reader) => (fields.shard = readText(reader)),
    });
    const kind = nameOf(eventCodes, fields.kind, 'event kind');
    switch (kind) {
      case 'topic-created':
      case 'topic-changed':
        return { kind, topic: decodeTopic(object) };
      case 'subscription-created':
      case 'subscription-changed':
        return { kind, subscription: decodeSubscription(object) };
      case 'topic-deleted': {
        const tombstone = decodeTombstone(object);
        if (tombstone.of !== 'topic') throw new WireError('tombstone is not of a topic');
        return { kind, tombstone };
      }
      case 'subscription-deleted': {
        const tombstone = decodeTombstone(object);
        if (tombstone.of !== 'subscription') throw new WireError('tombstone is of a topic');
        return { kind, tombstone };
      }
      case 'dead-letter-job-put':
        return { kind, job: decodeDeadLetterJob(object) };
      case 'dead-letter-job-forgotten':
        return { kind, id: readJobId(fields.id) };
      case 'tenant-created':
      case 'tenant-changed':
        return { kind, tenant: decodeTenant(object) };
      case 'tenant-deleted':
        return { kind, id: tenantId(readId(fields.id, 'tenant id')) };
      case 'tombstone-cleared': {
        const of = nameOf(tombstoneCodes, fields.of, 'tombstone kind');
        const id = readId(fields.id, `${of} id`);
        const shard = readShard(fields.shard);
        if (of === 'topic') return { kind, of, id: topicId(id), shard };
        return { kind, of, id: subscriptionId(id), shard };
      }
      case 'grant-changed':
        return { kind, grant: decodeGrant(object) };
      case 'grant-removed':
        return { kind, ...decodeGrantKey(object) };
      case 'token-created':
        return { kind, token: decodeToken(object) };
      case 'token-removed':
        return { kind, ...decodeTokenName(object) };
    }
  });
}

export function encodeCatalogCheckpoint(entry: CatalogCheckpointEntry): Buffer {
  const writer = new WireWriter();
  writer.uint(1, checkpointCodes[entry.kind]);
  switch (entry.kind) {
    case 'counters':
      writer.bytes(2, encodeCounters(entry.counters));
      break;
    case 'tenant':
      writer.bytes(2, encodeTenant(entry.tenant));
      break;
    case 'topic':
      writer.bytes(2, encodeTopic(entry.topic));
      break;
    case 'subscription':
      writer.bytes(2, encodeSubscription(entry.subscription));
      break;
    case 'dead-letter-job':
      writer.bytes(2, encodeDeadLetterJob(entry.job));
      break;
    case 'tombstone':
      writer.bytes(2, encodeTombstone(entry.tombstone));
      break;
    case 'grant':
      writer.bytes(2, encodeGrant(entry.grant));
      break;
    case 'token':
      writer.bytes(2, encodeToken(entry.token));
  }
  return writer.finish();
}

/** Throws DATA_LOSS. */
export function decodeCatalogCheckpoint(bytes: Uint8Array): CatalogCheckpointEntry {
  return orDataLoss('catalog checkpoint', (): CatalogCheckpointEntry => {
    let code = 0;
    let object: Uint8Array = new Uint8Array(0);
    readMessage(bytes, {
      [numberField(1)]: (reader) => (code = reader.uint32()),
      [bytesField(2)]: (reader) => (object = reader.view()),
    });
    const kind = nameOf(checkpointCodes, code, 'checkpoint kind');
    switch (kind) {
      case 'counters':
        return { kind, counters: decodeCounters(object) };
      case 'tenant':
        return { kind, tenant: decodeTenant(object) };
      case 'topic':
        return { kind, topic: decodeTopic(object) };
      case 'subscription':
        return { kind, subscription: decodeSubscription(object) };
      case 'dead-letter-job':
        return { kind, job: decodeDeadLetterJob(object) };
      case 'tombstone':
        return { kind, tombstone: decodeTombstone(object) };
      case 'grant':
        return { kind, grant: decodeGrant(object) };
      case 'token':
        return { kind, token: decodeToken(object) };
    }
  });
}

function encodeCounters(counters: CatalogCounters): Buffer {
  const writer = new WireWriter(64);
  writer.uint(1, counters.nextTopicId);
  writer.uint(2, counters.nextPartitionId);
  writer.uint(3, counters.nextSubscriptionId);
  writer.uint(4, counters.nextRevision);
  writer.uint(5, counters.nextTenantId);
  return writer.finish();
}

function decodeCounters(bytes: Uint8Array): CatalogCounters {
  const counters = {
    nextTopicId: 0,
    nextPartitionId: 0,
    nextSubscriptionId: 0,
    nextRevision: 0,
    nextTenantId: 0,
  };
  readMessage(bytes, {
    [numberField(1)]: (reader) => (counters.nextTopicId = reader.varint()),
    [numberField(2)]: (reader) => (counters.nextPartitionId = reader.varint()),
    [numberField(3)]: (reader) => (counters.nextSubscriptionId = reader.varint()),
    [numberField(4)]: (reader) => (counters.nextRevision = reader.varint()),
    [numberField(5)]: (reader) => (counters.nextTenantId = reader.varint()),
  });
  for (const [name, value] of Object.entries(counters)) {
    if (value === 0) throw new WireError(`${name} is missing`);
  }
  return counters;
}

function orDataLoss<T>(what: string, decode: () => T): T {
  try {
    return decode();
  } catch (cause) {
    const named = cause instanceof BrokerError && cause.reason === 'NAME_INVALID';
    if (!named && !(cause instanceof WireError)) throw cause;
    throw new BrokerError(
      'DATA_LOSS',
      `a journal entry (${what}) is damaged: ${cause.message}; restore the volume from a backup`,
      { cause },
    );
  }
}
