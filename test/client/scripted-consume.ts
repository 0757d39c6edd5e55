// What a fake broker says to a consumer, and what it was told.
import type { Message } from '../../client/src/index.ts';
import type { SubscriptionKind } from '../../proto/gen/millrace/v1/subscription_pb.ts';
import type { FakeConsume } from './fake-broker.ts';

export function opened(stream: FakeConsume, kind: SubscriptionKind, ackDeadlineMs = 30_000): void {
  stream.send({ opened: { consumer: 'me', kind, ackDeadlineMs, partitionCount: 2 } });
}

export function deliver(
  stream: FakeConsume,
  {
    values,
    key = '',
    ...fields
  }: { partition?: number; baseOffset: bigint; lease?: bigint; key?: string; values: string[] },
): void {
  const records = values.map((value) => ({
    key: Buffer.from(key),
    value: Buffer.from(value),
  }));
  const attempt = fields.lease === undefined ? 0 : 1;
  stream.send({ deliveries: [{ ...fields, attempt, batch: { records } }] });
}

export function ranges(stream: FakeConsume | undefined) {
  return (stream?.said ?? []).flatMap(({ acks }) => acks);
}

export async function take<T>(consumer: AsyncIterable<Message<T>>): Promise<Message<T>> {
  const next = await consumer[Symbol.asyncIterator]().next();
  if (next.done === true) throw new Error('the consumer has ended');
  return next.value;
}
