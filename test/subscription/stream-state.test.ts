import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { StreamState } from '../../broker/subscription/stream-state.ts';

const end = 10;

/** Each state is made anew: acked 2, then sent up to 4 where there is somebody to send to. */
const states = {
  standby: () => new StreamState(2),
  'active, nothing sent': () => {
    const state = new StreamState(2);
    state.activate(7);
    return state;
  },
  'active, sent to 4': () => {
    const state = new StreamState(2);
    state.activate(7);
    state.markSent(4);
    return state;
  },
} satisfies Record<string, () => StreamState>;

const events = {
  'activate 7': (state) => state.activate(7),
  'activate 8': (state) => state.activate(8),
  deactivate: (state) => state.activate(undefined),
  'ack to 1': (state) => state.ackCumulative(1),
  'ack to 3': (state) => state.ackCumulative(3),
  'ack to 5': (state) => state.ackCumulative(5),
  'seek to 1': (state) => state.seek(1),
  'seek to 6': (state) => state.seek(6),
  'skip to 1': (state) => state.skipTo(1),
  'skip to 3': (state) => state.skipTo(3),
  'skip to 6': (state) => state.skipTo(6),
} satisfies Record<string, (state: StreamState) => unknown>;

/** Answer, then acked, sent and active consumer. */
type Row = Record<keyof typeof events, readonly [unknown, number, number, number | undefined]>;

const table: Record<keyof typeof states, Row> = {
  standby: {
    'activate 7': [true, 2, 2, 7],
    'activate 8': [true, 2, 2, 8],
    deactivate: [false, 2, 2, undefined],
    'ack to 1': [0, 2, 2, undefined],
    'ack to 3': ['invalid', 2, 2, undefined],
    'ack to 5': ['invalid', 2, 2, undefined],
    'seek to 1': [undefined, 1, 1, undefined],
    'seek to 6': [undefined, 6, 6, undefined],
    'skip to 1': [0, 2, 2, undefined],
    'skip to 3': [1, 3, 3, undefined],
    'skip to 6': [4, 6, 6, undefined],
  },
  'active, nothing sent': {
    'activate 7': [false, 2, 2, 7],
    'activate 8': [true, 2, 2, 8],
    deactivate: [true, 2, 2, undefined],
    'ack to 1': [0, 2, 2, 7],
    'ack to 3': ['invalid', 2, 2, 7],
    'ack to 5': ['invalid', 2, 2, 7],
    'seek to 1': [undefined, 1, 1, 7],
    'seek to 6': [undefined, 6, 6, 7],
    'skip to 1': [0, 2, 2, 7],
    'skip to 3': [1, 3, 3, 7],
    'skip to 6': [4, 6, 6, 7],
  },
  'active, sent to 4': {
    'activate 7': [false, 2, 5, 7],
    'activate 8': [true, 2, 2, 8],
    deactivate: [true, 2, 2, undefined],
    'ack to 1': [0, 2, 5, 7],
    'ack to 3': [2, 4, 5, 7],
    'ack to 5': ['invalid', 2, 5, 7],
    'seek to 1': [undefined, 1, 1, 7],
    'seek to 6': [undefined, 6, 6, 7],
    'skip to 1': [0, 2, 5, 7],
    'skip to 3': [1, 3, 5, 7],
    'skip to 6': [4, 6, 6, 7],
  },
};

const cases = Object.entries(table).flatMap(([state, row]) =>
  Object.entries(row).map(([event, outcome]) => [event, state, outcome] as const),
) as readonly (readonly [keyof typeof events, keyof typeof states, Row[keyof Row]])[];

describe('StreamState', () => {
  test.each(cases)('%s in %s gives %j', (event, name, [answer, acked, sent, consumer]) => {
    const state = states[name]();
    expect(events[event](state)).toEqual(answer);
    expect([state.acked, state.sent, state.consumer]).toEqual([acked, sent, consumer]);
  });

  test('gives what is not sent yet, nothing without a consumer, and is idle at the end', () => {
    expect(states.standby().next(end)).toEqual({ kind: 'blocked', reason: 'no_consumers' });
    expect(states.standby().next(2)).toEqual({ kind: 'idle' });
    const state = states['active, sent to 4']();
    expect(state.next(end)).toEqual({ kind: 'run', first: 5, last: 9 });
    expect(state.next(end)).toEqual({ kind: 'run', first: 5, last: 9 });
    state.markSent(9);
    expect(state.next(end)).toEqual({ kind: 'idle' });
  });

  test('asserts when records are sent to nobody, or sent twice', () => {
    expect(() => states.standby().markSent(2)).toThrow(/no consumer/);
    expect(() => states['active, sent to 4']().markSent(4)).toThrow(/comes next/);
  });

  test('gives a new consumer everything unacked once: nothing is skipped at any hand-over', () => {
    const event = fc.record({
      consumer: fc.nat(2),
      send: fc.nat(5),
      ack: fc.integer({ min: 1, max: 8 }),
    });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40, size: 'max' }), (history) => {
        const state = new StreamState();
        let nextForConsumer = 0;
        for (const { consumer, send, ack } of history) {
          if (state.activate(consumer)) nextForConsumer = state.acked;
          const next = state.next(30);
          if (next.kind === 'run') {
            expect(next.first).toBe(nextForConsumer);
            nextForConsumer = Math.min(next.last, next.first + send) + 1;
            state.markSent(nextForConsumer - 1);
          }
          const before = state.acked;
          const answer = state.ackCumulative(before + ack - 1);
          expect(answer).toBe(before + ack > nextForConsumer ? 'invalid' : ack);
          expect(state.acked).toBeLessThanOrEqual(state.sent);
        }
      }),
    );
  });

  test.each([Number.NaN, -1, 0.5, Number.MAX_SAFE_INTEGER])('refuses an ack up to %d', (last) => {
    expect(states['active, sent to 4']().ackCumulative(last)).toBe('invalid');
  });

  test('comes back from its bytes at the acked position, and never goes back by an old ack', () => {
    const state = states['active, sent to 4']();
    state.ackCumulative(3);
    const restored = StreamState.decode(state.encode());
    expect([restored.acked, restored.sent, restored.consumer]).toEqual([4, 4, undefined]);
    restored.applyAcked(2);
    expect(restored.acked).toBe(4);
    restored.applyAcked(8);
    expect([restored.acked, restored.sent]).toEqual([9, 9]);
  });

  test.each([
    ['nothing', []],
    ['an unknown version', [2, 1]],
    ['cut off', [1, 0x80]],
    ['longer than it should be', [1, 1, 1]],
    ['an offset of 2^53', [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]],
  ])('refuses bytes that are %s', (_, bytes) => {
    expect(() => StreamState.decode(Uint8Array.from(bytes))).toThrow(
      expect.objectContaining({ name: 'BrokerError', reason: 'DATA_LOSS' }),
    );
  });
});
