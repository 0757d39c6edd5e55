// @millrace/client: everything that is public.
export { connect, type Client, type ConnectOptions } from './client.ts';
export { MillraceError, type ErrorEffect, type ErrorKind } from './errors.ts';
export type { PublisherOptions } from './publish/options.ts';
export type { Published } from './publish/outgoing-batch.ts';
export type { Publisher, PublishBatchOptions, PublishedBatch } from './publish/publisher.ts';
export type { CompressionName } from './records/compress.ts';
export type { PublishRecord, ReceivedRecord } from './records/record.ts';
