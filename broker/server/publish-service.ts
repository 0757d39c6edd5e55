// PublishService: the stream is a PublishSession; the unary call is one batch, split by key when no partition is named.
import type {
  ServerDuplexStream,
  ServerUnaryCall,
  sendUnaryData,
  UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { PublishMode } from '../access/topic-quota.ts';
import { splitByPartition } from '../batch/records.ts';
import { scanBatch } from '../batch/scan.ts';
import type { Broker } from '../cluster/broker.ts';
import { BrokerError } from '../core/errors.ts';
import { deliveryTerms } from './delivery-terms.ts';
import { errorItem, serviceError } from './status.ts';
import { callerOf } from './gate.ts';
import type { StreamSurroundings } from './sessions.ts';
import { PublishSession } from './publish-session.ts';
import { decodePublishRequest } from './wire/publish-request-codec.ts';

export function publishService(
  broker: Broker,
  { sessions, gate }: StreamSurroundings,
): UntypedServiceImplementation {
  return {
    publish(call: ServerUnaryCall<Buffer, unknown>, callback: sendUnaryData<unknown>) {
      void publish(broker, call.request).then(
        (response) => callback(null, response),
        (error: unknown) => callback(serviceError(error)),
      );
    },
    publishStream(call: ServerDuplexStream<Buffer, Buffer>) {
      const session = new PublishSession(call, broker, callerOf(call));
      sessions.add(call, session);
      gate.watch(call, session);
    },
  };
}

async function publish(broker: Broker, request: Buffer) {
  const fields = decodePublishRequest(request);
  const { topic: name, partition, batchStart, batchEnd, batchCount } = fields;
  const topic = broker.topic(name);
  if (batchCount !== 1) {
    throw new BrokerError(
      'BATCH_NOT_CANONICAL',
      `a request holds its batch once, not ${batchCount} times`,
    );
  }
  const scan = scanBatch(request, batchStart, batchEnd, topic.batchBytesMax);
  if (!scan.ok) throw new BrokerError(scan.reason, scan.message);
  const body = request.subarray(batchStart, batchEnd);
  const partitionCount = topic.logs.length;
  const { recordCount, compressed, keyed } = scan;
  const shared = {
    publisher: undefined,
    sequence: 0,
    expectedOffset: undefined,
    compressed,
    keyed,
    terms: deliveryTerms(fields, broker.nowMs()),
  };
  if (partition !== undefined || partitionCount === 1) {
    const index = partition ?? 0;
    const result = await append(broker, topic.log(index), index, { ...shared, body, recordCount });
    return { results: [result] };
  }
  if (compressed) {
    throw new BrokerError(
      'PARTITION_REQUIRED',
      `a compressed batch is stored whole and ${name} has ${partitionCount} partitions; name one of them`,
    );
  }
  // Once for all of them: a part of a batch would be refused for what the other parts took.
  topic.quota.admitPublish('unary', broker.clock.monotonicMs());
  const slices = [...splitByPartition(body, partitionCount)];
  const results = await Promise.all(
    slices.map(([index, slice]) =>
      append(
        broker,
        topic.log(index),
        index,
        {
          ...shared,
          body: slice.bytes,
          recordCount: slice.recordCount,
        },
        'held',
      ).catch((error: unknown) => ({ partition: index, error: errorItem(error) })),
    ),
  );
  return { results };
}

function append(
  broker: Broker,
  log: Parameters<Broker['append']>[0],
  partition: number,
  request: Parameters<Broker['append']>[1],
  mode: PublishMode = 'unary',
) {
  return new Promise<{ partition: number; baseOffset: bigint; recordCount: number }>(
    (resolve, reject) => {
      try {
        broker.append(
          log,
          request,
          (baseOffset, recordCount) => {
            resolve({ partition, baseOffset: BigInt(baseOffset), recordCount });
          },
          mode,
        );
      } catch (error) {
        reject(error);
      }
    },
  );
}
