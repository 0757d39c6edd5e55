// A keyed queue against what can be said of it with a plain list: random histories with restarts.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { keyless } from '../../broker/subscription/keyed-source.ts';
import { QueueRecovery } from '../../broker/subscription/queue-recovery.ts';
import type { QueueState } from '../../broker/subscription/queue-state.ts';
import type { AttemptRun, QueueNext } from '../../broker/subscription/queue-types.ts';
import { noMarks } from '../support/marks.ts';

const policy = {
  ackDeadlineMs: 100,
  backoffMinMs: 16,
  backoffMaxMs: 128,
  attemptsMax: 3,
  deadLetterTopic: 'public/default/dead',
};
const draw = (): number => 0.5;
const consumers = 3;

interface Command {
  readonly verb:
    | 'append'
    | 'advance'
    | 'lease'
    | 'ack'
    | 'nack'
    | 'reject'
    | 'send'
    | 'return'
    | 'release'
    | 'seek'
    | 'skip'
    | 'restart';
  readonly a: number;
  readonly b: number;
}

const command: fc.Arbitrary<Command> = fc.record({
  verb: fc.oneof(
    { weight: 6, arbitrary: fc.constant('lease' as const) },
    { weight: 4, arbitrary: fc.constant('ack' as const) },
    { weight: 3, arbitrary: fc.constantFrom('append' as const, 'nack' as const) },
    {
      weight: 2,
      arbitrary: fc.constantFrom(
        'advance' as const,
        'return' as const,
        'reject' as const,
        'send' as const,
      ),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        'release' as const,
        'seek' as const,
        'skip' as const,
        'restart' as const,
      ),
    },
  ),
  a: fc.nat(99),
  b: fc.nat(9),
});

interface RecordModel {
  readonly key: number;
  state: 'fresh' | 'out' | 'back' | 'dead' | 'settled';
  lease: number;
  attempts: number;
}

class History {
  readonly records: RecordModel[] = [];
  state: QueueState;
  private nowMs = 0;
  private epoch = 1;
  private lastNumber = 0;
  private lastSent = 0;

  constructor() {
    this.state = this.start(QueueRecovery.at(0));
  }

  run({ verb, a, b }: Command): void {
    switch (verb) {
      case 'append':
        for (let i = 0; i <= b; i++) {
          const key = (a + i * (b + 1)) % 5;
          this.records.push({ key, state: 'fresh', lease: 0, attempts: 0 });
        }
        return;
      case 'advance':
        this.nowMs += a;
        this.put(this.state.expire(this.nowMs, draw).flatMap(({ runs }) => runs));
        return;
      case 'lease':
        this.lease(b + 1, a % consumers);
        return;
      case 'ack':
        this.ack(a, b);
        return;
      case 'nack': {
        const runs = this.state.nack(this.someLease(a), b, b + 99, 0, this.nowMs, draw);
        if (typeof runs !== 'string') this.put(runs);
        return;
      }
      case 'reject':
        this.state.reject(this.someLease(a), b, b + 99, 'no');
        return;
      case 'send':
        this.send();
        return;
      case 'return': {
        const lease = this.someLease(a);
        if (this.state.giveBack(lease, 0, this.records.length, this.nowMs) !== 'ok') return;
        for (const record of this.records) if (record.lease === lease) this.back(record);
        return;
      }
      case 'release':
        this.put(this.state.releaseConsumer(a % consumers, this.nowMs).flatMap(({ runs }) => runs));
        return;
      case 'seek': {
        const to = a % (this.records.length + 1);
        this.state.seek(to);
        this.records.forEach((record, offset) => this.moved(record, offset, to, true));
        return;
      }
      case 'skip': {
        const to = a % (this.records.length + 1);
        this.state.skipTo(to);
        this.records.forEach((record, offset) => this.moved(record, offset, to, false));
        return;
      }
      case 'restart':
        this.restart();
    }
  }

  /** Hands out and acks until nothing is left; every record goes through it. */
  drain(): void {
    for (let rounds = 0; this.state.floor < this.records.length; rounds++) {
      expect(rounds, 'rounds without an end').toBeLessThan(2_000);
      this.nowMs += 1_000;
      this.put(this.state.expire(this.nowMs, draw).flatMap(({ runs }) => runs));
      this.noteDead();
      while (this.send());
      while (this.lease(100, 0));
      for (const { first, last } of [...this.state.claims.leases.values()])
        this.settle(first, last);
    }
    expect(this.records.filter(({ state }) => state !== 'settled')).toEqual([]);
    expect(this.state.floor).toBe(this.records.length);
    while (this.send());
    expect(this.lastSent).toBe(this.lastNumber);
    this.state.check();
  }

