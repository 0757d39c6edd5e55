// What the noisy neighbour may use.

/** Of a record, the quiet one's too. */
export const valueBytes = 1_000;

export const noisyQuota = {
  publishBytesPerSecond: 5_000_000,
  publishRecordsPerSecond: 5_000,
  connections: 10,
  adminCallsPerSecond: 50,
} as const;
