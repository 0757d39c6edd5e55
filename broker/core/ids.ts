// Branded numbers and strings, so that two ids cannot be swapped by accident.
//
// Ids are given by the catalog, from 1, and never reused. They fit 32 bits.

declare const brand: unique symbol;
type Branded<T, B extends string> = T & { readonly [brand]: B };

/** Whose records they are. */
export type TenantId = Branded<number, 'TenantId'>;
export type TopicId = Branded<number, 'TopicId'>;
/** Global over all topics; the journal's stream number. */
export type PartitionId = Branded<number, 'PartitionId'>;
export type SubscriptionId = Branded<number, 'SubscriptionId'>;
/** Number of a publisher within one partition. 0: not counted. */
export type PublisherId = Branded<number, 'PublisherId'>;
/** Ownership of a shard; rises at every start. */
export type Epoch = Branded<number, 'Epoch'>;
/** Dense number of a record in its partition, from 0, below 2^53. */
export type Offset = number;

export const tenantId = (n: number): TenantId => n as TenantId;
export const topicId = (n: number): TopicId => n as TopicId;
export const partitionId = (n: number): PartitionId => n as PartitionId;
export const subscriptionId = (n: number): SubscriptionId => n as SubscriptionId;
export const publisherId = (n: number): PublisherId => n as PublisherId;
export const epoch = (n: number): Epoch => n as Epoch;
