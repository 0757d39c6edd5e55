// Working through: publish, deliver to several consumers, ack each record.
import type { Consumer } from '../../client/src/index.ts';
import { rates, type Figure, type Workload, type WorkloadContext } from '../workload.ts';
import { publishFor } from './publish.ts';

const valueBytes = 1024;

interface QueueShape {
  readonly consumers: number;
  /** Connections that the consumers share. */
  readonly connections: number;
  readonly kind: 'queue' | 'keyed_queue';
  /** Records have keys, one after another of so many. 0: none. */
  readonly keys: number;
  /** Of so many first deliveries one is given back; its retry is acked. Infinity: none. */
  readonly nackEvery: number;
}

const plain: QueueShape = {
  consumers: 4,
  connections: 4,
  kind: 'queue',
  keys: 0,
  nackEvery: Infinity,
};

async function workThrough(context: WorkloadContext, shape: QueueShape): Promise<Figure[]> {
  const topic = await context.createTopic();
  const admin = context.connect();
  await admin.subscriptions.apply(topic, 'work', { kind: shape.kind, backoffMinMs: 1 });
  let acked = 0;
  /** Known once publishing is done. */
  const goal = { records: Infinity };
  const clients = Array.from({ length: shape.connections }, () => context.connect());
  const consumers: Consumer[] = [];
  const done = new Promise<void>((resolve) => {
    for (let i = 0; i < shape.consumers; i++) {
      const client = clients[i % clients.length] ?? admin;
      const consumer = client.consumer(topic, 'work');
      consumers.push(consumer);
      void work(consumer, shape.nackEvery, () => {
        acked++;
        if (acked === goal.records) resolve();
      });
    }
  });
  const publisher = context.connect().publisher(topic, { windowBytes: 4 * 1024 * 1024 });
  const startMs = performance.now();
  const count = await publishFor(publisher, valueBytes, context.seconds, shape.keys);
  goal.records = count;
  if (acked < count) await done;
  const elapsedMs = performance.now() - startMs;
  await Promise.all(consumers.map((consumer) => consumer.close()));
  const { partitions } = await admin.subscriptions.get(topic, 'work');
  const backlog = partitions.reduce((sum, partition) => sum + partition.backlog, 0);
  return [
    ...rates(count, valueBytes, elapsedMs),
    { name: 'left over', value: backlog, unit: 'records' },
  ];
}

async function work(consumer: Consumer, nackEvery: number, onAcked: () => void): Promise<void> {
  let first = 0;
  for await (const message of consumer) {
    if (message.attempt === 1 && ++first % nackEvery === 0) {
      message.nack();
      continue;
    }
    message.ack();
    onAcked();
  }
}

const backlogValueBytes = 100;
const shallowRecords = 10_000;
const deepRecords = 10_000_000;
/** Worked through of each, so that both are measured over the same number of records. */
const measuredRecords = 1_000_000;

/** Deliver and ack from a backlog: a shallow one, filled again and again, beside a deep one. */
async function compareBacklogs(context: WorkloadContext): Promise<Figure[]> {
  const shallow = await backlogOf(context);
  let shallowMs = 0;
  for (let done = 0; done < measuredRecords; done += shallowRecords) {
    await shallow.publish(shallowRecords);
    shallowMs += await shallow.workOff(shallowRecords);
  }
  const deep = await backlogOf(context);
  await deep.publish(deepRecords);
  const deepMs = await deep.workOff(measuredRecords);
  const rate = (ms: number): number => Math.round((measuredRecords / ms) * 1000);
  return [
    { name: '10 thousand waiting', value: rate(shallowMs), unit: 'records/s' },
    { name: '10 million waiting', value: rate(deepMs), unit: 'records/s' },
    { name: 'share', value: Math.round((shallowMs / deepMs) * 100), unit: '%' },
  ];
}

async function backlogOf(context: WorkloadContext) {
  const topic = await context.createTopic();
  await context.connect().subscriptions.apply(topic, 'work', { kind: 'queue' });
  const publisher = context.connect().publisher(topic);
  const clients = Array.from({ length: 4 }, () => context.connect());
  const value = Buffer.alloc(backlogValueBytes, 'x');
  return {
    async publish(count: number): Promise<void> {
      for (let i = 0; i < count; i++) {
        publisher.send({ value });
        const full = publisher.ready();
        if (full !== undefined) await full;
      }
      await publisher.flush();
    },
    /** Milliseconds until so many are acked. */
    async workOff(count: number): Promise<number> {
      const startMs = performance.now();
      let left = count;
      const consumers = clients.map((client) => client.consumer(topic, 'work'));
      await Promise.all(
        consumers.map(async (consumer) => {
          for await (const message of consumer) {
            message.ack();
            if (--left <= 0) break;
          }
          consumers.forEach((other) => void other.close());
        }),
      );
      const elapsedMs = performance.now() - startMs;
      await Promise.all(consumers.map((consumer) => consumer.close()));
      return elapsedMs;
    },
  };
}

export const queueWorkloads: readonly Workload[] = [
  {
    name: 'queue-1k',
    description:
      '1 KiB records, 1 publisher, 4 consumers on connections of their own, each record acked',
    run: (context) => workThrough(context, plain),
  },
  {
    name: 'queue-100',
    description: 'the same with 100 consumers on 10 connections',
    run: (context) => workThrough(context, { ...plain, consumers: 100, connections: 10 }),
  },
  {
    name: 'queue-nacks',
    description: 'as queue-1k, and every tenth record is given back once',
    run: (context) => workThrough(context, { ...plain, nackEvery: 10 }),
  },
  {
    name: 'keyed-queue',
    description: 'as queue-1k with a keyed queue and 10,000 keys: of each key one record at a time',
    run: (context) => workThrough(context, { ...plain, kind: 'keyed_queue', keys: 10_000 }),
  },
  {
    name: 'queue-backlog',
    description:
      '100-byte records, 4 consumers, deliver and ack: 10 thousand waiting beside 10 million waiting',
    run: compareBacklogs,
  },
];
