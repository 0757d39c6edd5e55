// Letters that are redriven, as the state sees them: what may go, what comes back, what is counted; and that a restart
// knows the same.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { subscriptionId, topicId } from '../../broker/core/ids.ts';
import { limits } from '../../broker/core/limits.ts';
import { BatchMarks } from '../../broker/log/batch-marks.ts';
import { AckSet } from '../../broker/subscription/ack-set.ts';
import { OutboxState, type RedriveTarget } from '../../broker/subscription/outbox-state.ts';
import { PlainSource } from '../../broker/subscription/plain-source.ts';
import { QueueRecovery } from '../../broker/subscription/queue-recovery.ts';
import { QueueState } from '../../broker/subscription/queue-state.ts';
import { RetryQueue } from '../../broker/subscription/retry-queue.ts';

const policy = { ackDeadlineMs: 100, backoffMinMs: 10, backoffMaxMs: 10 };
const end = 8;
const job = 7;
const target: RedriveTarget = {
  job,
  topicId: topicId(3),
  partition: 1,
  audience: subscriptionId(5),
};
const draw = (): number => 0;

function queue(unackedMax: number = limits.unackedRecordsMax): QueueState {
  const marks = new BatchMarks({ left: 100 });
  return new QueueState({
    acks: new AckSet(0),
    retries: new RetryQueue(),
    policy,
    deliveredBefore: 0,
    fence: 0,
    firstLease: 1,
    unackedMax,
    marks,
    source: (claims) => new PlainSource(claims, marks),
  });
}

/** As after a crash: from a checkpoint of now. */
function restarted(state: QueueState): QueueState {
  return QueueRecovery.fromCheckpoint(state.checkpoint(0)).start({
    policy,
    nowMs: 0,
    wallMs: 0,
    end,
    firstLease: 1_000,
    marks: new BatchMarks({ left: 100 }),
  });
}

function fresh(state: QueueState): number[] {
  const offsets: number[] = [];
  for (let next = state.next(1_000, end); next.kind === 'run'; next = state.next(1_000, end)) {
    const { first, last } = state.lease(next.first, next.last, 1, 1_000);
    for (let offset = first; offset <= last; offset++) offsets.push(offset);
  }
  return offsets.toSorted((a, b) => a - b);
}

