// Types of journal entries, in one place so that none is used twice. Below 16: the journal's own.

export const entryTypes = {
  // --- log: one partition ------------------------------------------------------------------------------
  batch: 16,
  /** A publisher was given an epoch. */
  publisherOpened: 17,
  /** Retention moved the start of a partition. */
  trimmed: 18,
  partitionCheckpoint: 19,
  /** The partition's topic was deleted. */
  partitionDropped: 20,
  /** An object holds records of partitions. */
  segmentsAdded: 21,
  /** Rows of a manifest moved into a page in the object store. */
  manifestPaged: 22,
  /** Some batches that are held back or have a priority; a part of a checkpoint. */
  marks: 23,
  /** Records were taken back before they were due. */
  cancelled: 24,

  // --- subscription: one subscription in one partition ---------------------------------------------------
  acked: 32,
  /** Records were given back: their attempt counts and when they are ready again. */
  attempts: 33,
  seek: 34,
  subscriptionCheckpoint: 35,
  subscriptionRemoved: 36,
  /** Records are on their way to the dead-letter topic, or redriven from it. */
  dead: 37,
  /** They have arrived there. */
  deadDone: 38,
  /** One was to be redriven and cannot go: it is where it was. */
  deadReturned: 39,
  /** A job has removed dead letters. */
  purged: 40,

  // --- catalog: the shard `system` -----------------------------------------------------------------------
  catalogEvent: 48,
  catalogCheckpoint: 49,
} as const;
