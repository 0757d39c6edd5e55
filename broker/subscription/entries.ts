// The journal's control entries of one subscription in one partition, and their bytes.
//
// Which entry it is stands in the journal's frame (entryTypes). The payload is unsigned varints in the order of the
// fields; a list is its length and its elements. The journal's CRC covers it, so what does not fit here is a bug or
// damage that the CRC missed: DATA_LOSS either way, never a guess.
//
// Order matters: entries are applied in the order of the journal. Each may be applied twice.
import { assert } from '../core/assert.ts';
import { entryTypes } from '../core/entry-types.ts';
import {
  partitionId,
  subscriptionId,
  type Offset,
  type PartitionId,
  type SubscriptionId,
} from '../core/ids.ts';
import type { WireReader } from '../../proto/wire/reader.ts';
import { WireWriter } from '../../proto/wire/writer.ts';
import { readDurable, readOffset, type Damaged } from './durable-bytes.ts';
import { readDeadLetter, writeDeadLetter } from './dead-letter-codec.ts';
import { isOffset, isRange, type OffsetRange } from './offset-range.ts';
import type { DeadLetter } from './outbox-state.ts';

interface EntryHead {
  readonly subscriptionId: SubscriptionId;
  readonly partitionId: PartitionId;
}

/** These records are acked. For a stream: up to the last one. */
export interface AckDelta extends EntryHead {
  readonly kind: 'acked';
  readonly ranges: readonly OffsetRange[];
}

/** Records of a queue whose attempt has ended without an ack. */
export interface DurableAttemptRun extends OffsetRange {
  /** Attempts that have ended, from 1. */
  readonly attempts: number;
  /** Wall-clock milliseconds; not delivered before. 0: at once. */
  readonly readyAtWallMs: number;
}

/** The attempts of these records are known anew. */
export interface AttemptDelta extends EntryHead {
  readonly kind: 'attempts';
  readonly runs: readonly DurableAttemptRun[];
}

/** Everything below the offset is acked, everything from it on is not, and attempts start again. */
export interface SeekDelta extends EntryHead {
  readonly kind: 'seek';
  readonly offset: Offset;
  /** Leases with lower numbers are void. 0 for a stream. */
  readonly fence: number;
}

/** The whole state at this place of the journal. */
export interface SubscriptionCheckpoint extends EntryHead {
  readonly kind: 'subscriptionCheckpoint';
  readonly subscriptionKind: 'stream' | 'queue';
  /** As StreamState.encode or QueueState.checkpoint made it. A view of the entry when decoded. */
  readonly state: Uint8Array;
}

/** The subscription was deleted; its id does not come back. */
export interface SubscriptionRemoved extends EntryHead {
  readonly kind: 'subscriptionRemoved';
}

/** These records are on their way to another topic. */
export interface DeadDelta extends EntryHead {
  readonly kind: 'dead';
  /** None is detached. */
  readonly letters: readonly DeadLetter[];
}

/** Letters up to the number have arrived; their records are acked. */
export interface DeadDoneDelta extends EntryHead {
  readonly kind: 'deadDone';
  readonly number: number;
}

/** The letter does not go anywhere: its record is to be delivered again. */
export interface DeadReturnedDelta extends EntryHead {
  readonly kind: 'deadReturned';
  readonly number: number;
}

/** As `acked`, by a job. */
export interface PurgedDelta extends EntryHead {
  readonly kind: 'purged';
  readonly job: number;
  readonly ranges: readonly OffsetRange[];
}

export type SubscriptionEntry =
  | AckDelta
  | AttemptDelta
  | SeekDelta
  | DeadDelta
  | DeadDoneDelta
  | DeadReturnedDelta
  | PurgedDelta
  | SubscriptionCheckpoint
  | SubscriptionRemoved;

const subscriptionKindBytes = { stream: 1, queue: 2 } as const;

/** Bytes of the largest head, two ids, and what else stands once. */
const headBytesMax = 16;
/** Usual bytes of an element of a list, to grow the buffer once. */
const elementBytes = 16;

/** Its type in the journal. */
export function entryTypeOf(entry: SubscriptionEntry): number {
  return entryTypes[entry.kind];
}

