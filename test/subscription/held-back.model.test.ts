// Delivery times and priorities: any history of appends, clock, hand-overs, cancels, seeks and restarts against a list
// of records.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { limits } from '../../broker/core/limits.ts';
import { partitionId } from '../../broker/core/ids.ts';
import { BatchMarks, type MarkBudget } from '../../broker/log/batch-marks.ts';
import { decodeMarksEntry, encodeMarks } from '../../broker/log/entries.ts';
import { QueueRecovery } from '../../broker/subscription/queue-recovery.ts';
import type { QueueState } from '../../broker/subscription/queue-state.ts';

interface ModelRecord {
  priority: number;
  readonly key: number;
  /** Held back until then, and released once it has been reached. */
  deliverAtMs: number;
  state: 'fresh' | 'out' | 'acked';
}

const policy = { ackDeadlineMs: 1_000_000, backoffMinMs: 1, backoffMaxMs: 1 };
const budgetAll = 1_000;

class Harness {
  readonly records: ModelRecord[] = [];
  private readonly cancelled = new Set<number>();
  /** Number of its batch, by offset. */
  private readonly batches: number[] = [];
  private budget: MarkBudget = { left: budgetAll };
  private marks = new BatchMarks(this.budget);
  private readonly isKeyed: boolean;
  private state: QueueState;
  private nowMs = 1_000;
  private epoch = 1;
  private preferredInRow = 0;
  private hadLate = false;

  constructor(isKeyed: boolean) {
    this.isKeyed = isKeyed;
    this.state = this.recovered(QueueRecovery.at(0));
  }

  append(count: number, delayMs: number, priority: number, key: number): void {
    const deliverAtMs = delayMs > 0 ? this.nowMs + delayMs : 0;
    const first = this.records.length;
    if (deliverAtMs > 0 || priority > 0) {
      this.marks.add({ first, count, deliverAtMs, priority });
    }
    for (let i = 0; i < count; i++) {
      this.records.push({ priority, key, deliverAtMs, state: 'fresh' });
    }
  }

  /** The clock may step back: what was due stays due. */
  tick(ms: number, max: number): void {
    this.nowMs += ms;
    const runs = this.marks.due(this.nowMs, max);
    if (runs.length > 0) this.hadLate = true;
    for (const { first, last } of runs) {
      for (let offset = first; offset <= last; offset++) this.record(offset).deliverAtMs = 0;
    }
    this.state.released(runs);
  }

  take(recordsMax: number): boolean {
    const next = this.next(recordsMax);
    if (next?.kind !== 'run') {
      const due = this.records.filter((record) => this.mayGo(record));
      expect(due).toEqual([]);
      return false;
    }
    expect(next.last - next.first).toBeLessThan(recordsMax);
    for (let offset = next.first; offset <= next.last; offset++) {
      expect(this.mayGo(this.record(offset)), `record ${offset}`).toBe(true);
    }
    if (!this.isKeyed) this.checkPreference(next.first);
    const { first, last } = this.state.lease(next.first, next.last, 1, 0);
    for (let offset = first; offset <= last; offset++) this.record(offset).state = 'out';
    return true;
  }

  ack(nth: number): void {
    const out = [...this.records.entries()].filter(([, { state }]) => state === 'out');
    const one = out[nth % Math.max(out.length, 1)];
    if (one === undefined) return;
    expect(this.state.ack(one[0], one[0])).toBe(1);
    one[1].state = 'acked';
  }

  /** Of what was never handed out: refused. */
  ackAhead(offset: number): void {
    const record = this.records[offset % Math.max(this.records.length, 1)];
    if (record?.state !== 'fresh' || this.epoch > 1) return;
    const at = this.records.indexOf(record);
    expect(this.state.ack(at, at)).toBe('invalid');
  }

  cancel(at: number, length: number): void {
    const first = at % Math.max(this.records.length, 1);
    const last = Math.min(first + length, this.records.length - 1);
    const runs = this.marks.cancel(first, last);
    const taken = runs.flatMap((run) => offsets(run.first, run.last));
    const held = offsets(first, last).filter((offset) => {
      const { deliverAtMs, priority } = this.record(offset);
      return deliverAtMs > 0 && priority >= 0 && !this.cancelled.has(offset);
    });
    expect(taken).toEqual(held);
    for (const offset of taken) {
      this.record(offset).state = 'acked';
      this.cancelled.add(offset);
    }
    this.state.cancelled(runs);
  }

  seek(at: number): void {
    const offset = at % (this.records.length + 1);
    this.state.seek(offset);
    this.preferredInRow = 0;
    for (const [i, record] of this.records.entries()) {
      record.state = i < offset || this.cancelled.has(i) ? 'acked' : 'fresh';
    }
  }

  /** As after a crash: leases are gone, marks come from their checkpoint. */
  restart(): void {
    const entries = [...this.marks.encodedChunks()].map((encode) =>
      decodeMarksEntry(encodeMarks(partitionId(1), encode())),
    );
    const runs = [...this.marks.cancelledRuns()].map((run) => ({ ...run }));
    this.budget = { left: budgetAll };
    this.marks = new BatchMarks(this.budget);
    for (const run of runs) this.marks.restoreCancelled(run);
    for (const mark of entries.flatMap(({ marks }) => marks)) this.marks.add(mark);
    this.epoch++;
    this.state = this.recovered(QueueRecovery.fromCheckpoint(this.state.checkpoint(0)));
    this.preferredInRow = 0;
    for (const record of this.records) if (record.state === 'out') record.state = 'fresh';
  }

