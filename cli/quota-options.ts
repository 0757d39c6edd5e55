// Options of the quota of a tenant or namespace.
import type { Command } from 'commander';
import type { Quota } from '../client/src/index.ts';
import { sizeText } from './output.ts';
import { parseBytes, parseCount } from './options.ts';

export interface QuotaOptions {
  readonly quotaPublishBytes?: number;
  readonly quotaPublishRecords?: number;
  readonly quotaDeliveryBytes?: number;
  readonly quotaStoredBytes?: number;
  readonly quotaTopics?: number;
  readonly quotaPartitions?: number;
  readonly quotaSubscriptions?: number;
  readonly quotaConnections?: number;
  readonly quotaAdminCalls?: number;
}

export function withQuotaOptions(command: Command): Command {
  return command
    .option('--quota-publish-bytes <size>', 'a second, such as 10M; 0: no limit', parseBytes)
    .option('--quota-publish-records <n>', 'a second; 0: no limit', parseCount)
    .option('--quota-delivery-bytes <size>', 'a second, such as 10M; 0: no limit', parseBytes)
    .option('--quota-stored-bytes <size>', 'such as 100G; 0: no limit', parseBytes)
    .option('--quota-topics <n>', '0: no limit', parseCount)
    .option('--quota-partitions <n>', '0: no limit', parseCount)
    .option('--quota-subscriptions <n>', '0: no limit', parseCount)
    .option('--quota-connections <n>', 'with a stream open; 0: no limit', parseCount)
    .option('--quota-admin-calls <n>', 'a second; 0: no limit', parseCount);
}

/** Undefined: none was named. */
export function quotaOf(options: QuotaOptions): Partial<Quota> | undefined {
  const named = Object.entries({
    publishBytesPerSecond: options.quotaPublishBytes,
    publishRecordsPerSecond: options.quotaPublishRecords,
    deliveryBytesPerSecond: options.quotaDeliveryBytes,
    storedBytes: options.quotaStoredBytes,
    topics: options.quotaTopics,
    partitions: options.quotaPartitions,
    subscriptions: options.quotaSubscriptions,
    connections: options.quotaConnections,
    adminCallsPerSecond: options.quotaAdminCalls,
  }).filter(([, value]) => value !== undefined);
  return named.length === 0 ? undefined : Object.fromEntries(named);
}

const rows = [
  ['publish bytes/s', 'publishBytesPerSecond', sizeText],
  ['publish records/s', 'publishRecordsPerSecond', String],
  ['delivery bytes/s', 'deliveryBytesPerSecond', sizeText],
  ['stored bytes', 'storedBytes', sizeText],
  ['topics', 'topics', String],
  ['partitions', 'partitions', String],
  ['subscriptions', 'subscriptions', String],
  ['connections', 'connections', String],
  ['admin calls/s', 'adminCallsPerSecond', String],
] as const satisfies readonly (readonly [string, keyof Quota, (value: number) => string])[];

/** Of each quota: its name, what is used, what is allowed. */
export function quotaRows(quota: Quota, used: Quota): string[][] {
  return rows.map(([name, field, text]) => [
    name,
    text(used[field]),
    quota[field] === 0 ? 'no limit' : text(quota[field]),
  ]);
}

/** Only what is limited. */
export function quotaText(quota: Quota): string {
  const limited = rows.filter(([, field]) => quota[field] > 0);
  return limited.map(([name, field, text]) => `${name} ${text(quota[field])}`).join(', ') || '-';
}