/** The payload; its type is entryTypeOf(entry). */
export function encodeEntry(entry: SubscriptionEntry): Uint8Array {
  const writer = new WireWriter(headBytesMax + bodyBytes(entry));
  writer.varint(entry.subscriptionId);
  writer.varint(entry.partitionId);
  switch (entry.kind) {
    case 'acked':
      assert(entry.ranges.length > 0, 'an ack delta without ranges');
      writer.varint(entry.ranges.length);
      for (const range of entry.ranges) writeRange(writer, range);
      break;
    case 'attempts':
      assert(entry.runs.length > 0, 'an attempt delta without runs');
      writer.varint(entry.runs.length);
      for (const run of entry.runs) {
        assert(run.attempts > 0, `attempt run with ${run.attempts} attempts`);
        writeRange(writer, run);
        writer.varint(run.attempts);
        writer.varint(run.readyAtWallMs);
      }
      break;
    case 'seek':
      assert(isOffset(entry.offset), `seek to ${entry.offset}`);
      writer.varint(entry.offset);
      writer.varint(entry.fence);
      break;
    case 'dead':
      assert(entry.letters.length > 0, 'a dead delta without letters');
      writer.varint(entry.letters.length);
      for (const letter of entry.letters) writeDeadLetter(writer, letter);
      break;
    case 'deadDone':
    case 'deadReturned':
      writer.varint(entry.number);
      break;
    case 'purged':
      assert(entry.ranges.length > 0, 'a purge without ranges');
      writer.varint(entry.job);
      writer.varint(entry.ranges.length);
      for (const range of entry.ranges) writeRange(writer, range);
      break;
    case 'subscriptionCheckpoint':
      writer.varint(subscriptionKindBytes[entry.subscriptionKind]);
      writer.varint(entry.state.length);
      writer.raw(entry.state);
      break;
    case 'subscriptionRemoved':
      break;
  }
  return writer.finish();
}

/** Throws DATA_LOSS when the bytes are not what `encodeEntry` made. */
export function decodeEntry(type: number, bytes: Uint8Array): SubscriptionEntry {
  return readDurable('subscription entry', bytes, (reader, damaged) => {
    const head: EntryHead = {
      subscriptionId: subscriptionId(readId(reader, damaged)),
      partitionId: partitionId(readId(reader, damaged)),
    };
    switch (type) {
      case entryTypes.acked:
        return { kind: 'acked', ...head, ranges: readList(reader, damaged, readRange) };
      case entryTypes.attempts:
        return { kind: 'attempts', ...head, runs: readList(reader, damaged, readAttempts) };
      case entryTypes.seek: {
        const offset = readOffset(reader, damaged);
        return { kind: 'seek', ...head, offset, fence: readOffset(reader, damaged) };
      }
      case entryTypes.dead:
        return { kind: 'dead', ...head, letters: readList(reader, damaged, readDeadLetter) };
      case entryTypes.deadDone:
        return { kind: 'deadDone', ...head, number: readOffset(reader, damaged) };
      case entryTypes.deadReturned:
        return { kind: 'deadReturned', ...head, number: readOffset(reader, damaged) };
      case entryTypes.purged: {
        const job = readOffset(reader, damaged);
        return { kind: 'purged', ...head, job, ranges: readList(reader, damaged, readRange) };
      }
      case entryTypes.subscriptionCheckpoint: {
        const subscriptionKind = readSubscriptionKind(reader, damaged);
        return { kind: 'subscriptionCheckpoint', ...head, subscriptionKind, state: reader.view() };
      }
      case entryTypes.subscriptionRemoved:
        return { kind: 'subscriptionRemoved', ...head };
      default:
        throw damaged(`type ${type} is not one of a subscription`);
    }
  });
}

function bodyBytes(entry: SubscriptionEntry): number {
  switch (entry.kind) {
    case 'acked':
    case 'purged':
      return elementBytes * (2 + entry.ranges.length);
    case 'attempts':
      return 2 * elementBytes * (1 + entry.runs.length);
    case 'dead':
      return entry.letters.reduce((sum, { text }) => sum + 3 * elementBytes + 3 * text.length, 0);
    case 'subscriptionCheckpoint':
      return headBytesMax + entry.state.length;
    case 'seek':
    case 'deadDone':
    case 'deadReturned':
    case 'subscriptionRemoved':
      return elementBytes;
  }
}

function writeRange(writer: WireWriter, range: OffsetRange): void {
  assert(isRange(range.first, range.last), `entry for ${range.first}-${range.last}`);
  writer.varint(range.first);
  writer.varint(range.last - range.first);
}

function readRange(reader: WireReader, damaged: Damaged): OffsetRange {
  const first = reader.varint();
  const last = first + reader.varint();
  if (!isOffset(last)) throw damaged(`range ends at ${last}`);
  return { first, last };
}

function readAttempts(reader: WireReader, damaged: Damaged): DurableAttemptRun {
  const { first, last } = readRange(reader, damaged);
  const attempts = reader.varint();
  if (attempts === 0) throw damaged(`no attempts of ${first}-${last}`);
  return { first, last, attempts, readyAtWallMs: reader.varint() };
}

/** At least one element; an entry about nothing is not written. */
function readList<T>(
  reader: WireReader,
  damaged: Damaged,
  read: (reader: WireReader, damaged: Damaged) => T,
): readonly T[] {
  const count = reader.varint();
  if (count === 0) throw damaged('an empty list');
  const elements: T[] = [];
  for (let i = 0; i < count; i++) elements.push(read(reader, damaged));
  return elements;
}

function readId(reader: WireReader, damaged: Damaged): number {
  const id = reader.uint32();
  if (id === 0) throw damaged('id 0');
  return id;
}

function readSubscriptionKind(reader: WireReader, damaged: Damaged): 'stream' | 'queue' {
  const kind = reader.varint();
  if (kind === subscriptionKindBytes.stream) return 'stream';
  if (kind === subscriptionKindBytes.queue) return 'queue';
  throw damaged(`subscription kind ${kind} is unknown`);
}
