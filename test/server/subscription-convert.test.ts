import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  blockReasonOf,
  kindFromProto,
  kindToProto,
  numberFromProto,
  positionFromProto,
} from '../../broker/server/subscription-convert.ts';
import {
  BlockReason,
  Edge,
  PositionSchema,
  type Position,
} from '../../proto/gen/millrace/v1/stream_pb.ts';
import { SubscriptionKind } from '../../proto/gen/millrace/v1/subscription_pb.ts';
import type { BlockedReason } from '../../broker/subscription/consumer.ts';
import { reasonOf } from '../support/reason-of.ts';

const tooLarge = 2n ** 53n;

function position(at: Position['at'], epoch = 0): Position {
  return create(PositionSchema, { at, epoch });
}

describe('a subscription kind', () => {
  it.each(['stream', 'queue', 'keyed_queue'] as const)('%s comes back from the API', (kind) => {
    expect(kindFromProto(kindToProto(kind))).toBe(kind);
  });

  it('that is not stated is undefined, one that there is not is refused', () => {
    expect(kindFromProto(SubscriptionKind.UNSPECIFIED)).toBeUndefined();
    for (const kind of [4, -1, 2 ** 31 - 1]) {
      expect(reasonOf(() => kindFromProto(kind as SubscriptionKind))).toBe('ARGUMENT_INVALID');
    }
  });
});

describe('a position', () => {
  it.each([
    ['no position', undefined, undefined],
    [
      'an offset with its epoch',
      position({ case: 'offset', value: 7n }, 3),
      { kind: 'offset', offset: 7, epoch: 3 },
    ],
    [
      'the last offset there can be',
      position({ case: 'offset', value: tooLarge - 1n }),
      { kind: 'offset', offset: Number.MAX_SAFE_INTEGER, epoch: 0 },
    ],
    ['a time', position({ case: 'appendTimeMs', value: 5n }), { kind: 'time', timeMs: 5 }],
    ['the start', position({ case: 'edge', value: Edge.EARLIEST }), { kind: 'earliest' }],
    ['the end', position({ case: 'edge', value: Edge.LATEST }), { kind: 'latest' }],
  ])('%s is read', (_, from, to) => expect(positionFromProto(from)).toEqual(to));

  it.each([
    ['nothing set', position({ case: undefined })],
    ['an offset of 2^53', position({ case: 'offset', value: tooLarge })],
    ['an offset of 2^64 - 1', position({ case: 'offset', value: 2n ** 64n - 1n })],
    ['a time of 2^53', position({ case: 'appendTimeMs', value: tooLarge })],
    ['an edge that is not stated', position({ case: 'edge', value: Edge.UNSPECIFIED })],
    ['an edge that there is not', position({ case: 'edge', value: 9 as Edge })],
  ])('with %s is refused', (_, from) => {
    expect(reasonOf(() => positionFromProto(from))).toBe('ARGUMENT_INVALID');
  });
});

describe('a number', () => {
  it('below 2^53 is exact, from there on it is refused', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.boolean(), (value, small) => {
        const sent = small ? value >> 11n : value;
        if (sent < tooLarge) expect(BigInt(numberFromProto(sent, 'field'))).toBe(sent);
        else expect(reasonOf(() => numberFromProto(sent, 'field'))).toBe('ARGUMENT_INVALID');
      }),
    );
  });
});

describe('a reason for delivering nothing', () => {
  const reasons: readonly (readonly [BlockedReason, BlockReason])[] = [
    ['no_consumers', BlockReason.NO_CONSUMERS],
    ['no_credit', BlockReason.NO_CREDIT],
    ['delayed', BlockReason.DELAYED],
    ['unacked_limit', BlockReason.UNACKED_LIMIT],
    ['paused', BlockReason.PAUSED],
    ['cold_read_failing', BlockReason.COLD_READ_FAILING],
    ['data_loss', BlockReason.DATA_LOSS],
    ['key_busy', BlockReason.KEY_BUSY],
    ['throttled', BlockReason.THROTTLED],
    ['dead_letter_failing', BlockReason.DEAD_LETTER_FAILING],
  ];

  it.each(reasons)('%s has its number in the API', (reason, number) => {
    expect(blockReasonOf(reason)).toBe(number);
  });

  it('is given for every number but the unspecified one', () => {
    const numbers = Object.values(BlockReason).filter((n) => n !== BlockReason.UNSPECIFIED);
    expect(new Set(reasons.map(([, number]) => number))).toEqual(new Set(numbers));
  });
});