  trim(): void {
    const acked = this.records.findIndex(({ state }) => state !== 'acked');
    const below = acked === -1 ? this.records.length : acked;
    this.marks.trim(0, below);
    // What everybody has acked goes by offset if somebody seeks back to it.
    for (const [offset, record] of this.records.entries()) {
      const isWhole = this.batchOf(below) !== this.batchOf(offset);
      if (offset < below && isWhole) record.priority = 0;
    }
  }

  compare(): void {
    this.state.check();
    const end = this.records.length;
    const held = this.records.filter(
      ({ deliverAtMs, state }, offset) =>
        deliverAtMs > 0 && state === 'fresh' && !this.cancelled.has(offset),
    ).length;
    const { delayed, ready, inFlight, floor } = this.state.counts(0, end);
    expect(delayed).toBe(held);
    expect(inFlight).toBe(this.records.filter(({ state }) => state === 'out').length);
    const fresh = this.records.filter(({ state }) => state === 'fresh').length;
    expect(ready).toBe(fresh - held);
    const first = this.records.findIndex(({ state }) => state !== 'acked');
    expect(floor).toBe(first === -1 ? end : first);
  }

  drain(): void {
    this.tick(1_000_000, Infinity);
    for (let i = 0; i < 10_000; i++) {
      this.ack(0);
      if (!this.take(3) && !this.records.some(({ state }) => state === 'out')) break;
    }
    this.compare();
    expect(this.records.filter(({ state }) => state !== 'acked')).toEqual([]);
    this.marks.trim(this.records.length, this.records.length);
    expect(this.marks.isEmpty).toBe(true);
    expect(this.budget.left).toBe(budgetAll);
  }

  private next(recordsMax: number) {
    for (;;) {
      const next = this.state.next(0, this.records.length, recordsMax);
      if (next.kind !== 'keys') return next;
      // To the end of its batch, as the log gives them: neighbours with one key here.
      const { key, deliverAtMs } = this.record(next.from);
      let last = next.from;
      while (this.batchOf(last + 1) === this.batchOf(next.from)) last++;
      expect(deliverAtMs).toBe(0);
      this.state.offerKeys(next.from, new Uint32Array(last - next.from + 1).fill(key));
    }
  }

  noteBatch(count: number, number: number): void {
    for (let i = 0; i < count; i++) this.batches.push(number);
  }

  private batchOf(offset: number): number {
    return this.batches[offset] ?? -1;
  }

  private mayGo(record: ModelRecord): boolean {
    if (record.state !== 'fresh' || record.deliverAtMs > 0) return false;
    if (!this.isKeyed || record.key === 0) return true;
    return !this.records.some((other) => other.key === record.key && other.state === 'out');
  }

  private checkPreference(first: number): void {
    const fresh = [...this.records.entries()].filter(([, record]) => this.mayGo(record));
    const oldest = fresh[0]?.[0];
    const highest = Math.max(...fresh.map(([, { priority }]) => priority));
    const taken = this.record(first);
    const isTurn = this.preferredInRow === 9;
    if (!isTurn) expect(taken.priority === highest || first === oldest).toBe(true);
    // Of what was held back the first to be due stands for the others.
    const isOldest = first === oldest || isTurn;
    this.preferredInRow = isOldest ? 0 : this.preferredInRow + 1;
    if (isOldest && !this.hadLate) expect(first).toBe(oldest);
  }

  private record(offset: number): ModelRecord {
    const record = this.records[offset];
    if (record === undefined) throw new Error(`no record ${offset}`);
    return record;
  }

  private recovered(recovery: QueueRecovery): QueueState {
    return recovery.start({
      policy,
      nowMs: 0,
      wallMs: 0,
      end: this.records.length,
      firstLease: this.epoch * 1_000_000,
      unackedMax: limits.unackedRecordsMax,
      isKeyed: this.isKeyed,
      marks: this.marks,
    });
  }
}

function offsets(first: number, last: number): number[] {
  return Array.from({ length: Math.max(last - first + 1, 0) }, (_, i) => first + i);
}

const step = fc.record({
  verb: fc.constantFrom(
    ...['append', 'append', 'append', 'tick', 'take', 'take', 'take', 'ack', 'ack', 'ahead'],
    ...['cancel', 'seek', 'restart', 'trim'],
  ),
  a: fc.nat(40),
  b: fc.nat(9),
  c: fc.nat(9),
});
const histories = fc.array(step, { maxLength: 80, size: 'max' });

function play(
  isKeyed: boolean,
  steps: readonly { verb: string; a: number; b: number; c: number }[],
) {
  const harness = new Harness(isKeyed);
  steps.forEach(({ verb, a, b, c }, number) => {
    const count = 1 + (a % 4);
    if (verb === 'append') {
      harness.noteBatch(count, number);
      harness.append(count, b < 5 ? 0 : a * 3 + 1, isKeyed || c < 6 ? 0 : c, isKeyed ? c % 4 : 0);
    } else if (verb === 'tick') harness.tick(b === 0 ? -30 : a, 1 + c);
    else if (verb === 'take') harness.take(1 + b);
    else if (verb === 'ack') harness.ack(a);
    else if (verb === 'ahead') harness.ackAhead(a);
    else if (verb === 'cancel') harness.cancel(a, b);
    else if (verb === 'seek' && a % 4 === 0) harness.seek(a + b * 5);
    else if (verb === 'restart') harness.restart();
    else if (verb === 'trim') harness.trim();
    harness.compare();
  });
  harness.drain();
}

describe('records with a delivery time or a priority', () => {
  it('go when they are due, the higher ones first, each once, and are gone when cancelled', () => {
    fc.assert(
      fc.property(histories, (steps) => play(false, steps)),
      { numRuns: 1_000 },
    );
  }, 60_000);

  it('join the line of their key when they are due', () => {
    fc.assert(
      fc.property(histories, (steps) => play(true, steps)),
      { numRuns: 1_000 },
    );
  }, 60_000);
});
