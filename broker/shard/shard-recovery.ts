// Makes the logs and subscriptions of a shard again from what its journal replays.
//
// Invariants:
// - Each object is set by its newest checkpoint entry; what came before that one is overwritten by it, and what came
//   after is applied in order. Entries of an object that is not known (yet) are before its checkpoint: ignored.
// - Nothing is removed because it is missing somewhere: only by its own `dropped` or `removed` entry.
import { decodeStoredHeader, type StoredHeader } from '../batch/stored-header.ts';
import { assert } from '../core/assert.ts';
import { entryTypes } from '../core/entry-types.ts';
import { BrokerError } from '../core/errors.ts';
import { partitionId, type PartitionId, type SubscriptionId } from '../core/ids.ts';
import type { Frame } from '../journal/format.ts';
import type { IndexedRow, Recovery } from '../journal/recovery.ts';
import {
  decodeCancelled,
  decodeManifestPaged,
  decodeMarksEntry,
  decodePartitionCheckpoint,
  decodePartitionDropped,
  decodePublisherOpened,
  decodeSegmentsAdded,
  decodeTrimmed,
} from '../log/entries.ts';
import type { BatchMark } from '../log/mark-chunk.ts';
import type { PartitionLog } from '../log/partition-log.ts';
import { decodeEntry, type SubscriptionEntry } from '../subscription/entries.ts';
import { QueueRecovery } from '../subscription/queue-recovery.ts';
import { StreamState } from '../subscription/stream-state.ts';

/** What the journal says of one subscription in one partition. */
export type RecoveredSubscription =
  | { readonly kind: 'queue'; readonly queue: QueueRecovery }
  | { readonly kind: 'stream'; readonly stream: StreamState };

export type RecoveredSubscriptions = Map<SubscriptionId, Map<PartitionId, RecoveredSubscription>>;

export class ShardRecovery implements Recovery {
  readonly logs = new Map<PartitionId, PartitionLog>();
  readonly subscriptions: RecoveredSubscriptions = new Map();
  private readonly marks = new Map<PartitionId, BatchMark[]>();
  private readonly createLog: (id: PartitionId) => PartitionLog;

  constructor(createLog: (id: PartitionId) => PartitionLog) {
    this.createLog = createLog;
  }

  indexed(page: Buffer, frame: Frame): IndexedRow | undefined {
    if (frame.type !== entryTypes.batch) return undefined;
    const header = decodeStoredHeader(page, frame.guardAt);
    if (header === undefined) {
      throw new BrokerError('DATA_LOSS', 'a batch in the journal has a damaged header');
    }
    const { partitionId: stream, baseOffset, recordCount, appendTimeMs } = header;
    return { stream, firstOffset: baseOffset, recordCount, appendTimeMs };
  }

  replay(page: Buffer, frame: Frame): void {
    const payload = page.subarray(frame.guardAt, frame.bodyAt);
    switch (frame.type) {
      case entryTypes.batch: {
        const header = decodeStoredHeader(page, frame.guardAt);
        assert(header !== undefined, 'a frame with a valid CRC holds a valid batch header');
        this.replayBatch(header);
        break;
      }
      case entryTypes.publisherOpened: {
        const opened = decodePublisherOpened(payload);
        this.log(opened.partition).replayOpened(opened);
        break;
      }
      case entryTypes.trimmed: {
        const trimmed = decodeTrimmed(payload);
        this.log(trimmed.partition).replayTrimmed(trimmed.startOffset);
        break;
      }
      case entryTypes.segmentsAdded: {
        const { tenant, segments } = decodeSegmentsAdded(payload);
        for (const { partition, row } of segments) this.log(partition).addSegment(tenant, row);
        break;
      }
      case entryTypes.manifestPaged: {
        const { partition, page } = decodeManifestPaged(payload);
        this.log(partition).pageManifest(page);
        break;
      }
      case entryTypes.partitionCheckpoint: {
        const checkpoint = decodePartitionCheckpoint(payload);
        this.logs.delete(checkpoint.partition);
        this.log(checkpoint.partition).restore(checkpoint);
        break;
      }
      case entryTypes.partitionDropped: {
        const id = decodePartitionDropped(payload);
        this.logs.delete(id);
        this.marks.delete(id);
        break;
      }
      case entryTypes.marks: {
        const { partition, marks } = decodeMarksEntry(payload);
        const known = this.marksOf(partition);
        for (const mark of marks) known.push(mark);
        break;
      }
      case entryTypes.cancelled: {
        const { partition, runs } = decodeCancelled(payload);
        this.log(partition).replayCancelled(runs);
        break;
      }
      case entryTypes.acked:
      case entryTypes.attempts:
      case entryTypes.seek:
      case entryTypes.dead:
      case entryTypes.deadDone:
      case entryTypes.deadReturned:
      case entryTypes.purged:
      case entryTypes.subscriptionCheckpoint:
      case entryTypes.subscriptionRemoved:
        // A copy: a checkpoint's state keeps views of the entry.
        this.replaySubscription(decodeEntry(frame.type, Buffer.from(payload)));
        break;
      default:
        // The journal's own entries.
        break;
    }
  }

