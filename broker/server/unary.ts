// Wraps a unary handler for grpc-js: decodes the request, answers errors with google.rpc details.
import type {
  DescMessage,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import type { handleUnaryCall } from '@grpc/grpc-js';
import { decodeMessage } from './grpc-method.ts';
import { serviceError } from './status.ts';

export function unary<Input extends DescMessage, Output extends DescMessage>(
  method: DescMethodUnary<Input, Output>,
  handle: (
    request: MessageShape<Input>,
  ) => Promise<MessageInitShape<Output>> | MessageInitShape<Output>,
): handleUnaryCall<Buffer, unknown> {
  return (call, callback) => {
    void (async () => handle(decodeMessage(method.input, call.request)))().then(
      (response) => callback(null, response),
      (error: unknown) => callback(serviceError(error)),
    );
  };
}