  private lease(max: number, consumer: number): boolean {
    const next = this.next(max);
    if (next.kind !== 'run') {
      const eligible = this.records.findIndex((_, offset) => this.mayGo(offset));
      expect(eligible, `nothing goes, but record ${eligible} could`).toBe(-1);
      return false;
    }
    const { lease, attempt } = this.state.lease(next.first, next.last, consumer, this.nowMs);
    for (let offset = next.first; offset <= next.last; offset++) {
      const record = this.records[offset];
      if (record === undefined) return expect.fail(`record ${offset} is not there`);
      if (record.state === 'fresh') expect(this.mayGo(offset), `fresh ${offset}`).toBe(true);
      else expect(record.state, `record ${offset}`).toBe('back');
      expect(this.isHeadOfKey(offset), `record ${offset} overtakes its key`).toBe(true);
      expect(attempt).toBe(record.attempts + 1);
      Object.assign(record, { state: 'out', lease });
    }
    return true;
  }

  private next(max: number): QueueNext {
    for (;;) {
      const next = this.state.next(this.nowMs, this.records.length, max);
      if (next.kind !== 'keys') return next;
      const some = this.records.slice(next.from, next.from + 7).map(({ key }) => key);
      this.state.offerKeys(next.from, Uint32Array.from(some));
    }
  }

  private mayGo(offset: number): boolean {
    return this.records[offset]?.state === 'fresh' && this.isHeadOfKey(offset);
  }

  private isHeadOfKey(offset: number): boolean {
    const key = this.records[offset]?.key ?? keyless;
    if (key === keyless) return true;
    return !this.records
      .slice(0, offset)
      .some((elder) => elder.key === key && elder.state !== 'settled');
  }

  /** What died in the last command. */
  noteDead(): void {
    for (const { offset, number } of this.state.outbox.takeNew()) {
      expect(number).toBe(++this.lastNumber);
      const record = this.records[offset];
      if (record !== undefined) Object.assign(record, { state: 'dead', lease: 0 });
    }
  }

  private send(): boolean {
    const letter = this.state.outbox.first;
    if (letter === undefined) return false;
    expect(letter.number).toBe(++this.lastSent);
    this.state.deadArrived(letter.number);
    const record = this.records[letter.offset];
    if (record !== undefined && !letter.isDetached) {
      expect(record.state).toBe('dead');
      this.done(record);
    }
    return true;
  }

  private ack(a: number, b: number): void {
    const first = a % (this.records.length + 1);
    const last = first + (b % 3);
    const wanted = this.records.slice(first, last + 1);
    const wasHandedOut =
      last < this.records.length && wanted.every(({ state }) => state !== 'fresh');
    const answer = this.state.ack(first, last);
    // After a restart the broker does not know for sure, and believes who says that the work is done.
    if (this.epoch === 1) expect(typeof answer === 'number').toBe(wasHandedOut);
    if (typeof answer === 'number') for (const record of wanted) this.done(record);
  }

  private settle(first: number, last: number): void {
    expect(typeof this.state.ack(first, last)).toBe('number');
    for (const record of this.records.slice(first, last + 1)) this.done(record);
  }

  private put(runs: readonly AttemptRun[]): void {
    for (const { first, last, attempts } of runs) {
      for (const record of this.records.slice(first, last + 1)) {
        record.attempts = attempts;
        this.back(record);
      }
    }
  }

  private moved(record: RecordModel, offset: number, to: number, isSeek: boolean): void {
    if (offset < to) this.done(record);
    else if (isSeek) Object.assign(record, { state: 'fresh', lease: 0, attempts: 0 });
  }

  private restart(): void {
    const bytes = this.state.checkpoint(0);
    this.epoch++;
    this.state = this.start(QueueRecovery.fromCheckpoint(bytes));
    for (const record of this.records) {
      if (record.state === 'settled' || record.state === 'dead') continue;
      record.state = record.attempts > 0 ? 'back' : 'fresh';
      record.lease = 0;
    }
  }

  private start(recovery: QueueRecovery): QueueState {
    const state = recovery.start({
      policy,
      nowMs: this.nowMs,
      wallMs: this.nowMs,
      end: this.records.length,
      firstLease: this.epoch * 1_000,
      marks: noMarks(),
      isKeyed: true,
    });
    state.attemptsDurable(Infinity);
    return state;
  }

  private back(record: RecordModel): void {
    if (record.state !== 'out') return;
    Object.assign(record, { state: 'back', lease: 0 });
  }

  private done(record: RecordModel): void {
    Object.assign(record, { state: 'settled', lease: 0 });
  }

  private someLease(which: number): number {
    const leases = [...this.state.claims.leases.values()];
    return leases[which % Math.max(leases.length, 1)]?.lease ?? 0;
  }
}

describe('a keyed queue', () => {
  test('hands out of each key only its oldest record, and sends or settles each once', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 60, size: 'max' }), (commands) => {
        const history = new History();
        for (const one of commands) {
          history.run(one);
          history.noteDead();
          history.state.check();
        }
        history.drain();
      }),
      { numRuns: 2_000 },
    );
  });
});
