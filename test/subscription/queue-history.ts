// A queue with everything at once (leases, retries, dead letters, delays, priorities, seeks, cancels, checkpoints and
// restarts), and what its journal says of it, read the slow and obvious way: entry by entry, record by record.
import { expect } from 'vitest';
import { partitionId, subscriptionId } from '../../broker/core/ids.ts';
import { BatchMarks } from '../../broker/log/batch-marks.ts';
import type { BatchMark } from '../../broker/log/mark-chunk.ts';
import {
  decodeEntry,
  encodeEntry,
  entryTypeOf,
  type SubscriptionEntry,
} from '../../broker/subscription/entries.ts';
import { QueueRecovery } from '../../broker/subscription/queue-recovery.ts';
import type { QueueState } from '../../broker/subscription/queue-state.ts';
import type { AttemptRun, QueueNext } from '../../broker/subscription/queue-types.ts';

const ids = { subscriptionId: subscriptionId(3), partitionId: partitionId(9) };
const policy = {
  ...{ ackDeadlineMs: 1_000, backoffMinMs: 20, backoffMaxMs: 20, attemptsMax: 2 },
  deadLetterTopic: 'public/default/dead',
};
const draw = (): number => 0;

/** One record a batch. */
export interface QueuedRecord {
  /** 0: none. */
  readonly key: number;
  /** Held back until then; 0: not. */
  readonly deliverAtMs: number;
  readonly priority: number;
}

export const commands = [
  ...([
    'lease to 1',
    'lease to 2',
    'ack',
    'nack',
    'reject',
    'return',
    'release 1',
    'send',
  ] as const),
  ...([
    'time',
    'seek to 0',
    'seek to 2',
    'cancel',
    'checkpoint',
    'restart',
    'restart early',
  ] as const),
] as const;
export type Command = (typeof commands)[number];

/** What the journal says of a record. */
interface Durable {
  acked: boolean;
  /** Number of the letter that it waits for; 0: none. */
  letter: number;
  attempts: number;
}

export class QueueHistory {
  private readonly isKeyed: boolean;
  private readonly records: readonly QueuedRecord[];
  private readonly journal: SubscriptionEntry[] = [];
  private readonly checkpoints: { readonly at: number; readonly bytes: Uint8Array }[] = [];
  private readonly cancelled = new Set<number>();
  private readonly released = new Set<number>();
  private readonly sent: number[] = [];
  private marks: BatchMarks;
  private state: QueueState;
  private nowMs = 1;
  private epoch = 0;
  private hadLate = false;

  constructor(isKeyed: boolean, records: readonly QueuedRecord[]) {
    this.isKeyed = isKeyed;
    this.records = records;
    this.marks = this.restoredMarks();
    this.state = this.start(QueueRecovery.at(0));
  }

  /** False: the command means nothing now. */
  run(command: Command): boolean {
    const { state } = this;
    const [oldest] = state.claims.leases.values();
    switch (command) {
      case 'lease to 1':
      case 'lease to 2':
        return this.lease(command === 'lease to 1' ? 1 : 2, 2);
      case 'ack':
        return oldest !== undefined && this.ack(oldest.first, oldest.lease);
      case 'nack': {
        const newest = [...state.claims.leases.values()].at(-1);
        if (newest === undefined) return false;
        const { lease, first, last } = newest;
        const runs = state.nack(lease, first, last, 0, this.nowMs, draw);
        if (typeof runs === 'string') return expect.fail(runs);
        this.write(runs);
        return true;
      }
      case 'reject':
        if (oldest === undefined) return false;
        expect(state.reject(oldest.lease, 0, this.records.length, 'no')).toEqual([]);
        this.write([]);
        return true;
      case 'return':
        if (oldest === undefined) return false;
        expect(state.giveBack(oldest.lease, 0, this.records.length, this.nowMs)).toBe('ok');
        return true;
      case 'release 1': {
        const ended = state.releaseConsumer(1, this.nowMs);
        this.write(ended.flatMap(({ runs }) => runs));
        return ended.length > 0;
      }
      case 'send':
        return this.send();
      case 'time':
        this.passTime(30);
        return true;
      case 'seek to 0':
      case 'seek to 2':
        this.seek(command === 'seek to 0' ? 0 : 2);
        return true;
      case 'cancel':
        return this.cancel();
      case 'checkpoint':
        this.checkpoints.push({ at: this.journal.length, bytes: state.checkpoint(0) });
        return this.checkpoints.at(-2)?.at !== this.journal.length;
      case 'restart':
        this.restart(this.journal.length);
        return true;
      case 'restart early':
        // The last entry had not reached the disk.
        if (this.journal.length === 0) return false;
        this.restart(this.journal.length - 1);
        return true;
    }
  }

