// A reader on one HTTP/2 session that never connects again, and takes no more than it is told to.
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import { ReadRequestSchema } from '../../proto/gen/millrace/v1/read_pb.ts';
import { Edge } from '../../proto/gen/millrace/v1/stream_pb.ts';
import { encode } from './raw-grpc.ts';

/** A reader from the first record on; what it receives is left to who calls. */
export function openRead(session: ClientHttp2Session, topic: string): ClientHttp2Stream {
  const stream = session.request({
    ':method': 'POST',
    ':path': '/millrace.v1.ReadService/Read',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.on('error', () => {});
  const request = encode(ReadRequestSchema, {
    topic,
    fromAll: { at: { case: 'edge', value: Edge.EARLIEST } },
  });
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(request.length, 1);
  stream.end(Buffer.concat([prefix, request]));
  return stream;
}
