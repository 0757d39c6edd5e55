// Wraps a unary handler for grpc-js: decodes the request, answers errors with google.rpc details.
import type {
  DescMessage,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import type { handleUnaryCall } from '@grpc/grpc-js';
import type { Caller } from './caller.ts';
import { callerOf } from './gate.ts';
import { decodeMessage } from './grpc-method.ts';
import { serviceError } from './status.ts';

export function unary<Input extends DescMessage, Output extends DescMessage>(
  method: DescMethodUnary<Input, Output>,
  handle: (
    request: MessageShape<Input>,
    caller: Caller,
  ) => Promise<MessageInitShape<Output>> | MessageInitShape<Output>,
): handleUnaryCall<Buffer, unknown> {
  return (call, callback) => {
    const caller = callerOf(call);
    void (async () => handle(decodeMessage(method.input, call.request), caller))().then(
      (response) => callback(null, response),
      (error: unknown) => callback(serviceError(error)),
    );
  };
}
