// Sizes of what the tier writes and reads at once. Injected, so that a test makes many objects of a few records.
import { assert } from '../core/assert.ts';
import { limits } from '../core/limits.ts';
import { segmentBlockBytes } from './segment-format.ts';

export interface TierSizes {
  /** As in limits: of one segment object at most, and so much that a partition gets objects of its own. */
  readonly segmentBytesMax: number;
  readonly segmentBytesMin: number;
  /** One block at most, unless it is one larger batch. */
  readonly blockBytes: number;
  /** One GET for a reader that goes forward. */
  readonly extentBytes: number;
  /** Read back at once after an object was written. */
  readonly verifyBytes: number;
}

export const tierSizes: TierSizes = {
  segmentBytesMax: limits.segmentBytesMax,
  segmentBytesMin: limits.segmentBytesMin,
  blockBytes: segmentBlockBytes,
  extentBytes: limits.coldExtentBytes,
  verifyBytes: 4 * 1024 * 1024,
};

assert(tierSizes.segmentBytesMin <= tierSizes.segmentBytesMax, 'an object of its own fits one');
assert(tierSizes.blockBytes <= tierSizes.extentBytes, 'an extent holds a block');
