// The bytes of a queue subscription's checkpoint: fence, acks, the attempts of what is not acked, what is on its way to
// another topic, and what jobs have done.
//
// Bounded without splitting: unacked records between acked ones were in flight or coming back, of which there are at
// most 100,000, so neither ranges nor attempt runs are more: 4 and 12 bytes each, 1.6 MB, within one commit.
import type { WireReader } from '../../proto/wire/reader.ts';
import { WireWriter } from '../../proto/wire/writer.ts';
import type { Offset } from '../core/ids.ts';
import { AckSet } from './ack-set.ts';
import { readDeadLetter, writeDeadLetter } from './dead-letter-codec.ts';
import { readDurable, readOffset, type Damaged } from './durable-bytes.ts';
import { JobCounts } from './job-counts.ts';
import type { Claims } from './fresh-source.ts';
import { isOffset } from './offset-range.ts';
import { OutboxState, type DeadLetter } from './outbox-state.ts';
import { RetryQueue, type RetryRun } from './retry-queue.ts';

const formatVersion = 3;
/** Without what jobs have done. */
const versionBeforeJobs = 2;

export interface QueueCheckpoint {
  readonly acks: AckSet;
  /** Times are wall-clock milliseconds here; 0 is ready. */
  readonly retries: RetryQueue;
  readonly fence: number;
  readonly outbox: OutboxState;
}

/**
 * Every run that has had an ended delivery, ascending by offset. Times are monotonic. `recovered`: those that are not
 * claimed yet.
 */
export function attemptRuns(
  { retries, leases, acks }: Claims,
  recovered: Iterable<RetryRun>,
): RetryRun[] {
  const runs: RetryRun[] = [];
  for (const run of retries) if (run.attempts > 0) runs.push({ ...run });
  for (const run of recovered) runs.push({ ...run });
  for (const lease of leases.values()) {
    if (lease.attempt === 1) continue;
    leases.visitHeld(lease, acks, (first, last) => {
      runs.push({ first, last, attempts: lease.attempt - 1, readyAtMs: -Infinity });
    });
  }
  return runs.sort((a, b) => a.first - b.first);
}

/** `runs` ascending by offset; their times plus `wallOffsetMs` are wall-clock milliseconds. */
export function encodeQueueCheckpoint(
  acks: AckSet,
  fence: number,
  runs: readonly RetryRun[],
  wallOffsetMs: number,
  outbox: OutboxState,
): Uint8Array {
  const acked = acks.encode();
  const writer = new WireWriter(acked.length + 16 * runs.length + 32);
  writer.varint(formatVersion);
  writer.varint(fence);
  writer.varint(acked.length);
  writer.raw(acked);
  writer.varint(runs.length);
  let next = 0;
  for (const run of runs) {
    writer.varint(run.first - next);
    writer.varint(run.last - run.first);
    writer.varint(run.attempts);
    writer.varint(wallTime(run.readyAtMs, wallOffsetMs));
    next = run.last + 1;
  }
  const letters = [...outbox];
  writer.varint(outbox.next);
  writer.varint(letters.length);
  for (const letter of letters) writeDeadLetter(writer, letter);
  const jobs = [...outbox.jobs];
  writer.varint(jobs.length);
  for (const [job, done] of jobs) {
    writer.varint(job);
    writer.varint(done);
  }
  return writer.finish();
}

/** Throws DATA_LOSS when the bytes are not what `encodeQueueCheckpoint` made. */
export function decodeQueueCheckpoint(bytes: Uint8Array): QueueCheckpoint {
  return readDurable('queue checkpoint', bytes, (reader, damaged) => {
    const version = reader.varint();
    const hasJobs = version === formatVersion;
    if (!hasJobs && version !== versionBeforeJobs) throw damaged(`version ${version}`);
    const fence = readOffset(reader, damaged);
    const acks = AckSet.decode(reader.view());
    const retries = new RetryQueue();
    const count = reader.varint();
    let next = 0;
    for (let i = 0; i < count; i++) {
      const first = next + reader.varint();
      const last = first + reader.varint();
      const attempts = reader.varint();
      if (!isOffset(last)) throw damaged(`attempts of offset ${last}`);
      if (attempts === 0) throw damaged(`no attempts of offset ${first}`);
      if (acks.countAcked(first, last) > 0) throw damaged(`attempts of acked ${first}-${last}`);
      retries.put(first, last, attempts, reader.varint());
      next = last + 1;
    }
    return { acks, retries, fence, outbox: readOutbox(reader, damaged, hasJobs) };
  });
}

function readOutbox(reader: WireReader, damaged: Damaged, hasJobs: boolean): OutboxState {
  const nextNumber = readOffset(reader, damaged);
  const count = reader.varint();
  const letters: DeadLetter[] = [];
  for (let i = 0; i < count; i++) letters.push(readDeadLetter(reader, damaged));
  const done: [number, number][] = [];
  for (let left = hasJobs ? reader.varint() : 0; left > 0; left--) {
    done.push([readOffset(reader, damaged), readOffset(reader, damaged)]);
  }
  return new OutboxState(nextNumber, letters, new JobCounts(done));
}

/** The checkpoint with nothing at or above `end`: records from there on are other ones now, or not there. */
export function clipQueueCheckpoint(bytes: Uint8Array, end: Offset): Uint8Array {
  const { acks, retries, fence, outbox } = decodeQueueCheckpoint(bytes);
  const kept = new AckSet(Math.min(acks.floor, end));
  for (let at = acks.nextAcked(acks.floor, end); at < end;) {
    const until = Math.min(acks.nextUnacked(at), end);
    kept.add(at, until - 1);
    at = acks.nextAcked(until, end);
  }
  const runs = [...retries]
    .filter(({ first }) => first < end)
    .map((run) => ({ ...run, last: Math.min(run.last, end - 1) }));
  const letters = [...outbox].filter(({ offset }) => offset < end);
  const clipped = new OutboxState(outbox.next, letters, new JobCounts(outbox.jobs));
  return encodeQueueCheckpoint(kept, fence, runs, 0, clipped);
}

/** Whole wall-clock milliseconds, never early; 0 for what has no time to wait for. */
export function wallTime(readyAtMs: number, wallOffsetMs: number): number {
  return Math.max(0, Math.ceil(readyAtMs + wallOffsetMs));
}
