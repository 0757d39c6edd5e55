// Parts of a sorted list of names: what a caller may see of it, without looking at the rest.
//
// Invariant: ranges are in the order of names and do not overlap, so that what they hold comes out in order, each once.
import type { NameIndex } from './name-index.ts';

/** Names that begin with `prefix`, or exactly it. */
export interface NameRange {
  readonly prefix: string;
  readonly isExact: boolean;
}

export const everyName: NameRange = { prefix: '', isExact: false };

/** Names at or after the text that lie in the ranges, ascending. The index must not change meanwhile. */
export function* namesWithin(
  index: NameIndex,
  ranges: readonly NameRange[],
  text: string,
): Generator<string, void> {
  for (const { prefix, isExact } of ranges) {
    for (const name of index.from(text > prefix ? text : prefix)) {
      if (isExact ? name !== prefix : !name.startsWith(prefix)) break;
      yield name;
    }
  }
}
