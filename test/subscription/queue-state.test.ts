import { describe, expect, test } from 'vitest';
import { limits } from '../../broker/core/limits.ts';
import { seededRandom } from '../../broker/core/random.ts';
import { QueueRecovery } from '../../broker/subscription/queue-recovery.ts';
import type { QueueState } from '../../broker/subscription/queue-state.ts';
import { noMarks } from '../support/marks.ts';

const policy = { ackDeadlineMs: 1_000, backoffMinMs: 100, backoffMaxMs: 400 };
const draw = (): number => 0;

function newQueue(unackedMax = 100_000, end = 0): QueueState {
  const start = { policy, nowMs: 0, wallMs: 0, end, firstLease: 1, marks: noMarks(), unackedMax };
  const queue = QueueRecovery.at(0).start(start);
  // A journal that is durable at once.
  queue.attemptsDurable(Infinity);
  return queue;
}

/** The next run, leased as a whole. */
function leaseNext(queue: QueueState, nowMs: number, end: number, max = Infinity, consumer = 1) {
  const next = queue.next(nowMs, end, max);
  if (next.kind !== 'run') return expect.fail(`nothing to lease: ${JSON.stringify(next)}`);
  return queue.lease(next.first, next.last, consumer, nowMs);
}

const end = 3;
const subject = 1; // the record that a case looks at; 0 and 2 stand beside it

/** How record 1 of 3 gets into each state; answers the lease that a verb names. */
const states = {
  fresh: () => ({ queue: newQueue(), lease: 99 }),
  'in flight': () => {
    const queue = newQueue();
    return { queue, lease: leaseNext(queue, 0, end).lease };
  },
  'in flight elsewhere': () => {
    const queue = newQueue();
    const { lease } = leaseNext(queue, 0, end);
    queue.giveBack(lease, subject, subject, 0);
    leaseNext(queue, 0, end, 1, 2);
    return { queue, lease };
  },
  waiting: () => {
    const queue = newQueue();
    const { lease } = leaseNext(queue, 0, end);
    queue.nack(lease, subject, subject, 500, 0, draw);
    return { queue, lease };
  },
  acked: () => {
    const queue = newQueue();
    const { lease } = leaseNext(queue, 0, end);
    queue.ack(subject, subject);
    return { queue, lease };
  },
  'lease ended': () => {
    const queue = newQueue();
    const { lease } = leaseNext(queue, 0, end);
    queue.giveBack(lease, 0, 2, 0);
    return { queue, lease };
  },
} satisfies Record<string, () => { queue: QueueState; lease: number }>;

type StateName = keyof typeof states;

const verbs = {
  ack: (queue, lease) => queue.ack(subject, subject, lease),
  'ack without lease': (queue) => queue.ack(subject, subject),
  nack: (queue, lease) => {
    const answer = queue.nack(lease, subject, subject, 0, 0, draw);
    return typeof answer === 'string' ? answer : 'ok';
  },
  extend: (queue, lease) => queue.extend(lease, 0, 0),
  giveBack: (queue, lease) => queue.giveBack(lease, subject, subject, 0),
  expire: (queue) => queue.expire(1_000, draw).length,
  release: (queue) => queue.releaseConsumer(1, 0).length,
  'seek to it': (queue) => queue.seek(subject).lost.length,
  'seek past it': (queue) => queue.seek(subject + 1).lost.length,
  'skip past it': (queue) => queue.skipTo(subject + 1).gone,
} satisfies Record<string, (queue: QueueState, lease: number) => unknown>;

type VerbName = keyof typeof verbs;

/** What became of record 1: acked, held by a lease, or attempts that it came back with; else fresh. */
function whereIs(queue: QueueState): string {
  queue.check();
  if (queue.claims.acks.has(subject)) return 'acked';
  const holder = queue.claims.leases.holderOf(subject);
  if (holder !== undefined) return `held by ${holder.consumer}`;
  for (const run of queue.claims.retries) {
    if (run.first <= subject && subject <= run.last) return `back ${run.attempts}@${run.readyAtMs}`;
  }
  return 'fresh';
}

