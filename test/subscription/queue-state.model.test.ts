// Random commands against a model with one object per record (bugs of the field: Q2-Q5, Q11-Q13, P5, P6, P8, P12).
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { partitionId, subscriptionId } from '../../broker/core/ids.ts';
import {
  decodeEntry,
  encodeEntry,
  entryTypeOf,
  type SubscriptionEntry,
} from '../../broker/subscription/entries.ts';
import { wallTime } from '../../broker/subscription/queue-checkpoint.ts';
import { QueueRecovery } from '../../broker/subscription/queue-recovery.ts';
import type { QueueState } from '../../broker/subscription/queue-state.ts';
import type { AttemptRun, EndedLease } from '../../broker/subscription/queue-types.ts';
import { modelDraw, modelPolicy, QueueModel, type ModelRecord } from './queue-model.ts';
import { noMarks } from '../support/marks.ts';

const unackedMax = 12;
const endMax = 40;
const ids = { subscriptionId: subscriptionId(3), partitionId: partitionId(9) };

const verbs = [
  'append',
  'advance',
  'lease',
  'ack',
  'nack',
  'extend',
  'giveBack',
  'expire',
  'release',
  'seek',
  'skip',
  'checkpoint',
  'restart',
] as const;
type Verb = (typeof verbs)[number];

interface Command {
  readonly verb: Verb;
  /** Operands; each verb reads them its own way. */
  readonly a: number;
  readonly b: number;
  readonly c: number;
}

const rare = new Set<Verb>(['seek', 'skip']);
const seldom = new Set<Verb>(['checkpoint', 'restart', 'release', 'append']);
const verb = fc.oneof(
  ...verbs.map((name) => ({ weight: weightOf(name), arbitrary: fc.constant(name) })),
);
const command: fc.Arbitrary<Command> = fc.record({
  verb,
  a: fc.nat(60),
  b: fc.nat(20),
  c: fc.nat(60),
});

/** Long ones: by default fast-check makes mostly a handful of commands, in which nothing meets anything. */
const histories = fc.array(command, { minLength: 1, maxLength: 100, size: 'max' });

function weightOf(name: Verb): number {
  if (name === 'lease') return 10;
  if (name === 'ack' || name === 'nack') return 6;
  if (rare.has(name)) return 1;
  return seldom.has(name) ? 2 : 4;
}

/** A QueueState, its model, and the journal that a shell would have written. */
class Harness {
  readonly model = new QueueModel(unackedMax);
  state: QueueState;
  private readonly leasesSeen = [0];
  private readonly journal: { type: number; bytes: Uint8Array }[] = [];
  private checkpoints: { at: number; bytes: Uint8Array | undefined }[] = [
    { at: 0, bytes: undefined },
  ];
  /** Wall clock minus monotonic clock; another one after every restart. */
  private wallOffsetMs = 999_000;
  private epoch = 1;

  constructor() {
    this.state = this.recover(QueueRecovery.at(0));
  }

  run(step: Command): void {
    const { model, state } = this;
    switch (step.verb) {
      case 'append':
        for (let i = 0; i <= step.b && model.end < endMax; i++) {
          model.records.push({ state: 'fresh' });
        }
        return;
      case 'advance':
        model.nowMs += step.a;
        return;
      case 'lease':
        this.lease(step);
        return;
      case 'ack':
        this.ack(step);
        return;
      case 'nack':
        this.nack(step);
        return;
      case 'giveBack': {
        const lease = this.seen(step.a);
        const answer = state.giveBack(lease, step.c, step.c + step.b, this.monoMs);
        const given = model.putBack(lease, step.c, step.c + step.b, 0, false);
        expect(answer).toBe(given.length > 0 ? 'ok' : 'lease_lost');
        return;
      }
      case 'extend': {
        const lease = this.seen(step.a);
        const held = model.leases.get(lease);
        expect(state.extend(lease, step.b, this.monoMs)).toBe(held ? 'ok' : 'lease_lost');
        if (held) held.deadlineMs = model.nowMs + (step.b || modelPolicy.ackDeadlineMs);
        return;
      }
      case 'expire':
        this.ended(state.expire(this.monoMs, modelDraw), model.expiredLeases(), 'backoff');
        return;
      case 'release': {
        const consumer = step.a % 3;
        this.ended(state.releaseConsumer(consumer, this.monoMs), model.leasesOf(consumer), 0);
        return;
      }
      case 'seek':
        this.seek(model.start + (step.a % (model.end - model.start + 1)));
        return;
      case 'skip':
        this.skip(Math.min(model.start + step.b, model.end));
        return;
      case 'checkpoint': {
        const bytes = state.checkpoint(this.wallOffsetMs);
        this.checkpoints.push({ at: this.journal.length, bytes });
        return;
      }
      case 'restart':
        this.restart(step.a, step.b % 3 === 0 ? step.b : 0);
    }
  }

