// What the catalog's journal says: events, and the entries of a checkpoint. Bytes: catalog-entries.ts.
//
// Invariant: an event carries the whole object as it is afterwards, so that a replay that begins in the middle, with
// the object's checkpoint entry still to come, ends in the same state.
import type { SubscriptionId, TenantId, TopicId } from '../core/ids.ts';
import type { DeadLetterJob } from './dead-letter-job.ts';
import type { Grant } from './grant.ts';
import type { SubscriptionName } from './names.ts';
import type { Principal } from './principal.ts';
import type { Scope } from './scope.ts';
import type { Subscription } from './subscription.ts';
import type { Tenant } from './tenant.ts';
import type { ApiToken } from './token.ts';
import type { ShardPartitions, Topic } from './topic.ts';

/** A deleted topic whose data some shard has not yet durably dropped. */
export interface TopicTombstone {
  readonly of: 'topic';
  readonly topicId: TopicId;
  readonly name: string;
  /** Subscriptions that went with it. */
  readonly subscriptions: readonly SubscriptionId[];
  /** What is still to be dropped; never empty. */
  readonly pending: readonly ShardPartitions[];
}

/** A deleted subscription whose cursors some shard has not yet durably dropped. */
export interface SubscriptionTombstone {
  readonly of: 'subscription';
  readonly subscriptionId: SubscriptionId;
  readonly topicId: TopicId;
  readonly name: SubscriptionName;
  /** What is still to be dropped; never empty. */
  readonly pending: readonly ShardPartitions[];
}

/** Absence never means deletion: a shard drops data only because a tombstone says so. */
export type Tombstone = TopicTombstone | SubscriptionTombstone;

export type CatalogEvent =
  | { readonly kind: 'tenant-created'; readonly tenant: Tenant }
  | { readonly kind: 'tenant-changed'; readonly tenant: Tenant }
  /** It has no topics. */
  | { readonly kind: 'tenant-deleted'; readonly id: TenantId }
  | { readonly kind: 'topic-created'; readonly topic: Topic }
  | { readonly kind: 'topic-changed'; readonly topic: Topic }
  /** Its subscriptions go with it. */
  | { readonly kind: 'topic-deleted'; readonly tombstone: TopicTombstone }
  | { readonly kind: 'subscription-created'; readonly subscription: Subscription }
  | { readonly kind: 'subscription-changed'; readonly subscription: Subscription }
  | { readonly kind: 'subscription-deleted'; readonly tombstone: SubscriptionTombstone }
  /** It has begun, or has ended. */
  | { readonly kind: 'dead-letter-job-put'; readonly job: DeadLetterJob }
  | { readonly kind: 'dead-letter-job-forgotten'; readonly id: number }
  /** The shard has durably dropped its part. */
  | {
      readonly kind: 'tombstone-cleared';
      readonly of: 'topic';
      readonly id: TopicId;
      readonly shard: string;
    }
  | {
      readonly kind: 'tombstone-cleared';
      readonly of: 'subscription';
      readonly id: SubscriptionId;
      readonly shard: string;
    }
  | { readonly kind: 'grant-changed'; readonly grant: Grant }
  | { readonly kind: 'grant-removed'; readonly principal: Principal; readonly scope: Scope }
  | { readonly kind: 'token-created'; readonly token: ApiToken }
  | { readonly kind: 'token-removed'; readonly tenant: string; readonly name: string };

/** The next number of each kind. They only rise. */
export interface CatalogCounters {
  readonly nextTopicId: number;
  readonly nextPartitionId: number;
  readonly nextSubscriptionId: number;
  readonly nextRevision: number;
  readonly nextTenantId: number;
}

export type CatalogCheckpointEntry =
  | { readonly kind: 'counters'; readonly counters: CatalogCounters }
  | { readonly kind: 'tenant'; readonly tenant: Tenant }
  | { readonly kind: 'topic'; readonly topic: Topic }
  | { readonly kind: 'subscription'; readonly subscription: Subscription }
  | { readonly kind: 'dead-letter-job'; readonly job: DeadLetterJob }
  | { readonly kind: 'tombstone'; readonly tombstone: Tombstone }
  | { readonly kind: 'grant'; readonly grant: Grant }
  | { readonly kind: 'token'; readonly token: ApiToken };
