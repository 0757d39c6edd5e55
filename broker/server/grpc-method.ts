// From a protobuf-es service descriptor to a grpc-js service definition.
//
// Requests reach their handler as raw frames: a frame that cannot be read is then answered like any other error, and
// hot methods read it by hand. Responses of hot methods are raw frames too.
import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethod,
  type DescService,
  type MessageShape,
} from '@bufbuild/protobuf';
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import { malformed } from './wire/publish-codec.ts';

/** Methods whose responses are written by hand, as `Service/Method`. */
const rawResponses = new Set([
  'PublishService/PublishStream',
  'ConsumeService/ConsumeStream',
  'ConsumeService/Pull',
  'ReadService/Read',
]);

export function serviceDefinition(service: DescService): ServiceDefinition {
  const definition: Record<string, MethodDefinition<Buffer, unknown>> = {};
  for (const method of service.methods) definition[method.localName] = methodDefinition(method);
  return definition;
}

function methodDefinition(method: DescMethod): MethodDefinition<Buffer, unknown> {
  const { methodKind, output, parent } = method;
  const raw = rawResponses.has(`${parent.name}/${method.name}`);
  return {
    path: `/${parent.typeName}/${method.name}`,
    requestStream: methodKind === 'client_streaming' || methodKind === 'bidi_streaming',
    responseStream: methodKind === 'server_streaming' || methodKind === 'bidi_streaming',
    requestSerialize: (bytes) => bytes,
    requestDeserialize: (bytes) => bytes,
    responseSerialize: raw ? (message) => message as Buffer : (message) => encode(output, message),
    responseDeserialize: (bytes) => decodeMessage(output, bytes),
  };
}

/** A message from its bytes; throws FRAME_MALFORMED. */
export function decodeMessage<Desc extends DescMessage>(
  schema: Desc,
  bytes: Uint8Array,
): MessageShape<Desc> {
  try {
    return fromBinary(schema, bytes);
  } catch (cause) {
    throw malformed(schema.name, cause);
  }
}

function encode(schema: DescMessage, message: unknown): Buffer {
  const bytes = toBinary(schema, create(schema, message as Record<string, unknown>));
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
