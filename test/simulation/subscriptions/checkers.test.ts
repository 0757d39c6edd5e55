// The checkers find what they are there to find: hand-made histories, good ones and bad ones.
import { describe, expect, it } from 'vitest';
import type { PartitionStatus } from '../../../broker/subscription/consumer.ts';
import type { SubscriptionKind } from '../../../broker/subscription/subscription.ts';
import { checkAll, checkers } from './checkers.ts';
import type {
  Delivered,
  Event,
  Fact,
  FinalState,
  Letter,
  Said,
  Settings,
  Verb,
} from './history.ts';

const to = 'queue';
const settings: Settings = {
  ...{ attemptsMax: 2, hasDeadLetterTopic: true, deadLetterExpired: false },
  ...{ recordsPerSecondMax: 0, paused: false },
};

function set(changed: Partial<Settings> = {}, kind: SubscriptionKind = to): Event {
  return { kind: 'settings', to: kind, settings: { ...settings, ...changed } };
}

function appended(offset: number, terms: Partial<Fact> = {}): Event[] {
  const fact: Fact = {
    ...{ offset, value: `v${offset}`, key: '', deliverAtMs: 0, expiresAtMs: Infinity },
    ...{ priority: 0, audience: '', ...terms },
  };
  return [
    { kind: 'appended', fact },
    { kind: 'stored', offset },
  ];
}

function delivered(offset: number, attempt = 1, more: Partial<Delivered> = {}): Event {
  return {
    kind: 'delivered',
    ...{ to, consumer: 1, offset, value: `v${offset}`, attempt, lease: 10 + offset, runLength: 1 },
    ...{ wallMs: 1_000, monoMs: 0, ...more },
  };
}

function said(verb: Verb, offset: number, attempt = 1, more: Partial<Said> = {}): Event {
  return {
    kind: 'said',
    ...{ to, verb, offset, attempt, lease: 10 + offset, notBeforeMs: 0, isDurable: false, ...more },
  };
}

/** Told, and then durable. */
function done(verb: Verb, offset: number, attempt = 1, more: Partial<Said> = {}): Event[] {
  return [false, true].map((isDurable) => said(verb, offset, attempt, { ...more, isDurable }));
}

function sought(offset: number, kind: SubscriptionKind = to): Event[] {
  return [false, true].map((isDurable) => ({ kind: 'sought', to: kind, offset, isDurable }));
}

function cumulative(offset: number): Event[] {
  return [false, true].map((isDurable) => ({ kind: 'cumulative', offset, isDurable }));
}

function opened(endOffset: number, wallMs = 1_000): Event {
  return { kind: 'opened', endOffset, wallMs };
}

function arrived(offset: number, number = 1, isDurable = false): Event {
  return { kind: 'letter', to, offset, number, isDurable };
}

function status(changed: Partial<PartitionStatus>, recount: object = {}): Event {
  const none = {
    ...{ ackedOffset: 0, endOffset: 1, ready: 1, inFlight: 0, waiting: 0, delayed: 0, dead: 0 },
    ...{ deadLetteredTotal: 0, droppedTotal: 0, expiredTotal: 0, oldestUnackedMs: 0 },
    ...{ ackedAbove: 0, blockDetail: '', blocked: ['no_consumers'] as const },
  };
  const counted = { ready: 1, in_flight: 0, waiting: 0, delayed: 0, dead: 0, ...recount };
  return { kind: 'status', to, status: { ...none, ...changed }, recount: counted, isQuiet: true };
}

const crashed: Event = { kind: 'crashed' };
const records = (offsets: readonly number[]) =>
  offsets.map((offset) => ({ offset, value: `v${offset}` }));

function final(offsets: readonly number[], letters: readonly Letter[] = [], left = 0): FinalState {
  return {
    ...{ startOffset: 0, records: records(offsets), letters },
    backlogs: new Map([[to, left]]),
  };
}

function letter(offset: number, reason = 'rejected', attempts = 1): Letter {
  return { to, offset, attempts, reason, value: `v${offset}` };
}

const two = [...appended(0), ...appended(1)];
const keyed = { to: 'keyed_queue' } as const;
const keyedTwo = [...appended(0, { key: 'k' }), ...appended(1, { key: 'k' })];
const many = Array.from({ length: 16 }, (_, i) => i + 1);

/** By checker: histories that break its rule. */
const bad: Readonly<
  Record<keyof typeof checkers, readonly (readonly [string, Event[], FinalState?])[]>
