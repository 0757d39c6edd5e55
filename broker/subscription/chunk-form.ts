// What the two ways to hold a chunk's members have in common.

/** Offsets of one chunk: an index inside it fits 16 bits. */
export const chunkOffsets = 65_536;

/** A set of indexes in [0, chunkOffsets). */
export interface ChunkForm {
  readonly count: number;
  /** Maximal ranges of neighbouring members. */
  readonly rangeCount: number;
  /** Memory of the members. */
  readonly bytes: number;
  /** Adds [first, last]; answers how many were not members before. */
  add(first: number, last: number): number;
  has(index: number): boolean;
  /** The first member from `index` on, else chunkOffsets. */
  nextSet(index: number): number;
  /** The first non-member from `index` on; chunkOffsets when there is none. */
  nextUnset(index: number): number;
  /** Members in [first, last]. */
  countIn(first: number, last: number): number;
  /** Takes out what is below `index`; answers how many members that were. */
  removeBelow(index: number): number;
}
