// ConsumeService and ReadService: each stream is a session.
import type {
  sendUnaryData,
  ServerDuplexStream,
  ServerUnaryCall,
  ServerWritableStream,
  UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { Broker } from '../cluster/broker.ts';
import { resolvePosition } from '../cluster/positions.ts';
import { BrokerError } from '../core/errors.ts';
import { ReadRequestSchema, type ReadRequest } from '../../proto/gen/millrace/v1/read_pb.ts';
import { ConsumeSession } from './consume-session.ts';
import { callerOf } from './gate.ts';
import { decodeMessage } from './grpc-method.ts';
import { acknowledge, pull } from './pull.ts';
import { ReadSession, type ReadPlan } from './read-session.ts';
import { serviceError } from './status.ts';
import type { StreamSurroundings } from './sessions.ts';
import { numberFromProto, positionFromProto } from './subscription-convert.ts';

export function consumeService(
  broker: Broker,
  { sessions, gate }: StreamSurroundings,
): UntypedServiceImplementation {
  return {
    consumeStream(call: ServerDuplexStream<Buffer, Buffer>) {
      const session = new ConsumeSession(call, broker, callerOf(call));
      sessions.add(call, session);
      gate.watch(call, session);
    },
    pull(call: ServerUnaryCall<Buffer, unknown>, callback: sendUnaryData<unknown>) {
      pull(broker, call, callback);
    },
    acknowledge(call: ServerUnaryCall<Buffer, unknown>, callback: sendUnaryData<unknown>) {
      void acknowledge(broker, call.request).then(
        (response) => callback(null, response),
        (error: unknown) => callback(serviceError(error)),
      );
    },
  };
}

export function readService(
  broker: Broker,
  { sessions, gate }: StreamSurroundings,
): UntypedServiceImplementation {
  return {
    read(call: ServerWritableStream<Buffer, Buffer>) {
      void startReading(call).catch((error: unknown) => call.emit('error', serviceError(error)));
    },
  };

  async function startReading(call: ServerWritableStream<Buffer, Buffer>): Promise<void> {
    const request = decodeMessage(ReadRequestSchema, call.request);
    const plan = await planRead(broker, request);
    if (call.cancelled) return;
    const session = new ReadSession(call, plan, broker.clock);
    sessions.add(call, session);
    gate.watch(call, session);
    callerOf(call).open(request.topic, (denied) => session.close(denied));
    await session.run();
  }
}

async function planRead(broker: Broker, request: ReadRequest): Promise<ReadPlan> {
  const topic = broker.topic(request.topic);
  const named = new Map(
    request.from.map(({ partition, position }) => [partition, positionFromProto(position)]),
  );
  if (named.size < request.from.length) {
    throw new BrokerError('ARGUMENT_INVALID', 'a partition is named twice in `from`');
  }
  const rest = positionFromProto(request.fromAll);
  const places = [];
  for (const [partition, position] of named) {
    if (position === undefined) {
      throw new BrokerError(
        'ARGUMENT_INVALID',
        `partition ${partition} has no position in \`from\``,
      );
    }
    const log = topic.log(partition);
    places.push({ partition, log, start: await resolvePosition(log, position) });
  }
  const others = rest ?? (named.size === 0 ? ({ kind: 'latest' } as const) : undefined);
  if (others !== undefined) {
    for (const [partition, log] of topic.logs.entries()) {
      if (named.has(partition)) continue;
      places.push({ partition, log, start: await resolvePosition(log, others) });
    }
  }
  const recordsMax = numberFromProto(request.recordsMax, 'records_max');
  return {
    topic,
    places,
    stopAtEnd: request.stopAtEnd,
    recordsMax: recordsMax === 0 ? Infinity : recordsMax,
  };
}
