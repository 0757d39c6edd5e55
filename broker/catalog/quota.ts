// What a tenant or a namespace may use. A namespace's quota is a further limit inside its tenant's, not a share of it.
import { checkBetween, type SpecFields } from './spec-fields.ts';

/** 0: no limit. Rates hold per broker, amounts over all of them. */
export interface Quota {
  readonly publishBytesPerSecond: number;
  readonly publishRecordsPerSecond: number;
  readonly deliveryBytesPerSecond: number;
  /** Stored bytes of batches that retention has not removed. */
  readonly storedBytes: number;
  readonly topics: number;
  readonly partitions: number;
  readonly subscriptions: number;
  /** Connections with an open stream on one of its topics, per broker. */
  readonly connections: number;
  /** Unary calls on what is in it that neither publish nor consume. */
  readonly adminCallsPerSecond: number;
}

export type QuotaField = keyof Quota;

/** What a caller wants changed; undefined leaves a field as it is. */
export type QuotaPatch = { readonly [F in QuotaField]?: number | undefined };

/** By their names in the API. */
export const quotaFieldNames = {
  publishBytesPerSecond: 'publish_bytes_per_second',
  publishRecordsPerSecond: 'publish_records_per_second',
  deliveryBytesPerSecond: 'delivery_bytes_per_second',
  storedBytes: 'stored_bytes',
  topics: 'topics',
  partitions: 'partitions',
  subscriptions: 'subscriptions',
  connections: 'connections',
  adminCallsPerSecond: 'admin_calls_per_second',
} as const satisfies Record<QuotaField, string>;

export const quotaFields = Object.keys(quotaFieldNames) as readonly QuotaField[];

export const noQuota: Quota = quotaOf(() => 0);

/** The quota with the patch in it. Throws SPEC_INVALID. */
export function patchQuota(quota: Quota, patch: QuotaPatch): Quota {
  const patched = quotaOf((field) => patch[field] ?? quota[field]);
  for (const field of quotaFields) {
    checkBetween(`quota.${quotaFieldNames[field]}`, patched[field], 0, Number.MAX_SAFE_INTEGER);
  }
  return patched;
}

export function limitsNothing(quota: Quota): boolean {
  return quotaFields.every((field) => quota[field] === 0);
}

/** Every field by its name in the API. */
export function quotaSpecFields(quota: Quota): SpecFields {
  return Object.fromEntries(
    quotaFields.map((field) => [`quota.${quotaFieldNames[field]}`, quota[field]]),
  );
}

/** A quota made field by field. */
export function quotaOf(valueOf: (field: QuotaField) => number): Quota {
  return {
    publishBytesPerSecond: valueOf('publishBytesPerSecond'),
    publishRecordsPerSecond: valueOf('publishRecordsPerSecond'),
    deliveryBytesPerSecond: valueOf('deliveryBytesPerSecond'),
    storedBytes: valueOf('storedBytes'),
    topics: valueOf('topics'),
    partitions: valueOf('partitions'),
    subscriptions: valueOf('subscriptions'),
    connections: valueOf('connections'),
    adminCallsPerSecond: valueOf('adminCallsPerSecond'),
  };
}