  /** Everything that can be asked, against the model; and asking changes nothing (Q13). */
  compare(): void {
    const { model, state } = this;
    state.check();
    expect(state.counts(this.monoMs, model.end)).toEqual(model.counts());
    expect(state.floor).toBe(model.floor);
    expect(state.next(this.monoMs, model.end)).toEqual(model.next(Infinity));
    expect(state.nextWakeMs(this.monoMs)).toBe(model.nextWakeMs() - this.wallOffsetMs);
    // One comparison for all records: hundreds of small ones per command took most of the test's time.
    expect(this.recordsOfState().join('\n')).toBe(model.records.map(shown).join('\n'));
    for (const consumer of [0, 1, 2]) {
      const held = model.leasesOf(consumer).flatMap((lease) => model.heldBy(lease));
      expect(state.inFlightOf(consumer)).toBe(held.length);
    }
    expect([...state.claims.leases.values()].map((lease) => lease.lease)).toEqual([
      ...model.leases.keys(),
    ]);
  }

  private recordsOfState(): string[] {
    const { model, state } = this;
    const records = model.records.map((_, offset): ModelRecord => {
      if (state.claims.acks.has(offset)) return { state: 'acked' };
      const holder = state.claims.leases.holderOf(offset);
      if (holder === undefined) return { state: 'fresh' };
      return { state: 'in_flight', lease: holder.lease, attempt: holder.attempt };
    });
    for (const { first, last, attempts, readyAtMs } of state.claims.retries) {
      for (let offset = first; offset <= last; offset++) {
        expect(records[offset]).toEqual({ state: 'fresh' });
        records[offset] = { state: 'back', attempts, readyAtMs: readyAtMs + this.wallOffsetMs };
      }
    }
    return records.map(shown);
  }

  private get monoMs(): number {
    return this.model.nowMs - this.wallOffsetMs;
  }

  private seen(which: number): number {
    return this.leasesSeen[which % this.leasesSeen.length] ?? 0;
  }

  private lease(step: Command): void {
    const max = step.a < 20 ? Infinity : (step.a % 7) + 1;
    const next = this.state.next(this.monoMs, this.model.end, max);
    expect(next).toEqual(this.model.next(max));
    if (next.kind !== 'run') return;
    const last = Math.min(next.last, next.first + step.b);
    const lease = this.state.lease(next.first, last, step.c % 3, this.monoMs);
    expect(lease.lease).toBeGreaterThan(Math.max(...this.leasesSeen));
    expect(lease).toMatchObject({ first: next.first, last, attempt: next.attempt });
    this.model.lease(next.first, last, lease.lease, step.c % 3);
    this.leasesSeen.push(lease.lease);
  }

  private ack(step: Command): void {
    const first = step.a % (endMax + 1);
    const last = first + (step.b % 5);
    const lease = step.c < 40 ? 0 : this.seen(step.c);
    const answer = this.state.ack(first, last, lease);
    expect(answer).toBe(this.model.ack(first, last, lease));
    if (typeof answer === 'number' && answer > 0) {
      this.write({ kind: 'acked', ...ids, ranges: [{ first, last }] });
    }
  }

  private nack(step: Command): void {
    const lease = this.seen(step.a);
    const delayMs = step.b % 2 === 0 ? 0 : step.b;
    const first = step.c % (endMax + 1);
    const last = first + step.b;
    const answer = this.state.nack(lease, first, last, delayMs, this.monoMs, modelDraw);
    const given = this.model.putBack(lease, first, last, delayMs || 'backoff', true);
    if (given.length === 0) {
      expect(answer).toBe('lease_lost');
      return;
    }
    if (typeof answer === 'string') expect.fail(answer);
    expect(offsetsOf(answer)).toEqual(given);
    this.writeAttempts(answer);
  }

  private ended(ended: readonly EndedLease[], leases: number[], waitMs: number | 'backoff'): void {
    expect(ended.map((end) => end.lease).toSorted(byNumber)).toEqual(leases.toSorted(byNumber));
    for (const { lease, runs } of ended) {
      expect(offsetsOf(runs)).toEqual(this.model.putBack(lease, 0, endMax, waitMs, true));
      this.writeAttempts(runs);
    }
  }