> = {
  valuesHold: [
    ['another value', [...appended(0), delivered(0, 1, { value: 'v9' })]],
    ['lost', [...appended(0)], final([])],
    ['changed in its letter', [...appended(0)], final([0], [{ ...letter(0), value: 'v1' }])],
  ],
  ackedStaysAcked: [
    ['after an ack', [...appended(0), delivered(0), said('ack', 0), delivered(0, 2)]],
    ['after a crash', [...appended(0), delivered(0), ...done('ack', 0), crashed, delivered(0)]],
    ['below a seek', [...two, ...sought(1), delivered(0)]],
  ],
  nothingIsLost: [
    ['never acked', [...appended(0), delivered(0)], final([0])],
    ['left over', [...appended(0), said('ack', 0)], final([0], [], 1)],
    ['acked before a seek', [...appended(0), said('ack', 0), ...sought(0)], final([0])],
    ['rejected, and no letter', [set(), ...appended(0), said('reject', 0)], final([0])],
  ],
  termsHold: [
    ['early', [...appended(0, { deliverAtMs: 1_500 }), delivered(0)]],
    ['too late', [...appended(0, { expiresAtMs: 900 }), delivered(0)]],
    ['for others', [...appended(0, { audience: 'keyed_queue' }), delivered(0)]],
    [
      'taken back',
      [...appended(0), { kind: 'cancelled', offset: 0, isDurable: false }, delivered(0)],
    ],
  ],
  attemptsHold: [
    ['skips one', [delivered(0), delivered(0, 3)]],
    ['does not count', [delivered(0), delivered(0, 1)]],
    [
      'two lost at a crash',
      [delivered(0), delivered(0, 2), delivered(0, 3), crashed, delivered(0, 2)],
    ],
    ['goes on after a seek', [delivered(0), ...sought(0), delivered(0, 2)]],
    ['a return counts', [delivered(0), said('return', 0), delivered(0, 2)]],
  ],
  lastAttemptTravelsAlone: [['in company', [set(), delivered(0, 2, { runLength: 2 })]]],
  deadStaysDead: [
    ['rejected', [set(), delivered(0), said('reject', 0), delivered(0, 2)]],
    ['failed for the last time', [set(), delivered(0, 2), said('lost', 0, 2), delivered(0, 3)]],
    ['durably', [set(), delivered(0), ...done('reject', 0), crashed, delivered(0)]],
    ['its letter has arrived', [set(), said('reject', 0), arrived(0), crashed, delivered(0)]],
  ],
  lettersTellTheTruth: [
    ['twice', [set(), ...appended(0), ...done('reject', 0)], final([0], [letter(0), letter(0)])],
    ['never', [set(), ...appended(0), ...done('reject', 0)], final([0])],
    ['for nothing', [set(), ...appended(0)], final([0], [letter(0)])],
    [
      'another reason',
      [set(), ...appended(0), said('nack', 0, 2)],
      final([0], [letter(0, 'rejected', 2)]),
    ],
    ['not expired', [set(), ...appended(0)], final([0], [letter(0, 'expired', 0)])],
  ],
  backoffHolds: [
    [
      'at once',
      [delivered(0), said('nack', 0, 1, { notBeforeMs: 50 }), delivered(0, 2, { monoMs: 40 })],
    ],
  ],
  seeksVoidLeases: [['an old ack', [delivered(0), ...sought(0), said('ack', 0)]]],
  arrivalsAreKept: [['again', [arrived(0), arrived(0, 1, true), crashed, arrived(0)]]],
  streamsAreInOrder: [
    ['a hole', [delivered(0, 0, { to: 'stream' }), delivered(2, 0, { to: 'stream' })]],
    [
      'past what was acked',
      [delivered(0, 0, { to: 'stream' }), crashed, delivered(1, 0, { to: 'stream' })],
    ],
    [
      'behind what is acked',
      [
        delivered(0, 0, { to: 'stream' }),
        ...cumulative(0),
        crashed,
        delivered(0, 0, { to: 'stream' }),
      ],
    ],
    [
      'a new consumer begins where the old one was',
      [
        delivered(0, 0, { to: 'stream' }),
        { kind: 'activated', to: 'stream', consumer: 2 },
        delivered(1, 0, { to: 'stream' }),
      ],
    ],
  ],
  keysAreInOrder: [
    ['two of a key', [...keyedTwo, delivered(0, 1, keyed), delivered(1, 1, keyed)]],
    ['overtaken', [...keyedTwo, delivered(1, 1, keyed)]],
    [
      'unlocked by a nack',
      [
        set({}, 'keyed_queue'),
        ...keyedTwo,
        delivered(0, 1, keyed),
        said('nack', 0, 1, keyed),
        delivered(1, 1, keyed),
      ],
    ],
    ['overtaken after a restart', [...keyedTwo, crashed, opened(2), delivered(1, 1, keyed)]],
    [
      'unlocked by a death',
      [
        set({}, 'keyed_queue'),
        ...keyedTwo,
        delivered(0, 1, keyed),
        said('reject', 0, 1, keyed),
        delivered(1, 1, keyed),
      ],
    ],
  ],
  prioritiesHold: [
    [
      'the oldest starves',
      [
        ...appended(0),
        ...many.flatMap((i) => appended(i, { priority: 9 })),
        ...many.map((i) => delivered(i)),
      ],
    ],
    [
      'the lower ones first',
      [
        ...[0, 1, 2].flatMap((i) => appended(i)),
        ...appended(3, { priority: 9 }),
        ...[0, 1].map((i) => delivered(i)),
      ],
    ],
  ],
  pausedIsQuiet: [['paused', [set({ paused: true }), delivered(0)]]],
  rateHolds: [
    ['too many', [set({ recordsPerSecondMax: 10 }), delivered(0), delivered(1, 1, { monoMs: 50 })]],
  ],
  countersAddUp: [
    ['not as counted', [status({ ready: 0, waiting: 1 })]],
    ['no sum', [status({ endOffset: 2 })]],
  ],
  blockedSaysWhy: [['silent', [status({ blocked: [] })]]],
};

