// Makes any RPC from its descriptor: a request that names one scope, and how the call was answered.
import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethod,
} from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { methodAccess, type MethodAccess } from '../../broker/server/method-access.ts';
import { AccessService } from '../../proto/gen/millrace/v1/access_pb.ts';
import { PublishStreamResponseSchema } from '../../proto/gen/millrace/v1/publish_pb.ts';
import type { RawGrpc } from '../support/raw-grpc.ts';

export interface Place {
  /** Full name. */
  readonly topic: string;
  readonly tenant: string;
}

/** The reason of the failure, '' when there was none; whatever else is said, for comparison. */
export interface Answer {
  readonly reason: string;
  readonly code: status;
  readonly message: string;
}

export async function callMethod(grpc: RawGrpc, method: DescMethod, place: Place): Promise<Answer> {
  const path = `${method.parent.name}/${method.name}`;
  const request = requestFor(method, place);
  switch (method.methodKind) {
    case 'unary': {
      const outcome = await grpc.unary(path, request);
      return outcome.kind === 'answer' ? fine : outcome.end;
    }
    case 'server_streaming':
      return firstOf(grpc.serverStream(path, request));
    case 'bidi_streaming':
    case 'client_streaming':
      return firstOf(grpc.duplex(path).write(request), method);
  }
}

/** Names the scope where the proto says that it stands; all else is left out. */
export function requestFor(method: DescMethod, place: Place): Buffer {
  const access = methodAccess(method);
  const text = textFor(method, access, place);
  const bytes = text === undefined ? Buffer.alloc(0) : nested(method, access, text);
  return bytes;
}

function textFor(method: DescMethod, { scope }: MethodAccess, place: Place): string | undefined {
  if (scope.kind === 'topic') return place.topic;
  if (scope.kind !== 'at') return undefined;
  // Tokens belong to tenants, all else may be named down to the topic.
  const isToken = method.parent === AccessService && method.name.includes('Token');
  return isToken ? place.tenant : place.topic;
}

function nested(method: DescMethod, { scope }: MethodAccess, text: string): Buffer {
  const path = 'path' in scope ? scope.path : [];
  const build = (desc: DescMessage, depth: number): Record<string, unknown> => {
    const field = desc.fields.find(({ number }) => number === path[depth]);
    if (field === undefined) throw new Error(`no field ${path.join('.')} in ${desc.name}`);
    const { message } = field;
    const value = message === undefined ? text : build(message, depth + 1);
    return { [field.localName]: field.fieldKind === 'list' ? [value] : value };
  };
  const message = create(method.input, build(method.input, 0));
  return Buffer.from(toBinary(method.input, message));
}

const fine: Answer = { reason: '', code: status.OK, message: '' };

async function firstOf(
  stream: ReturnType<RawGrpc['serverStream']>,
  method?: DescMethod,
): Promise<Answer> {
  try {
    const frame = await stream.next();
    if (method?.name !== 'PublishStream') return fine;
    const [opened] = fromBinary(PublishStreamResponseSchema, frame).opened;
    const { error } = opened ?? {};
    return error === undefined
      ? fine
      : { reason: error.reason, code: error.code, message: error.message };
  } catch {
    return await stream.end();
  } finally {
    stream.cancel();
  }
}
