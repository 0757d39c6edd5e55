// Facts about a method that grpc-js needs, from its protobuf-es descriptor.
import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethod,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import { clientError } from './errors.ts';

/** As it stands in the HTTP/2 request. */
export function methodPath(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

/** Whether a call that may have happened can be made again: it changes nothing. */
export function isRead(method: DescMethod): boolean {
  return /^(?:Browse|Count|Get|List|Locate|Peek)/.test(method.name);
}

export function encodeMessage<Desc extends DescMessage>(
  schema: Desc,
  message: MessageInitShape<Desc>,
): Buffer {
  const bytes = toBinary(schema, create(schema, message));
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Throws RESPONSE_MALFORMED. */
export function decodeMessage<Desc extends DescMessage>(
  schema: Desc,
  bytes: Uint8Array,
): MessageShape<Desc> {
  try {
    return fromBinary(schema, bytes);
  } catch (cause) {
    throw clientError(
      'RESPONSE_MALFORMED',
      `the broker's answer is not a ${schema.name}; is ${schema.typeName} of the same version on both sides?`,
      { effect: 'unknown', cause },
    );
  }
}