  /**
   * Everything was replayed: parts of a checkpoint and batches behind it may both have named a mark. `nowMs`: wall
   * clock.
   */
  finish(nowMs: number): void {
    for (const [id, marks] of this.marks) {
      marks.sort((a, b) => a.first - b.first);
      const once = marks.filter(({ first }, i) => first !== marks[i - 1]?.first);
      this.log(id).restoreMarks(once, nowMs);
    }
    this.marks.clear();
  }

  private replayBatch(header: StoredHeader): void {
    const id = partitionId(header.partitionId);
    this.log(id).replayBatch(header);
    const { baseOffset: first, recordCount: count, deliverAtMs, priority } = header;
    if (deliverAtMs === 0 && priority === 0) return;
    this.marksOf(id).push({ first, count, deliverAtMs, priority });
  }

  private marksOf(id: PartitionId): BatchMark[] {
    let marks = this.marks.get(id);
    if (marks === undefined) this.marks.set(id, (marks = []));
    return marks;
  }

  private log(id: PartitionId): PartitionLog {
    let log = this.logs.get(id);
    if (log === undefined) this.logs.set(id, (log = this.createLog(id)));
    return log;
  }

  private replaySubscription(entry: SubscriptionEntry): void {
    const { subscriptionId, partitionId } = entry;
    if (entry.kind === 'subscriptionCheckpoint') {
      let states = this.subscriptions.get(subscriptionId);
      if (states === undefined) this.subscriptions.set(subscriptionId, (states = new Map()));
      states.set(
        partitionId,
        entry.subscriptionKind === 'queue'
          ? { kind: 'queue', queue: QueueRecovery.fromCheckpoint(entry.state) }
          : { kind: 'stream', stream: StreamState.decode(entry.state) },
      );
      return;
    }
    const states = this.subscriptions.get(subscriptionId);
    if (entry.kind === 'subscriptionRemoved') {
      states?.delete(partitionId);
      if (states?.size === 0) this.subscriptions.delete(subscriptionId);
      return;
    }
    const state = states?.get(partitionId);
    if (state?.kind === 'queue') replayQueue(state.queue, entry);
    else if (state?.kind === 'stream') replayStream(state.stream, entry);
  }
}

type Delta = Exclude<
  SubscriptionEntry,
  { readonly kind: 'subscriptionCheckpoint' } | { readonly kind: 'subscriptionRemoved' }
>;

function replayQueue(queue: QueueRecovery, entry: Delta): void {
  switch (entry.kind) {
    case 'acked':
      for (const range of entry.ranges) queue.applyAcked(range);
      break;
    case 'attempts':
      for (const run of entry.runs) queue.applyAttempts(run);
      break;
    case 'seek':
      queue.applySeek(entry.offset, entry.fence);
      break;
    case 'dead':
      queue.applyDead(entry.letters);
      break;
    case 'deadDone':
      queue.applyDeadDone(entry.number);
      break;
    case 'deadReturned':
      queue.applyDeadReturned(entry.number);
      break;
    case 'purged':
      for (const range of entry.ranges) queue.applyPurged(entry.job, range);
      break;
  }
}

function replayStream(stream: StreamState, entry: Delta): void {
  switch (entry.kind) {
    case 'acked':
      for (const range of entry.ranges) stream.applyAcked(range.last);
      break;
    case 'attempts':
    case 'dead':
    case 'deadDone':
    case 'deadReturned':
    case 'purged':
      break;
    case 'seek':
      stream.seek(entry.offset);
      break;
  }
}