describe('a letter', () => {
  it('is taken out of its turn, and acked when it has arrived', () => {
    const state = queue();
    expect(state.redrive(3, target)).toBeUndefined();
    expect(state.outbox.takeNew()).toMatchObject([{ number: 1, offset: 3, target }]);
    expect(state.counts(0, end)).toMatchObject({ ready: 7, dead: 1 });
    expect(state.outbox.jobs.pending(job)).toBe(1);
    expect(fresh(state)).toEqual([0, 1, 2, 4, 5, 6, 7]);
    state.deadArrived(1);
    expect(state.counts(0, end)).toMatchObject({ dead: 0, ackedAbove: 1 });
    expect([state.outbox.jobs.pending(job), state.outbox.jobs.done(job)]).toEqual([0, 1]);
    state.check();
  });

  it('stays where it is when somebody has it, it is done, or it is on its way', () => {
    const state = queue();
    state.lease(0, 1, 1, 0);
    state.ack(1, 1);
    state.redrive(2, target);
    expect([0, 1, 2].map((offset) => state.redrive(offset, target))).toEqual([
      'held',
      'gone',
      'gone',
    ]);
    expect([0, 1, 2, 3].map((offset) => state.purge(job, offset))).toEqual([
      false,
      false,
      false,
      true,
    ]);
    expect(state.outbox.jobs.done(job)).toBe(1);
    state.check();
  });

  it('waits while as much is on its way as may be', () => {
    const state = queue(2);
    state.redrive(0, target);
    state.redrive(1, target);
    expect(state.redrive(2, target)).toBe('full');
    state.deadArrived(1);
    expect(state.redrive(2, target)).toBeUndefined();
  });

  it('that cannot go is ready again, with the attempts that it had', () => {
    const state = queue();
    const { lease } = state.lease(0, 0, 1, 0);
    state.nack(lease, 0, 0, 50, 0, draw);
    expect(state.redrive(0, target)).toBeUndefined();
    state.letterReturned(1, 20);
    expect(state.next(20, end)).toEqual({ kind: 'run', first: 0, last: 0, attempt: 2 });
    expect([state.outbox.jobs.pending(job), state.outbox.jobs.done(job)]).toEqual([0, 0]);
    state.check();
  });

  it('that was made fresh by a seek arrives nevertheless, and does not come back twice', () => {
    const state = queue();
    state.redrive(3, target);
    state.seek(0);
    state.letterReturned(1, 0);
    expect(fresh(state)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    state.check();
  });
});

describe('after a restart', () => {
  it('what is on its way is so, where to, and counted', () => {
    const state = queue();
    for (const offset of [2, 4, 6]) state.redrive(offset, target);
    state.deadArrived(1);
    state.purge(job, 0);
    const again = restarted(state);
    expect([...again.outbox]).toEqual([...state.outbox]);
    expect(again.outbox.next).toBe(4);
    expect([again.outbox.jobs.pending(job), again.outbox.jobs.done(job)]).toEqual([2, 2]);
    expect(fresh(again)).toEqual([1, 3, 5, 7]);
  });

  it('an entry that comes twice counts once', () => {
    const recovery = QueueRecovery.at(0);
    const letter = { number: 1, offset: 3, attempts: 2, text: '', isDetached: false };
    const dead = [{ ...letter, reason: 'redriven' as const, target }];
    for (let i = 0; i < 2; i++) {
      recovery.applyDead(dead);
      recovery.applyDeadReturned(1);
      recovery.applyPurged(job, { first: 0, last: 1 });
    }
    const marks = new BatchMarks({ left: 100 });
    const state = recovery.start({ policy, nowMs: 0, wallMs: 0, end, firstLease: 1, marks });
    expect(state.outbox.jobs.done(job)).toBe(2);
    expect(state.next(1, end)).toMatchObject({ kind: 'run', first: 3, attempt: 3 });
    expect(fresh(state)).toEqual([2, 3, 4, 5, 6, 7]);
  });
});

type Command =
  | { readonly do: 'redrive' | 'purge' | 'lease' | 'ack'; readonly offset: number }
  | { readonly do: 'arrive' | 'return' | 'restart' };

const commands = fc.array(
  fc.oneof(
    fc.record({
      do: fc.constantFrom('redrive', 'redrive', 'purge', 'lease', 'ack'),
      offset: fc.nat(end - 1),
    }),
    fc.record({ do: fc.constantFrom('arrive', 'return', 'restart') }),
  ),
  { maxLength: 40 },
) as fc.Arbitrary<Command[]>;

describe('random redrives, purges, hand-overs and restarts', () => {
  it('deal with every record once, and count it once', () => {
    fc.assert(
      fc.property(commands, (all) => {
        let state = queue();
        const arrived: number[] = [];
        const purged = new Set<number>();
        const acked = new Set<number>();
        for (const command of all) state = apply(state, command, { arrived, purged, acked });
        for (let first = state.outbox.first; first !== undefined; first = state.outbox.first) {
          arrived.push(first.offset);
          state.deadArrived(first.number);
        }
        expect(new Set(arrived).size, 'arrived once').toBe(arrived.length);
        expect(arrived.filter((offset) => purged.has(offset))).toEqual([]);
        expect(state.outbox.jobs.done(job)).toBe(arrived.length + purged.size);
        const left = fresh(restarted(state));
        const dealtWith = new Set([...arrived, ...purged, ...acked]);
        expect(left).toEqual([...Array(end).keys()].filter((offset) => !dealtWith.has(offset)));
      }),
      { numRuns: 500 },
    );
  });
});

interface Told {
  readonly arrived: number[];
  readonly purged: Set<number>;
  readonly acked: Set<number>;
}

function apply(state: QueueState, command: Command, told: Told): QueueState {
  const { first } = state.outbox;
  switch (command.do) {
    case 'redrive':
      state.redrive(command.offset, target);
      break;
    case 'purge':
      if (state.purge(job, command.offset)) told.purged.add(command.offset);
      break;
    case 'lease': {
      const next = state.next(1_000, end, 1);
      if (next.kind === 'run') state.lease(next.first, next.last, 1, 1_000);
      break;
    }
    case 'ack':
      // Only of what a consumer has: an ack of a letter on its way would detach it.
      if (state.claims.leases.holderOf(command.offset) === undefined) break;
      if (state.ack(command.offset, command.offset) === 1) told.acked.add(command.offset);
      break;
    case 'arrive':
      if (first === undefined) break;
      told.arrived.push(first.offset);
      state.deadArrived(first.number);
      break;
    case 'return':
      if (first !== undefined) state.letterReturned(first.number, 0);
      break;
    case 'restart':
      return restarted(state);
  }
  state.check();
  return state;
}

describe('the numbers of letters', () => {
  it('begin anew with each ownership of the shard, and never go back', () => {
    const outbox = new OutboxState();
    outbox.put(0, 1, 'rejected', '');
    outbox.numberFrom(100);
    outbox.put(1, 1, 'rejected', '');
    outbox.numberFrom(50);
    outbox.put(2, 1, 'rejected', '');
    expect([...outbox].map(({ number }) => number)).toEqual([1, 100, 101]);
  });
});

describe('a checkpoint from before jobs', () => {
  it('is read as one without any', () => {
    const state = queue();
    state.redrive(3, target);
    const bytes = Buffer.from(state.checkpoint(0));
    // Version 2 had all but the number of jobs, which is 0 and stands last.
    const older = Buffer.concat([Buffer.from([2]), bytes.subarray(1, -1)]);
    const { outbox } = QueueRecovery.fromCheckpoint(older).start({
      policy,
      nowMs: 0,
      wallMs: 0,
      end,
      firstLease: 1,
      marks: new BatchMarks({ left: 100 }),
    });
    expect([...outbox]).toEqual([...state.outbox]);
    expect(outbox).toBeInstanceOf(OutboxState);
  });
});