/** Answer of the verb, then where the record is. No-ops are rows too. */
const table: Record<StateName, Record<VerbName, readonly [unknown, string]>> = {
  fresh: {
    ack: ['invalid', 'fresh'],
    'ack without lease': ['invalid', 'fresh'],
    nack: ['lease_lost', 'fresh'],
    extend: ['lease_lost', 'fresh'],
    giveBack: ['lease_lost', 'fresh'],
    expire: [0, 'fresh'],
    release: [0, 'fresh'],
    'seek to it': [0, 'fresh'],
    'seek past it': [0, 'acked'],
    'skip past it': [2, 'acked'],
  },
  'in flight': {
    ack: [1, 'acked'],
    'ack without lease': [1, 'acked'],
    nack: ['ok', 'back 1@50'],
    extend: ['ok', 'held by 1'],
    giveBack: ['ok', 'back 0@0'],
    expire: [1, 'back 1@1050'],
    release: [1, 'back 1@0'],
    'seek to it': [1, 'fresh'],
    'seek past it': [1, 'acked'],
    'skip past it': [2, 'acked'],
  },
  'in flight elsewhere': {
    ack: [1, 'acked'],
    'ack without lease': [1, 'acked'],
    nack: ['lease_lost', 'held by 2'],
    extend: ['ok', 'held by 2'],
    giveBack: ['lease_lost', 'held by 2'],
    expire: [2, 'back 1@1050'],
    release: [1, 'held by 2'],
    'seek to it': [2, 'fresh'],
    'seek past it': [2, 'acked'],
    'skip past it': [2, 'acked'],
  },
  waiting: {
    ack: [1, 'acked'],
    'ack without lease': [1, 'acked'],
    nack: ['lease_lost', 'back 1@500'],
    extend: ['ok', 'back 1@500'],
    giveBack: ['lease_lost', 'back 1@500'],
    expire: [1, 'back 1@500'],
    release: [1, 'back 1@500'],
    'seek to it': [1, 'fresh'],
    'seek past it': [1, 'acked'],
    'skip past it': [2, 'acked'],
  },
  acked: {
    ack: [0, 'acked'],
    'ack without lease': [0, 'acked'],
    nack: ['lease_lost', 'acked'],
    extend: ['ok', 'acked'],
    giveBack: ['lease_lost', 'acked'],
    expire: [1, 'acked'],
    release: [1, 'acked'],
    'seek to it': [1, 'fresh'],
    'seek past it': [1, 'acked'],
    'skip past it': [1, 'acked'],
  },
  'lease ended': {
    ack: [1, 'acked'],
    'ack without lease': [1, 'acked'],
    nack: ['lease_lost', 'back 0@0'],
    extend: ['lease_lost', 'back 0@0'],
    giveBack: ['lease_lost', 'back 0@0'],
    expire: [0, 'back 0@0'],
    release: [0, 'back 0@0'],
    'seek to it': [0, 'fresh'],
    'seek past it': [0, 'acked'],
    'skip past it': [2, 'acked'],
  },
};

const cases = Object.entries(table).flatMap(([state, row]) =>
  Object.entries(row).map(([verb, outcome]) => [verb, state, ...outcome] as const),
) as readonly (readonly [VerbName, StateName, unknown, string])[];

describe('a record of a queue', () => {
  test.each(cases)('%s while %s answers %j and leaves it %s', (verb, state, answer, where) => {
    const { queue, lease } = states[state]();
    expect(verbs[verb](queue, lease)).toEqual(answer);
    expect(whereIs(queue)).toBe(where);
  });
});

describe('attempts that are not durable yet', () => {
  test('keep their records from being retried, and nothing else', () => {
    const queue = QueueRecovery.at(0).start({
      policy: { ...policy, backoffMinMs: 0, backoffMaxMs: 0 },
      nowMs: 0,
      wallMs: 0,
      end: 0,
      firstLease: 1,
      marks: noMarks(),
    });
    const failed = leaseNext(queue, 0, 3, 1);
    queue.nack(failed.lease, 0, 0, 0, 0, draw);
    const first = queue.attemptsJournaled();
    const returned = leaseNext(queue, 0, 3, 1);
    queue.giveBack(returned.lease, 1, 1, 0);
    expect(leaseNext(queue, 0, 3)).toMatchObject({ first: 2, attempt: 1 });
    expect(queue.next(0, 3)).toEqual({ kind: 'blocked', reason: 'delayed' });
    queue.attemptsDurable(first);
    expect(leaseNext(queue, 0, 3)).toMatchObject({ first: 0, attempt: 2 });
    expect(leaseNext(queue, 0, 3)).toMatchObject({ first: 1, attempt: 1 });
  });
});

