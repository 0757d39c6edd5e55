import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { entryTypes } from '../../broker/core/entry-types.ts';
import { BrokerError } from '../../broker/core/errors.ts';
import { partitionId, subscriptionId, topicId } from '../../broker/core/ids.ts';
import {
  decodeEntry,
  encodeEntry,
  entryTypeOf,
  type SubscriptionEntry,
} from '../../broker/subscription/entries.ts';

const offset = fc.maxSafeNat().map((n) => Math.min(n, Number.MAX_SAFE_INTEGER - 1));
const range = fc.tuple(offset, offset).map(([a, b]) => ({
  first: Math.min(a, b),
  last: Math.max(a, b),
}));
const head = fc.record({
  subscriptionId: fc.integer({ min: 1, max: 0xffffffff }).map(subscriptionId),
  partitionId: fc.integer({ min: 1, max: 0xffffffff }).map(partitionId),
});
const attempts = fc
  .tuple(range, fc.integer({ min: 1 }), fc.maxSafeNat())
  .map(([run, count, readyAtWallMs]) => ({ ...run, attempts: count, readyAtWallMs }));
const id = fc.integer({ min: 1, max: 0xffffffff });
const letterHead = {
  number: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER - 1 }),
  offset,
  attempts: fc.nat(),
  text: fc.string({ maxLength: 64 }),
  isDetached: fc.boolean(),
};
const letter = fc.oneof(
  fc.record({
    ...letterHead,
    reason: fc.constantFrom('attempts_exhausted', 'rejected', 'expired'),
    target: fc.constant(undefined),
  }),
  fc.record({
    ...letterHead,
    reason: fc.constant('redriven' as const),
    target: fc.record({
      job: offset,
      topicId: id.map(topicId),
      partition: fc.nat(),
      audience: fc.oneof(fc.constant(0 as const), id.map(subscriptionId)),
    }),
  }),
);
const bytesOf = fc.uint8Array({ maxLength: 300 });

const entry: fc.Arbitrary<SubscriptionEntry> = fc.oneof(
  fc
    .tuple(head, fc.array(range, { minLength: 1 }))
    .map(([ids, ranges]) => ({ kind: 'acked', ...ids, ranges }) as const),
  fc
    .tuple(head, fc.array(attempts, { minLength: 1 }))
    .map(([ids, runs]) => ({ kind: 'attempts', ...ids, runs }) as const),
  fc
    .tuple(head, offset, offset)
    .map(([ids, to, fence]) => ({ kind: 'seek', ...ids, offset: to, fence }) as const),
  fc
    .tuple(head, fc.constantFrom('stream', 'queue'), bytesOf)
    .map(
      ([ids, subscriptionKind, state]) =>
        ({ kind: 'subscriptionCheckpoint', ...ids, subscriptionKind, state }) as const,
    ),
  head.map((ids) => ({ kind: 'subscriptionRemoved', ...ids }) as const),
  fc
    .tuple(head, fc.array(letter, { minLength: 1, maxLength: 5 }))
    .map(([ids, letters]) => ({ kind: 'dead', ...ids, letters }) as const),
  fc
    .tuple(head, fc.constantFrom('deadDone' as const, 'deadReturned' as const), offset)
    .map(([ids, kind, number]) => ({ kind, ...ids, number })),
  fc
    .tuple(head, offset, fc.array(range, { minLength: 1 }))
    .map(([ids, job, ranges]) => ({ kind: 'purged', ...ids, job, ranges }) as const),
);

function expectDamaged(type: number, bytes: Uint8Array): void {
  expect(() => decodeEntry(type, bytes)).toThrow(
    expect.objectContaining({ name: 'BrokerError', reason: 'DATA_LOSS' }),
  );
}

describe('subscription entries', () => {
  test('come back from their bytes as they were', () => {
    fc.assert(
      fc.property(entry, (written) => {
        const read = decodeEntry(entryTypeOf(written), encodeEntry(written));
        if (read.kind === 'subscriptionCheckpoint') {
          expect({ ...read, state: Uint8Array.from(read.state) }).toEqual(written);
        } else {
          expect(read).toEqual(written);
        }
      }),
    );
  });

  test('are refused with DATA_LOSS at every truncation and extension', () => {
    fc.assert(
      fc.property(entry, fc.nat(), (written, cut) => {
        const bytes = encodeEntry(written);
        const type = entryTypeOf(written);
        expectDamaged(type, bytes.subarray(0, cut % bytes.length));
        expectDamaged(type, Buffer.concat([bytes, Buffer.from([0])]));
      }),
    );
  });

  test('made of random bytes are DATA_LOSS or an entry that can be written again, nothing else', () => {
    const type = fc.constantFrom(...Object.values(entryTypes));
    fc.assert(
      fc.property(type, fc.uint8Array({ maxLength: 30 }), (entryType, bytes) => {
        try {
          const read = decodeEntry(entryType, bytes);
          expect(entryTypeOf(read)).toBe(entryType);
          expect(decodeEntry(entryType, encodeEntry(read))).toEqual(read);
        } catch (thrown) {
          expect(thrown instanceof BrokerError && thrown.reason).toBe('DATA_LOSS');
        }
      }),
      { numRuns: 3_000 },
    );
  });

  test.each([
    ['a type of another layer', entryTypes.batch, [1, 1]],
    ['subscription 0', entryTypes.subscriptionRemoved, [0, 1]],
    ['partition 0', entryTypes.subscriptionRemoved, [1, 0]],
    ['an id over 32 bits', entryTypes.subscriptionRemoved, [0x80, 0x80, 0x80, 0x80, 0x10, 1]],
    ['no ranges', entryTypes.acked, [1, 1, 0]],
    ['no attempt runs', entryTypes.attempts, [1, 1, 0]],
    ['attempt 0', entryTypes.attempts, [1, 1, 1, 5, 0, 0, 0]],
    ['a subscription of no kind', entryTypes.subscriptionCheckpoint, [1, 1, 3, 0]],
    [
      'a range past 2^53',
      entryTypes.acked,
      [1, 1, 1, 5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f],
    ],
  ])('with %s are refused', (_, type, bytes) => {
    expectDamaged(type, Uint8Array.from(bytes));
  });

  test('that say nothing or what cannot be are never written', () => {
    const ids = { subscriptionId: subscriptionId(1), partitionId: partitionId(1) };
    expect(() => encodeEntry({ kind: 'acked', ...ids, ranges: [] })).toThrow(/without ranges/);
    expect(() => encodeEntry({ kind: 'attempts', ...ids, runs: [] })).toThrow(/without runs/);
    expect(() => encodeEntry({ kind: 'acked', ...ids, ranges: [{ first: 2, last: 1 }] })).toThrow(
      /2-1/,
    );
    expect(() => encodeEntry({ kind: 'seek', ...ids, offset: -1, fence: 0 })).toThrow(/seek to -1/);
    const run = { first: 1, last: 1, attempts: 0, readyAtWallMs: 0 };
    expect(() => encodeEntry({ kind: 'attempts', ...ids, runs: [run] })).toThrow(/0 attempts/);
  });
});
