// What the noisy neighbour may use.

export const noisyValueBytes = 1_000;

export const noisyQuota = {
  publishBytesPerSecond: 5_000_000,
  publishRecordsPerSecond: 5_000,
  connections: 10,
  adminCallsPerSecond: 50,
} as const;