  /** The state is what the journal says, and its counters add up. */
  compare(): void {
    const { state, records, nowMs } = this;
    const { acks, leases, retries, outbox } = state.claims;
    state.check();
    const durable = this.durable();
    const waiting = [...retries, ...this.recoveredAttempts()];
    // One comparison for all records: an expectation each took most of the test's time.
    const expected = durable.map(({ acked, letter, attempts }, offset) => {
      if (acked || this.cancelled.has(offset)) return 'acked';
      return letter > 0 ? `letter ${letter}` : `attempts ${attempts}`;
    });
    const found = durable.map((_, offset) => {
      if (acks.has(offset)) return 'acked';
      const letter = outbox.letterOf(offset);
      if (letter !== undefined) return `letter ${letter.number}`;
      const back = waiting.find(({ first, last }) => offset >= first && offset <= last);
      const out = leases.holderOf(offset);
      return `attempts ${out === undefined ? (back?.attempts ?? 0) : out.attempt - 1}`;
    });
    if (found.join() !== expected.join()) expect(found, 'against the journal').toEqual(expected);
    const { ready, inFlight, waiting: later, delayed, dead } = state.counts(nowMs, records.length);
    const unacked = records.filter((_, offset) => !acks.has(offset)).length;
    const sum = ready + inFlight + later + delayed + dead;
    if (sum !== unacked) expect(sum, 'sum of the counters').toBe(unacked);
  }

  /** Works through what is left: everything ends once, and every letter that ever died is sent. */
  drain(): void {
    const { records } = this;
    for (let i = 0; i < 50 && this.state.floor < records.length; i++) {
      this.passTime(100);
      while (this.send());
      while (this.lease(1, 5));
      for (const { lease, first, last } of [...this.state.claims.leases.values()]) {
        for (let offset = first; offset <= last; offset++) this.ack(offset, lease);
      }
    }
    expect(this.state.floor).toBe(records.length);
    while (this.send());
    this.compare();
    // A letter is sent again only when a restart has forgotten that it arrived; none is left out.
    const numbers = [...new Set(this.sent)];
    expect(numbers).toEqual(numbers.map((_, i) => i + 1));
  }

  private lease(consumer: number, max: number): boolean {
    const next = this.next(max);
    if (next.kind !== 'run') {
      const left = this.records.findIndex((_, offset) => this.couldGo(offset));
      if (left !== -1) expect.fail(`nothing goes, but record ${left} could`);
      return false;
    }
    const { first, last, attempt } = next;
    expect(last - first).toBeLessThan(max);
    if (attempt >= policy.attemptsMax) expect(last).toBe(first);
    const durable = this.durable();
    for (let offset = first; offset <= last; offset++) {
      if (!this.couldGo(offset)) expect.fail(`record ${offset} goes, and must not`);
      const ended = durable[offset]?.attempts ?? 0;
      if (attempt !== ended + 1) expect.fail(`attempt ${attempt} of ${offset} after ${ended}`);
    }
    this.state.lease(first, last, consumer, this.nowMs);
    return true;
  }

  private next(max: number): QueueNext {
    for (;;) {
      const next = this.state.next(this.nowMs, this.records.length, max);
      if (next.kind !== 'keys') return next;
      // One record a batch, as the log gives them.
      this.state.offerKeys(next.from, Uint32Array.of(this.records[next.from]?.key ?? 0));
    }
  }

  private couldGo(offset: number): boolean {
    const { acks, leases, retries, outbox } = this.state.claims;
    const isOut = (at: number): boolean => leases.holderOf(at) !== undefined && !acks.has(at);
    if (acks.has(offset) || isOut(offset) || outbox.has(offset)) return false;
    const retry = retries.at(offset);
    if (retry !== undefined) return retry.readyAtMs <= this.nowMs;
    if (this.isHeld(offset)) return false;
    const { key } = this.records[offset] as QueuedRecord;
    if (!this.isKeyed || key === 0) return true;
    return this.records.every((other, at) => {
      if (at === offset || other.key !== key || acks.has(at)) return true;
      if (isOut(at) || outbox.has(at) || retries.at(at) !== undefined) return false;
      // The line is in the order of offsets until somebody joins it late.
      return at > offset || this.isHeld(at) || this.hadLate;
    });
  }

  private isHeld(offset: number): boolean {
    const { deliverAtMs = 0 } = this.records[offset] ?? {};
    return deliverAtMs > 0 && !this.released.has(offset);
  }

  private ack(offset: number, lease: number): boolean {
    const answer = this.state.ack(offset, offset, lease);
    if (typeof answer === 'string') return expect.fail(answer);
    if (answer > 0) this.note({ kind: 'acked', ...ids, ranges: [{ first: offset, last: offset }] });
    return answer > 0;
  }

  private send(): boolean {
    const { first } = this.state.outbox;
    if (first === undefined) return false;
    this.note({ kind: 'deadDone', ...ids, number: first.number });
    this.state.deadArrived(first.number);
    this.sent.push(first.number);
    return true;
  }

  private passTime(ms: number): void {
    this.nowMs += ms;
    const runs = this.marks.due(this.nowMs, 10);
    for (const { first } of runs) this.released.add(first);
    this.hadLate ||= runs.length > 0;
    this.state.released(runs);
  }

