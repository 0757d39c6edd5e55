// Headers of stored batches for tests: every field over its whole range, with its borders.
import fc from 'fast-check';
import type { StoredHeader } from '../../broker/batch/stored-header.ts';

const uint32Max = 2 ** 32 - 1;
const uint32 = fc.oneof(
  fc.constantFrom(0, 1, 2 ** 31, uint32Max),
  fc.integer({ min: 0, max: uint32Max }),
);
const uint53 = fc.oneof(
  fc.constantFrom(0, 1, uint32Max, 2 ** 32, 2 ** 52, Number.MAX_SAFE_INTEGER),
  fc.maxSafeNat(),
);

export const storedHeaderArbitrary: fc.Arbitrary<StoredHeader> = fc.record(
  {
    flags: fc.nat(15),
    priority: fc.nat(15),
    bodyBytes: uint32,
    bodyCrc: uint32,
    partitionId: uint32,
    epoch: uint32,
    baseOffset: uint53,
    recordCount: uint32,
    publisherId: uint32,
    publisherEpoch: uint32,
    sequence: uint53,
    appendTimeMs: uint53,
    deliverAtMs: uint53,
    timeToLiveMs: uint53,
    audience: uint32,
  },
  { noNullPrototype: true },
);
