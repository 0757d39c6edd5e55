// Pull and Acknowledge: a queue without a stream. A pull is a consumer that takes once, and leaves while what it took
// stays held under its leases.
import type { sendUnaryData, ServerUnaryCall } from '@grpc/grpc-js';
import type { TopicQuota } from '../access/topic-quota.ts';
import type { Broker } from '../cluster/broker.ts';
import type { OpenSubscription } from '../cluster/open-subscription.ts';
import { BrokerError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import type { Consumer, HandOver } from '../subscription/consumer.ts';
import {
  AcknowledgeRequestSchema,
  PullRequestSchema,
  type PullRequest,
} from '../../proto/gen/millrace/v1/consume_pb.ts';
import { WireWriter } from '../../proto/wire/writer.ts';
import { decodeMessage } from './grpc-method.ts';
import { settleRanges } from './settle.ts';
import { serviceError } from './status.ts';
import { numberFromProto } from './subscription-convert.ts';
import { writeDelivery } from './wire/delivery-codec.ts';

const ackDeadlineField = 1;

export function pull(
  broker: Broker,
  call: ServerUnaryCall<Buffer, unknown>,
  callback: sendUnaryData<unknown>,
): void {
  try {
    const request = checked(decodeMessage(PullRequestSchema, call.request));
    const subscription = queueOf(broker, request.topic, request.subscription);
    const { quota } = broker.topic(request.topic);
    quota.admitDelivery(broker.clock.monotonicMs());
    const consumer = new PullConsumer(broker, request, quota);
    const finish = (): void => {
      if (!consumer.finish()) return;
      call.removeListener('cancelled', cancel);
      subscription.leave(consumer);
      callback(null, consumer.response(subscription.ackDeadlineMs));
    };
    // Nobody gets the answer: what was taken is given back, uncounted.
    const cancel = (): void => {
      if (!consumer.finish()) return;
      consumer.giveBack(subscription);
      subscription.leave(consumer);
    };
    call.on('cancelled', cancel);
    // What is ready in this turn goes together.
    consumer.onFirst = () => setImmediate(finish);
    subscription.attach(consumer);
    broker.clock.after(request.waitMs, finish);
  } catch (error) {
    callback(serviceError(error));
  }
}

/** Durable when it resolves. */
export async function acknowledge(broker: Broker, bytes: Buffer) {
  const { topic, subscription: name, acks } = decodeMessage(AcknowledgeRequestSchema, bytes);
  if (acks.length > limits.acksPerCallMax) {
    throw new BrokerError(
      'ARGUMENT_INVALID',
      `${acks.length} ranges; send at most ${limits.acksPerCallMax} at once`,
    );
  }
  const subscription = queueOf(broker, topic, name);
  const ranges = acks.map((ack) => ({
    ...ack,
    firstOffset: numberFromProto(ack.firstOffset, 'first_offset'),
    lastOffset: numberFromProto(ack.lastOffset, 'last_offset'),
    lease: numberFromProto(ack.lease, 'lease'),
  }));
  const failures = settleRanges(subscription, new Nobody(), ranges);
  await subscription.durable();
  return { failures };
}

function queueOf(broker: Broker, topic: string, name: string): OpenSubscription {
  const subscription = broker.openSubscription(topic, name, undefined);
  if (subscription.kind !== 'stream') return subscription;
  throw new BrokerError(
    'SUBSCRIPTION_KIND_MISMATCH',
    `subscription ${name} is a stream, which has one active consumer; consume it by ConsumeStream, or pull a queue`,
    { metadata: { kind: 'stream' } },
  );
}

/** With defaults. Throws ARGUMENT_INVALID. */
function checked(request: PullRequest): PullRequest {
  const { recordsMax, bytesMax, waitMs } = request;
  check('records_max', recordsMax, limits.pullRecordsMax);
  check('bytes_max', bytesMax, limits.pullBytesMax);
  check('wait_ms', waitMs, limits.pullWaitMsMax);
  return {
    ...request,
    recordsMax: recordsMax === 0 ? limits.pullRecordsDefault : recordsMax,
    bytesMax: bytesMax === 0 ? limits.pullBytesMax : bytesMax,
  };
}

function check(field: string, value: number, max: number): void {
  if (value <= max) return;
  throw new BrokerError('ARGUMENT_INVALID', `${field} is ${value}; at most ${max}`, {
    metadata: { field },
  });
}

/** Speaks for no connection: what it says counts by the lease alone. */
class Nobody implements Consumer {
  readonly number: number = 0;
  readonly name: string = '';

  creditRecords(): number {
    return 0;
  }

  deliver(_records: HandOver): void {
    // It has no credit.
  }

  gap(): void {
    // For streams.
  }

  leaseLost(): void {
    // Its next word about the lease will say so.
  }

  assigned(): void {
    // For streams.
  }

  blocked(): void {
    // `subscription describe` says why.
  }

  ended(_error: Error): void {
    // The next call will say so.
  }
}

class PullConsumer extends Nobody {
  override readonly number: number;
  override readonly name: string;
  onFirst: () => void = () => {};
  private records: number;
  private bytes: number;
  private isFinished = false;
  private readonly taken: HandOver[] = [];
  private readonly charge: (bytes: number) => void;

  constructor(broker: Broker, { consumer, recordsMax, bytesMax }: PullRequest, quota: TopicQuota) {
    super();
    this.charge = (bytes) => quota.delivered(bytes, broker.clock.monotonicMs());
    this.number = broker.nextConsumerNumber();
    this.name = broker.consumerName(consumer);
    this.records = recordsMax;
    this.bytes = bytesMax;
  }

  override creditRecords(): number {
    return this.isFinished || this.bytes <= 0 ? 0 : this.records;
  }

  override deliver(records: HandOver): void {
    this.records -= records.recordCount;
    this.bytes -= records.batch.length;
    this.charge(records.batch.length);
    this.taken.push(records);
    if (this.taken.length === 1) this.onFirst();
  }

  override ended(): void {
    this.onFirst();
  }

  /** False: it had finished before. */
  finish(): boolean {
    if (this.isFinished) return false;
    this.isFinished = true;
    return true;
  }

  response(ackDeadlineMs: number): Buffer {
    const bytes = this.taken.reduce((sum, { batch }) => sum + batch.length + 64, 16);
    const writer = new WireWriter(bytes);
    writer.uint(ackDeadlineField, ackDeadlineMs);
    for (const records of this.taken) writeDelivery(writer, records);
    return writer.finish();
  }

  giveBack(subscription: OpenSubscription): void {
    for (const { partition, baseOffset, selected, recordCount, lease } of this.taken) {
      const firstOffset = baseOffset + (selected[0] ?? 0);
      const lastOffset = baseOffset + (selected.at(-1) ?? recordCount - 1);
      const verb = 'return' as const;
      subscription.settle(this, partition, [
        { firstOffset, lastOffset, verb, lease, delayMs: 0, reason: '' },
      ]);
    }
  }
}