describe('a bad history is found by', () => {
  const cases = Object.entries(bad).flatMap(([name, histories]) =>
    histories.map(([what, history, end]) => ({ name, what, history, end })),
  );
  it.each(cases)('$name: $what', ({ name, history, end }) => {
    const offsets = history.flatMap((event) =>
      event.kind === 'appended' ? [event.fact.offset] : [],
    );
    const check = checkers[name as keyof typeof checkers];
    expect(check(history, end ?? final(offsets))).not.toEqual([]);
  });
});

describe('a good history is left alone:', () => {
  it.each<readonly [string, Event[], FinalState]>([
    ['acked', [set(), ...appended(0), delivered(0), ...done('ack', 0)], final([0])],
    [
      'retried, dead, one letter',
      [
        ...[set(), ...appended(0), delivered(0), ...done('nack', 0), delivered(0, 2)],
        ...[...done('lost', 0, 2), arrived(0), arrived(0, 1, true)],
      ],
      final([0], [letter(0, 'attempts_exhausted', 2)]),
    ],
    [
      'an attempt lost at a crash',
      [
        ...[set(), ...appended(0), delivered(0), said('nack', 0), crashed, opened(1), delivered(0)],
        said('ack', 0),
      ],
      final([0]),
    ],
    [
      'a death lost at a crash',
      [
        ...[
          set(),
          ...appended(0),
          delivered(0),
          said('reject', 0),
          crashed,
          opened(1),
          delivered(0),
        ],
        said('ack', 0),
      ],
      final([0]),
    ],
    [
      'moved back and worked through again',
      [
        ...[set(), ...appended(0), delivered(0), ...done('ack', 0), ...sought(0)],
        ...[delivered(0, 1, { lease: 20 }), said('ack', 0, 1, { lease: 20 })],
      ],
      final([0]),
    ],
    [
      'a record that a crash has lost',
      [
        set(),
        { kind: 'appended', fact: { ...(appended(0)[0] as { fact: Fact }).fact } },
        crashed,
        opened(0),
      ],
      final([]),
    ],
    [
      'expired and taken back',
      [
        ...[set(), ...appended(0, { expiresAtMs: 1_100 }), ...appended(1, { deliverAtMs: 9_000 })],
        ...[
          { kind: 'cancelled', offset: 1, isDurable: false } as const,
          { kind: 'time', wallMs: 1_200, isStep: false } as const,
        ],
      ],
      final([0, 1]),
    ],
  ])('%s', (_name, history, end) => {
    expect(checkAll([opened(0), ...history], end)).toEqual([]);
  });
});