describe('QueueState.next', () => {
  test('goes on with fresh records while many retries are ready, half of the records each', () => {
    const queue = newQueue();
    const first = leaseNext(queue, 0, 5_000);
    queue.nack(first.lease, 0, 4_999, 1, 0, draw);
    let fresh = 0;
    let retried = 0;
    for (let i = 0; i < 300; i++) {
      const lease = leaseNext(queue, 10, 1_000_000, 10);
      if (lease.attempt === 1) fresh += lease.held;
      else retried += lease.held;
    }
    expect(fresh + retried).toBe(3_000);
    // The 5,000 fresh ones before count against fresh by no more than 1,000.
    expect(fresh).toBe(1_000);
    for (let i = 0; i < 100; i++) {
      if (leaseNext(queue, 10, 1_000_000, 10).attempt === 1) fresh += 10;
    }
    expect(fresh).toBe(1_500);
  });

  test('gives fresh records no more than 1,000 before their turn after a time of retries only', () => {
    const queue = newQueue();
    const first = leaseNext(queue, 0, 20_000);
    queue.nack(first.lease, 0, 19_999, 1, 0, draw);
    // No fresh records yet: 15,000 retries go out alone.
    for (let i = 0; i < 150; i++) expect(leaseNext(queue, 10, 20_000, 100).attempt).toBe(2);
    let freshFirst = 0;
    while (leaseNext(queue, 10, 1_000_000, 100).attempt === 1) freshFirst += 100;
    expect(freshFirst).toBe(1_000);
  });

  test('never lets one record that fails at once keep the others from being retried', () => {
    const noWait = { ackDeadlineMs: 1_000, backoffMinMs: 0, backoffMaxMs: 0 };
    const queue = newQueue();
    queue.setPolicy(noWait);
    const { lease } = leaseNext(queue, 0, 10);
    queue.nack(lease, 0, 9, 0, 0, draw);
    const seen = new Set<number>();
    for (let now = 1; now <= 10; now++) {
      const poison = leaseNext(queue, now, 10, 1);
      seen.add(poison.first);
      queue.nack(poison.lease, poison.first, poison.last, 0, now, draw);
    }
    expect(seen.size).toBe(10);
  });

  test('stops fresh records at the limit with a reason, goes on with retries, and after acks with both', () => {
    const queue = newQueue(100);
    const first = leaseNext(queue, 0, 1_000);
    expect(first.held).toBe(100);
    expect(queue.next(0, 1_000)).toEqual({ kind: 'blocked', reason: 'unacked_limit' });
    queue.nack(first.lease, 40, 49, 0, 0, draw);
    expect(queue.next(0, 1_000)).toEqual({ kind: 'blocked', reason: 'unacked_limit' });
    expect(queue.next(60, 1_000)).toMatchObject({ first: 40, last: 49, attempt: 2 });
    queue.ack(10, 14);
    expect(queue.next(0, 1_000)).toMatchObject({ first: 100, last: 104, attempt: 1 });
  });

  test('takes as its default limit what limits.ts says', () => {
    const start = { policy, nowMs: 0, wallMs: 0, end: 0, firstLease: 1, marks: noMarks() };
    const queue = QueueRecovery.at(0).start(start);
    expect(leaseNext(queue, 0, 10_000_000).held).toBe(limits.unackedRecordsMax);
  });

  test('says waiting when only back-offs are left, and idle when all is acked or in flight', () => {
    const queue = newQueue();
    expect(queue.next(0, 0)).toEqual({ kind: 'idle' });
    const { lease } = leaseNext(queue, 0, 2);
    expect(queue.next(0, 2)).toEqual({ kind: 'idle' });
    queue.nack(lease, 0, 0, 0, 0, draw);
    expect(queue.next(49, 2)).toEqual({ kind: 'blocked', reason: 'delayed' });
    expect(queue.nextWakeMs(49)).toBe(50);
    expect(queue.next(50, 2)).toMatchObject({ kind: 'run', first: 0, last: 0, attempt: 2 });
    expect(queue.nextWakeMs(50)).toBe(1_000);
  });

  test('asserts when something else is leased than what it gave', () => {
    const queue = newQueue();
    expect(() => queue.lease(1, 2, 1, 0)).toThrow(/not the next fresh/);
    const { lease } = leaseNext(queue, 0, 5);
    expect(() => queue.lease(4, 5, 1, 0)).toThrow(/not the next fresh/);
    queue.nack(lease, 1, 2, 0, 0, draw);
    expect(() => queue.lease(1, 2, 1, 10)).toThrow(/not ready/);
    expect(() => queue.lease(1, 3, 1, 100)).toThrow(/not ready/);
  });
});

