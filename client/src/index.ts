// @millrace/client: everything that is public.
export type { ApiToken, Caller, CreatedToken, Grant, Role } from './admin/access.ts';
export type { Cluster } from './admin/cluster.ts';
export type { BrowsedRecord, BrowseOptions, RecordState } from './admin/browse.ts';
export type {
  DeadLetter,
  DeadLetterCount,
  DeadLetterFilter,
  DeadLetterJob,
  DeadLetterReason,
  DeadLetterTopic,
} from './admin/dead-letter.ts';
export type {
  DeadLetterJobOptions,
  PeekOptions,
  RedriveOptions,
  WaitOptions,
} from './admin/dead-letters.ts';
export { whyIdle } from './admin/why-idle.ts';
export type {
  AppliedSubscription,
  BlockedReason,
  ConnectedConsumer,
  SeekTarget,
  Subscription,
  SubscriptionPartition,
  SubscriptionSpec,
  SubscriptionSpecPatch,
} from './admin/subscriptions.ts';
export type {
  BacklogQuota,
  Policy,
  PolicyField,
  PolicyLevel,
  PolicySources,
  Retention,
  Tiering,
} from './admin/policies.ts';
export type {
  AppliedTenant,
  ApplyTenantOptions,
  DescribedTenant,
  Namespace,
  NamespacePatch,
  NamespaceUsage,
  Quota,
  Scope,
  ScopePatch,
  Tenant,
  TenantPatch,
  TenantSummary,
  Usage,
} from './admin/tenants.ts';
export type {
  AppliedTopic,
  ApplyOptions,
  ApplyTopicOptions,
  DelayedRecords,
  OffloadOptions,
  PartitionOwner,
  Topic,
  TopicPartition,
  TopicSpec,
  TopicSpecPatch,
  TopicStatus,
} from './admin/topics.ts';
export type { TokenSource } from './bearer.ts';
export {
  connect,
  type Client,
  type ConnectOptions,
  type Decoding,
  type Encoding,
} from './client.ts';
export type { AckRange, RefusedAck } from './consume/acknowledge.ts';
export { NackError, RejectError, type ConsumeOptions } from './consume/consume-options.ts';
export type { Consumer } from './consume/consumer.ts';
export type { Consumption, Handler } from './consume/consumption.ts';
export type { Message, NackOptions } from './consume/message.ts';
export type { PulledMessage, PullOptions } from './consume/pull.ts';
export type { ConsumerOptions } from './consume/options.ts';
export { MillraceError, type ErrorEffect, type ErrorKind } from './errors.ts';
export type { PublisherOptions } from './publish/options.ts';
export type { GapRange, PositionLike } from './positions.ts';
export type { Published } from './publish/outgoing-batch.ts';
export type { Publisher, PublishBatchOptions, PublishedBatch } from './publish/publisher.ts';
export type { Reader, ReaderOptions } from './read/reader.ts';
export type { ReceivedBatch } from './read/received-batch.ts';
export type { SubscriptionKind } from './subscription-kind.ts';
export type { Codec, Decoder, Encoder } from './records/codec.ts';
export { json } from './records/json.ts';
export type { SchemaIssue, SchemaResult, StandardSchema } from './records/standard-schema.ts';
export type { CompressionName } from './records/compress.ts';
export type { PublishRecord, ReceivedRecord } from './records/record.ts';
export type { TlsOptions } from './tls.ts';