  private seek(offset: number): void {
    const { fence } = this.state.seek(offset);
    this.note({ kind: 'seek', ...ids, offset, fence });
    this.hadLate = false;
  }

  private cancel(): boolean {
    const runs = this.marks.cancel(0, this.records.length - 1);
    for (const { first } of runs) this.cancelled.add(first);
    this.state.cancelled(runs);
    return runs.length > 0;
  }

  /** Recovery from the newest checkpoint and from the whole journal give the same. */
  private restart(durableEntries: number): void {
    this.journal.length = durableEntries;
    while ((this.checkpoints.at(-1)?.at ?? 0) > durableEntries) this.checkpoints.pop();
    this.epoch++;
    this.released.clear();
    for (const [offset, { deliverAtMs }] of this.records.entries()) {
      if (deliverAtMs <= this.nowMs) this.released.add(offset);
    }
    this.hadLate = false;
    this.marks = this.restoredMarks();
    const whole = this.start(this.replayed(QueueRecovery.at(0), 0));
    const newest = this.checkpoints.at(-1);
    this.state =
      newest === undefined
        ? whole
        : this.start(this.replayed(QueueRecovery.fromCheckpoint(newest.bytes), newest.at));
    const read = Buffer.from(this.state.checkpoint(0));
    if (!read.equals(whole.checkpoint(0))) expect(read).toEqual(Buffer.from(whole.checkpoint(0)));
  }

  private replayed(recovery: QueueRecovery, from: number): QueueRecovery {
    for (const entry of this.journal.slice(from)) {
      const read = decodeEntry(entryTypeOf(entry), encodeEntry(entry));
      if (read.kind === 'acked') for (const range of read.ranges) recovery.applyAcked(range);
      if (read.kind === 'attempts') for (const run of read.runs) recovery.applyAttempts(run);
      if (read.kind === 'seek') recovery.applySeek(read.offset, read.fence);
      if (read.kind === 'dead') recovery.applyDead(read.letters);
      if (read.kind === 'deadDone') recovery.applyDeadDone(read.number);
    }
    return recovery;
  }

  private start(recovery: QueueRecovery): QueueState {
    const { nowMs, isKeyed, marks } = this;
    const end = this.records.length;
    const firstLease = (this.epoch + 1) * 1_000;
    const times = { nowMs, wallMs: nowMs };
    const state = recovery.start({ policy, ...times, end, firstLease, marks, isKeyed });
    // Its journal is durable at once.
    state.attemptsDurable(Infinity);
    return state;
  }

  private restoredMarks(): BatchMarks {
    const marks = new BatchMarks({ left: 1_000 });
    for (const offset of this.cancelled) marks.restoreCancelled({ first: offset, last: offset });
    for (const [first, { deliverAtMs: dueMs, priority }] of this.records.entries()) {
      const deliverAtMs = dueMs > this.nowMs ? dueMs : 0;
      const mark: BatchMark = { first, count: 1, deliverAtMs, priority };
      if (deliverAtMs > 0 || priority > 0) marks.add(mark);
    }
    return marks;
  }

  private *recoveredAttempts() {
    const source: unknown = Reflect.get(this.state, 'source');
    yield* (source as { recoveredAttempts(): Iterable<AttemptRun> }).recoveredAttempts();
  }

  /** As the shell does it: attempts, then what has died. */
  private write(runs: readonly AttemptRun[]): void {
    const durable = runs.map(({ first, last, attempts, readyAtMs }) => {
      return { first, last, attempts, readyAtWallMs: readyAtMs };
    });
    if (runs.length > 0) this.note({ kind: 'attempts', ...ids, runs: durable });
    const letters = this.state.outbox.takeNew();
    if (letters.length > 0) this.note({ kind: 'dead', ...ids, letters });
  }

  private note(entry: SubscriptionEntry): void {
    this.journal.push(entry);
  }

  /** What the journal says, read from its beginning. */
  private durable(): Durable[] {
    const all = this.records.map((): Durable => ({ acked: false, letter: 0, attempts: 0 }));
    const ack = (record: Durable): void => void Object.assign(record, { acked: true, letter: 0 });
    for (const entry of this.journal) {
      if (entry.kind === 'acked') {
        for (const { first, last } of entry.ranges) all.slice(first, last + 1).forEach(ack);
      } else if (entry.kind === 'attempts') {
        for (const { first, last, attempts } of entry.runs) {
          for (const record of all.slice(first, last + 1)) record.attempts = attempts;
        }
      } else if (entry.kind === 'seek') {
        for (const [offset, record] of all.entries()) {
          Object.assign(record, { acked: offset < entry.offset, letter: 0, attempts: 0 });
        }
      } else if (entry.kind === 'dead') {
        for (const { offset, number } of entry.letters) {
          const record = all[offset];
          if (record?.acked === false) record.letter = number;
        }
      } else if (entry.kind === 'deadDone') {
        all.filter(({ letter }) => letter > 0 && letter <= entry.number).forEach(ack);
      }
    }
    return all;
  }
}