describe('a lease', () => {
  test('over 500 records acked one by one in random order ends with the last one', () => {
    const queue = newQueue();
    const { lease } = leaseNext(queue, 0, 500);
    const random = seededRandom(3);
    const offsets = Array.from({ length: 500 }, (_, i) => i);
    for (let left = 500; left > 0; left--) {
      expect(queue.claims.leases.get(lease)?.held).toBe(left);
      const [offset] = offsets.splice(Math.floor(random.next() * left), 1);
      expect(queue.ack(offset ?? -1, offset ?? -1)).toBe(1);
      expect(queue.ack(offset ?? -1, offset ?? -1)).toBe(0);
    }
    expect(queue.claims.leases.get(lease)).toBeUndefined();
    expect(queue.inFlightOf(1)).toBe(0);
    expect(queue.floor).toBe(500);
    expect(queue.nextWakeMs(0)).toBe(Infinity);
    queue.check();
  });

  test('that is extended in time is not redelivered, and one that is not is', () => {
    const queue = newQueue();
    const kept = leaseNext(queue, 0, 1);
    const missed = leaseNext(queue, 0, 2);
    expect(queue.extend(kept.lease, 5_000, 900)).toBe('ok');
    expect(queue.expire(1_000, draw)).toEqual([
      {
        lease: missed.lease,
        consumer: 1,
        runs: [{ first: 1, last: 1, attempts: 1, readyAtMs: 1_050 }],
      },
    ]);
    expect(queue.nack(missed.lease, 1, 1, 0, 1_000, draw)).toBe('lease_lost');
    expect(queue.extend(missed.lease, 0, 1_000)).toBe('lease_lost');
    expect(queue.claims.leases.get(kept.lease)?.deadlineMs).toBe(5_900);
  });

  test('that is late still acks, also while another consumer holds the record: the work is done', () => {
    const queue = newQueue();
    const late = leaseNext(queue, 0, 1);
    queue.expire(1_000, draw);
    const second = leaseNext(queue, 2_000, 1, 1, 2);
    expect(second).toMatchObject({ first: 0, last: 0, attempt: 2 });
    expect(queue.ack(0, 0, late.lease)).toBe(1);
    expect(queue.claims.leases.get(second.lease)).toBeUndefined();
    expect(queue.inFlightOf(2)).toBe(0);
  });

  test('from before a seek acks nothing, also after a restart', () => {
    const queue = newQueue();
    const old = leaseNext(queue, 0, 10);
    const { fence, lost } = queue.seek(0);
    expect(lost).toEqual([{ lease: old.lease, consumer: 1, runs: [] }]);
    const again = leaseNext(queue, 0, 10);
    expect(queue.ack(0, 9, old.lease)).toBe('lease_lost');
    expect(queue.ack(0, 4, again.lease)).toBe(5);
    const start = { policy, nowMs: 0, wallMs: 0, end: 10, firstLease: 1_000, marks: noMarks() };
    const fromCheckpoint = QueueRecovery.fromCheckpoint(queue.checkpoint(0)).start(start);
    expect(fromCheckpoint.ack(5, 9, old.lease)).toBe('lease_lost');
    expect(fromCheckpoint.ack(5, 9, again.lease)).toBe(5);
    const recovery = QueueRecovery.at(0);
    recovery.applySeek(0, fence);
    const fromDeltas = recovery.start(start);
    expect(fromDeltas.ack(0, 0, old.lease)).toBe('lease_lost');
  });

  test.each([
    ['a range that ends before it begins', 3, 2, 0],
    ['a negative offset', -1, 2, 0],
    ['a fraction', 0.5, 2, 0],
    ['not a number', Number.NaN, 2, 0],
    ['a delay below 0', 0, 2, -1],
    ['a delay over 12 h', 0, 2, limits.backoffMsMax + 1],
  ])('refuses %s as invalid and changes nothing', (_, first, last, delayMs) => {
    const queue = newQueue();
    const { lease } = leaseNext(queue, 0, 10);
    expect(queue.nack(lease, first, last, delayMs, 0, draw)).toBe('invalid');
    if (delayMs === 0) {
      expect(queue.ack(first, last)).toBe('invalid');
      expect(queue.giveBack(lease, first, last, 0)).toBe('invalid');
    } else {
      expect(queue.extend(lease, delayMs, 0)).toBe('invalid');
    }
    expect(queue.counts(0, 10)).toMatchObject({ inFlight: 10, waiting: 0 });
  });

  test('is not acked for records that nobody was given', () => {
    const queue = newQueue();
    leaseNext(queue, 0, 10, 5);
    expect(queue.ack(0, 5)).toBe('invalid');
    expect(queue.ack(5, 5)).toBe('invalid');
    expect(queue.ack(9, 1_000_000)).toBe('invalid');
    expect(queue.floor).toBe(0);
    expect(queue.ack(0, 4)).toBe(5);
  });
});