  private seek(to: number): void {
    const held = [...this.model.leases.keys()];
    const { fence, lost } = this.state.seek(to);
    expect(lost.map((lease) => lease.lease)).toEqual(held);
    expect(fence).toBeGreaterThan(Math.max(...this.leasesSeen));
    this.model.seek(to, fence);
    this.write({ kind: 'seek', ...ids, offset: to, fence });
  }

  private skip(to: number): void {
    const before = [...this.model.leases.keys()];
    const { gone, ended } = this.state.skipTo(to);
    expect(gone).toBe(this.model.skipTo(to));
    const after = before.filter((lease) => !this.model.leases.has(lease));
    expect(ended.map((lease) => lease.lease).toSorted(byNumber)).toEqual(after);
  }

  /** From an older checkpoint too, and with entries again that it has seen. */
  private restart(which: number, again: number): void {
    const checkpoint = this.checkpoints[which % this.checkpoints.length];
    if (checkpoint === undefined) return;
    const { at, bytes } = checkpoint;
    const recovery = bytes ? QueueRecovery.fromCheckpoint(bytes) : QueueRecovery.at(0);
    for (const entry of this.journal.slice(Math.max(at - again, 0))) {
      applyTo(recovery, decodeEntry(entry.type, entry.bytes));
    }
    this.epoch++;
    this.wallOffsetMs += 500;
    this.model.restart();
    recovery.skipTo(this.model.start);
    this.state = this.recover(recovery);
  }

  private recover(recovery: QueueRecovery): QueueState {
    const state = recovery.start({
      policy: modelPolicy,
      nowMs: this.monoMs,
      wallMs: this.model.nowMs,
      end: this.model.end,
      firstLease: this.epoch * 1_000,
      marks: noMarks(),
      unackedMax,
    });
    // Its journal is durable at once.
    state.attemptsDurable(Infinity);
    return state;
  }

  private writeAttempts(runs: readonly AttemptRun[]): void {
    const durable = runs.map(({ first, last, attempts, readyAtMs }) => ({
      first,
      last,
      attempts,
      readyAtWallMs: wallTime(readyAtMs, this.wallOffsetMs),
    }));
    this.write({ kind: 'attempts', ...ids, runs: durable });
  }

  private write(entry: SubscriptionEntry): void {
    this.journal.push({ type: entryTypeOf(entry), bytes: encodeEntry(entry) });
  }
}

function applyTo(recovery: QueueRecovery, entry: SubscriptionEntry): void {
  if (entry.kind === 'acked') for (const range of entry.ranges) recovery.applyAcked(range);
  if (entry.kind === 'attempts') for (const run of entry.runs) recovery.applyAttempts(run);
  if (entry.kind === 'seek') recovery.applySeek(entry.offset, entry.fence);
}

function offsetsOf(runs: readonly { first: number; last: number }[]): number[] {
  return runs.flatMap(({ first, last }) =>
    Array.from({ length: last - first + 1 }, (_, i) => first + i),
  );
}

function shown(record: ModelRecord): string {
  if (record.state === 'in_flight') return `lease ${record.lease} attempt ${record.attempt}`;
  if (record.state === 'back') return `back ${record.attempts} at ${record.readyAtMs}`;
  return record.state;
}

function byNumber(a: number, b: number): number {
  return a - b;
}

describe('QueueState', () => {
  test('does what a per-record model does, whatever the commands, restarts included', () => {
    fc.assert(
      fc.property(histories, (commands) => {
        const harness = new Harness();
        harness.run({ verb: 'append', a: 0, b: 20, c: 0 });
        for (const step of commands) {
          harness.run(step);
          harness.compare();
        }
      }),
      { numRuns: 600 },
    );
  }, 60_000);

  test('drains to nothing after any history: no record is stuck, none is left over', () => {
    fc.assert(
      fc.property(histories, (commands) => {
        const harness = new Harness();
        harness.run({ verb: 'append', a: 0, b: 20, c: 0 });
        for (const step of commands) harness.run(step);
        for (let i = 0; i < 500 && harness.model.floor < harness.model.end; i++) {
          harness.run({ verb: 'advance', a: 200, b: 0, c: 0 });
          harness.run({ verb: 'expire', a: 0, b: 0, c: 0 });
          harness.run({ verb: 'lease', a: 0, b: 20, c: 0 });
          const [offset] = harness.model.offsetsIn('in_flight');
          if (offset !== undefined) harness.run({ verb: 'ack', a: offset, b: 0, c: 0 });
        }
        harness.compare();
        expect(harness.state.counts(0, harness.model.end)).toEqual({
          ready: 0,
          inFlight: 0,
          waiting: 0,
          delayed: 0,
          ackedAbove: 0,
          dead: 0,
          floor: harness.model.end,
        });
      }),
      { numRuns: 100 },
    );
  });
});
