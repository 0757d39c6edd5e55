// What a publisher says on a raw PublishStream, and the reason that it is answered with.
import { fromBinary } from '@bufbuild/protobuf';
import {
  PublishStreamRequestSchema,
  PublishStreamResponseSchema,
} from '../../proto/gen/millrace/v1/publish_pb.ts';
import { bytesField, encodeFields, messageField } from '../batch/wire-tree.ts';
import { encode, type RawGrpc, type RawStream } from './raw-grpc.ts';

/** A stream with publisher 0 open on the topic. */
export async function openPublisher(grpc: RawGrpc, topic: string): Promise<RawStream> {
  const stream = grpc.duplex('PublishService/PublishStream');
  const outcome = await open(stream, { topic });
  if (outcome !== 'opened') throw new Error(outcome);
  return stream;
}

/** 'opened', or the reason why not. */
export async function open(
  stream: RawStream,
  fields: { readonly topic: string; readonly publisher?: string },
): Promise<string> {
  stream.write(encode(PublishStreamRequestSchema, { opens: [fields] }));
  const { opened } = fromBinary(PublishStreamResponseSchema, await stream.next());
  return opened[0]?.error?.reason ?? 'opened';
}

/** Sends a batch to partition 0; 'stored', or the reason why not. */
export async function append(stream: RawStream, batch: Buffer): Promise<string> {
  stream.write(encodeFields([messageField(2, [bytesField(15, batch)])]));
  return nextResult(stream);
}

/** Of the next append: 'stored', or the reason why not. */
export async function nextResult(stream: RawStream): Promise<string> {
  const { results } = fromBinary(PublishStreamResponseSchema, await stream.next());
  const [result] = results;
  if (result === undefined || results.length > 1) throw new Error(`${results.length} results`);
  return result.error?.reason ?? 'stored';
}