describe('QueueRecovery', () => {
  const restarted = { policy, nowMs: 7, end: 10, firstLease: 1_000, marks: noMarks() };

  test('honours acks of records handed out before the restart, and of none appended after it', () => {
    const queue = QueueRecovery.at(0).start({ ...restarted, wallMs: 0 });
    expect(queue.ack(4, 6)).toBe(3);
    expect(queue.ack(10, 10)).toBe('invalid');
    expect(queue.next(7, 12)).toMatchObject({ first: 0, last: 3, attempt: 1 });
  });

  test('goes on with a back-off by the wall clock, and is not held up by one that stepped back', () => {
    const waitUntil = (wallMs: number) => {
      const recovery = QueueRecovery.at(0);
      recovery.applyAttempts({ first: 2, last: 3, attempts: 4, readyAtWallMs: 1_000_000 });
      return [...recovery.start({ ...restarted, wallMs }).claims.retries][0];
    };
    expect(waitUntil(999_700)).toMatchObject({ first: 2, last: 3, attempts: 4, readyAtMs: 307 });
    expect(waitUntil(2_000_000)).toMatchObject({ attempts: 4, readyAtMs: 7 });
    const far = waitUntil(1_000_000 - 10 * limits.backoffMsMax);
    expect(far).toMatchObject({ attempts: 4, readyAtMs: 7 + limits.backoffMsMax });
  });

  test('a million acks with holes survive: nothing acked comes back, nothing else is lost', () => {
    const start = {
      policy,
      nowMs: 0,
      wallMs: 0,
      firstLease: 1,
      marks: noMarks(),
      unackedMax: 2_000_000,
    };
    const queue = QueueRecovery.at(0).start({ ...start, end: 0 });
    const end = 1_100_000;
    leaseNext(queue, 0, end);
    // One record in eleven is not acked.
    for (let offset = 0; offset < end; offset += 11) queue.ack(offset, offset + 9);
    const bytes = queue.checkpoint(0);
    const restored = QueueRecovery.fromCheckpoint(bytes).start({ ...start, end });
    restored.check();
    expect(restored.counts(0, end)).toMatchObject({ ready: 100_000, inFlight: 0, floor: 10 });
    for (let offset = 10; offset < end; offset += 11) {
      const lease = leaseNext(restored, 0, end, 1);
      if (lease.first !== offset || lease.last !== offset) expect.fail(`${lease.first}`);
    }
    expect(restored.next(0, end)).toEqual({ kind: 'idle' });
  });

  test.each([2, 700])(
    'a checkpoint at the limit, one record of %d unacked, fits one commit',
    (stride) => {
      const queue = newQueue(Infinity);
      const base = 2 ** 40;
      queue.seek(base);
      const count = limits.unackedRecordsMax;
      const end = base + stride * count;
      const { lease } = leaseNext(queue, 0, end);
      for (let first = base; first < end; first += stride) {
        queue.ack(first + 1, first + stride - 1);
        queue.nack(lease, first, first, 1 + (first % 1_000), 0, draw);
      }
      const bytes = queue.checkpoint(1_800_000_000_000);
      expect(bytes.length).toBeLessThan(limits.commitBytesMax * 0.8);
      const again = QueueRecovery.fromCheckpoint(bytes).start({
        ...restarted,
        wallMs: 1_800_000_000_000,
        end,
      });
      again.check();
      expect(again.counts(7, end)).toEqual({
        ready: 0,
        inFlight: 0,
        waiting: count,
        delayed: 0,
        ackedAbove: count * (stride - 1),
        dead: 0,
        floor: base,
      });
    },
  );

  test.each([
    ['nothing', []],
    ['an unknown version', [2, 0, 3, 1, 0, 0, 0]],
    ['a damaged ack set', [1, 0, 3, 9, 0, 0, 0]],
    ['attempts of acked records', [1, 0, 3, 1, 5, 0, 1, 4, 0, 1, 0]],
    ['a run without attempts', [1, 0, 3, 1, 5, 0, 1, 6, 0, 0, 0]],
    [
      'a run past 2^53',
      [1, 0, 3, 1, 5, 0, 1, 6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 0],
    ],
    ['fewer runs than it says', [1, 0, 3, 1, 5, 0, 2, 6, 0, 1, 0]],
    ['bytes too many', [1, 0, 3, 1, 5, 0, 0, 0]],
  ])('refuses a checkpoint that is %s', (_, bytes) => {
    expect(() => QueueRecovery.fromCheckpoint(Uint8Array.from(bytes))).toThrow(
      expect.objectContaining({ name: 'BrokerError', reason: 'DATA_LOSS' }),
    );
  });
});
