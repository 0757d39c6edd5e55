// Topics for tests of publishers: made and read back through generated code, so that nothing of what is tested checks
// itself.
import { create, fromBinary, toBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { Connection } from '../../client/src/connection.ts';
import { openBatch } from '../../client/src/records/compress.ts';
import {
  ReadRequestSchema,
  ReadResponseSchema,
  ReadService,
} from '../../proto/gen/millrace/v1/read_pb.ts';
import { RecordBatchSchema } from '../../proto/gen/millrace/v1/record_pb.ts';
import { Edge } from '../../proto/gen/millrace/v1/stream_pb.ts';
import { TopicService, type TopicSpecSchema } from '../../proto/gen/millrace/v1/topic_pb.ts';

export interface StoredRecord {
  readonly partition: number;
  readonly offset: number;
  readonly key: string;
  readonly value: string;
}

export async function applyTopic(
  server: string,
  name: string,
  spec: MessageInitShape<typeof TopicSpecSchema> = {},
): Promise<void> {
  await withConnection(server, (connection) =>
    connection.unary(TopicService.method.applyTopic, { name, spec }),
  );
}

export async function deleteTopic(server: string, name: string): Promise<void> {
  await withConnection(server, (connection) =>
    connection.unary(TopicService.method.deleteTopic, { name }),
  );
}

/** Every record of the topic in the order in which it was sent. */
export async function readTopic(server: string, topic: string): Promise<StoredRecord[]> {
  const request = create(ReadRequestSchema, {
    topic,
    fromAll: { at: { case: 'edge', value: Edge.EARLIEST } },
    stopAtEnd: true,
  });
  const records: StoredRecord[] = [];
  await withConnection(
    server,
    (connection) =>
      new Promise<void>((resolve, reject) => {
        connection.openServerStream(
          ReadService.method.read,
          Buffer.from(toBinary(ReadRequestSchema, request)),
          {
            onFrame: (frame) => records.push(...recordsOf(frame)),
            onEnd: (error) => (error === undefined ? resolve() : reject(error)),
          },
        );
      }),
  );
  return records;
}

function recordsOf(frame: Buffer): StoredRecord[] {
  return fromBinary(ReadResponseSchema, frame).deliveries.flatMap((delivery) => {
    if (delivery.batch === undefined) return [];
    const opened = openBatch(Buffer.from(toBinary(RecordBatchSchema, delivery.batch)));
    return fromBinary(RecordBatchSchema, opened).records.map(({ key, value }, index) => ({
      partition: delivery.partition,
      offset: Number(delivery.baseOffset) + index,
      key: Buffer.from(key).toString(),
      value: Buffer.from(value).toString(),
    }));
  });
}

async function withConnection<T>(
  server: string,
  use: (connection: Connection) => Promise<T>,
): Promise<T> {
  const connection = new Connection(server, 'test');
  try {
    return await use(connection);
  } finally {
    connection.close();
  }
}
