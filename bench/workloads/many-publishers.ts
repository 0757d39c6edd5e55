// Many publishers of single records and several keyed consumers at once, as Pulsar 5.0 was measured; every record is
// counted.
import type { Client, Consumer, Publisher } from '../../client/src/index.ts';
import type { Figure, Workload, WorkloadContext } from '../workload.ts';
import { KeyedCheck } from './keyed-check.ts';
import { latencyFigures } from './fixed-rate.ts';

const publisherCount = 500;
const publishersPerConnection = 25;
const consumerCount = 20;
const keysPerPublisher = 20;
const valueBytes = 128;

async function publishAndWork(context: WorkloadContext): Promise<Figure[]> {
  const topic = await context.createTopic();
  await context.connect().subscriptions.apply(topic, 'work', { kind: 'keyed_queue' });
  const check = new KeyedCheck(publisherCount * keysPerPublisher);
  const latencies: number[] = [];
  const consumers = Array.from({ length: consumerCount }, () =>
    context.connect().consumer(topic, 'work'),
  );
  const working = consumers.map((consumer) => work(consumer, check, latencies));
  const publishers = await openPublishers(context, topic);
  const startMs = performance.now();
  const endMs = startMs + context.seconds * 1000;
  await Promise.all(
    publishers.map((publisher, i) => publish(publisher, i * keysPerPublisher, check, endMs)),
  );
  const publishedMs = performance.now() - startMs;
  await check.whenComplete(30_000);
  const deliveredMs = performance.now() - startMs;
  await Promise.all(consumers.map((consumer) => consumer.close()));
  await Promise.all(working);
  const perSecond = (count: number, ms: number): number => Math.round((count / ms) * 1000);
  return [
    { name: 'published', value: perSecond(check.published, publishedMs), unit: 'records/s' },
    { name: 'delivered', value: perSecond(check.delivered, deliveredMs), unit: 'records/s' },
    ...latencyFigures(latencies),
    { name: 'lost', value: check.lost, unit: 'records' },
    { name: 'duplicates', value: check.duplicates, unit: 'records' },
    { name: 'out of order', value: check.outOfOrder, unit: 'records' },
  ];
}

/** Opened before anything is measured. */
async function openPublishers(context: WorkloadContext, topic: string): Promise<Publisher[]> {
  const connections = publisherCount / publishersPerConnection;
  const clients: Client[] = Array.from({ length: connections }, () => context.connect());
  const publishers = clients.flatMap((client) =>
    Array.from({ length: publishersPerConnection }, () =>
      client.publisher(topic, { batchBytes: 1 }),
    ),
  );
  const warm = Buffer.alloc(valueBytes);
  await Promise.all(publishers.map((publisher) => publisher.publish({ value: warm })));
  return publishers;
}

/** One record after another, each confirmed before the next, its keys in turn. */
async function publish(
  publisher: Publisher,
  firstKey: number,
  check: KeyedCheck,
  endMs: number,
): Promise<void> {
  for (let i = 0; performance.now() < endMs; i++) {
    const key = firstKey + (i % keysPerPublisher);
    const value = Buffer.alloc(valueBytes);
    value.writeUInt32LE(key, 8);
    value.writeUInt32LE(check.nextOf(key), 12);
    value.writeDoubleLE(performance.now());
    await publisher.publish({ key: `key ${key}`, value });
  }
}

async function work(consumer: Consumer, check: KeyedCheck, latencies: number[]): Promise<void> {
  for await (const message of consumer) {
    const { key, value } = message;
    if (key.length > 0) {
      latencies.push(performance.now() - value.readDoubleLE());
      check.deliveredOne(value.readUInt32LE(8), value.readUInt32LE(12));
    }
    message.ack();
  }
}

export const manyPublishersWorkload: Workload = {
  name: 'keyed-500',
  description:
    '500 publishers on 20 connections, one unbatched 128-byte record at a time each, 10,000 keys; 20 keyed consumers on ' +
    'connections of their own at once; p50 and p99 from publish() to the consumer',
  run: publishAndWork,
};
