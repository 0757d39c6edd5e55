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

const wide: QueueShape = { ...plain, consumers: 100, connections: 10 };
const failing: QueueShape = { ...plain, nackEvery: 10 };
const keyed: QueueShape = { ...plain, kind: 'keyed_queue', keys: 10_000 };

const shapes: readonly { readonly name: string; readonly shape: QueueShape }[] = [
  { name: '4 consumers', shape: plain },
  { name: '100 consumers', shape: wide },
  { name: '10 % nacks', shape: failing },
  { name: '10,000 keys', shape: keyed },
];

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

/** Each shape beside queue-1k in turns, so that both had the same machine; the best round of each. */
async function compareShapes(context: WorkloadContext): Promise<Figure[]> {
  const best = shapes.map(() => 0);
  const seconds = context.seconds / 2;
  for (let round = 0; round < 3; round++) {
    for (const [i, { shape }] of shapes.entries()) {
      const [rate] = await workThrough({ ...context, seconds }, shape);
      best[i] = Math.max(best[i] ?? 0, rate?.value ?? 0);
    }
  }
  const [ofPlain = 0] = best;
  return shapes.flatMap(({ name }, i): Figure[] => {
    const rate = best[i] ?? 0;
    const share: Figure = { name: 'share', value: Math.round((rate / ofPlain) * 100), unit: '%' };
    return [{ name, value: rate, unit: 'records/s' }, ...(i === 0 ? [] : [share])];
  });
}

export const queueWorkloads: readonly Workload[] = [
  {
    name: 'queue-1k',
    description:
      '1 KiB records in 64 KiB batches, 1 publisher, 4 consumers on connections of their own, each record acked',
    run: (context) => workThrough(context, plain),
  },
  {
    name: 'queue-100',
    description: 'the same with 100 consumers on 10 connections',
    run: (context) => workThrough(context, wide),
  },
  {
    name: 'queue-nacks',
    description: 'as queue-1k, and every tenth record is given back once',
    run: (context) => workThrough(context, failing),
  },
  {
    name: 'keyed-queue',
    description: 'as queue-1k with a keyed queue and 10,000 keys: of each key one record at a time',
    run: (context) => workThrough(context, keyed),
  },
  {
    name: 'queue-shapes',
    description:
      'the four above in turns, three rounds of half the time, the best of each; shares of queue-1k',
    run: compareShapes,
  },
];
