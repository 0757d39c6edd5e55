// Publishing: batched throughput, single records that wait for their confirmation, and latency at a fixed rate.
import type { Client, Publisher } from '../../client/src/index.ts';
import { rates, type Figure, type Workload, type WorkloadContext } from '../workload.ts';
import { latencyFigures, publishAtRate } from './fixed-rate.ts';

/**
 * Publishes values of the given size for the given time, as fast as the window allows; answers how many. `keys`: so
 * many keys in turn; 0: none.
 */
export async function publishFor(
  publisher: Publisher,
  valueBytes: number,
  seconds: number,
  keys = 0,
): Promise<number> {
  const value = Buffer.alloc(valueBytes, 'x');
  const names = Array.from({ length: keys }, (_, i) => Buffer.from(`key ${i}`));
  const recordOf = (i: number) => {
    const key = names[i % keys];
    return key === undefined ? { value } : { key, value };
  };
  const endMs = performance.now() + seconds * 1000;
  let records = 0;
  while (performance.now() < endMs) {
    for (let i = 0; i < 64; i++) publisher.send(recordOf(records + i));
    records += 64;
    const full = publisher.ready();
    if (full !== undefined) await full;
    // The window is rarely full at first; answers need a turn of the event loop, too.
    else if (records % 1024 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await publisher.flush();
  return records;
}

function batched(name: string, valueBytes: number): Workload {
  return {
    name,
    description: `${valueBytes}-byte records in 64 KiB batches, 1 connection, 1 partition, confirmed after fsync`,
    async run(context) {
      const topic = await context.createTopic();
      const publisher = context.connect().publisher(topic, { windowBytes: 4 * 1024 * 1024 });
      await publishFor(publisher, valueBytes, 1);
      const startMs = performance.now();
      const records = await publishFor(publisher, valueBytes, context.seconds);
      return rates(records, valueBytes, performance.now() - startMs);
    },
  };
}

/** `concurrency` records are on their way per client, each in a batch of its own. */
async function publishSingles(
  context: WorkloadContext,
  clients: number,
  concurrency: number,
): Promise<Figure[]> {
  const topic = await context.createTopic();
  const value = Buffer.alloc(100, 'x');
  const latencies: number[] = [];
  let endMs = 0;
  const worker = async (publisher: Publisher): Promise<void> => {
    while (performance.now() < endMs) {
      const startMs = performance.now();
      await publisher.publish({ value });
      latencies.push(performance.now() - startMs);
    }
  };
  const publishers = Array.from({ length: clients }, () =>
    context.connect().publisher(topic, { batchBytes: 1 }),
  );
  await Promise.all(publishers.map((publisher) => publisher.publish({ value })));
  const startMs = performance.now();
  endMs = startMs + context.seconds * 1000;
  const workers = publishers.flatMap((publisher) =>
    Array.from({ length: concurrency }, () => worker(publisher)),
  );
  await Promise.all(workers);
  const elapsedMs = performance.now() - startMs;
  const rate = Math.round((latencies.length / elapsedMs) * 1000);
  return [{ name: 'rate', value: rate, unit: 'records/s' }, ...latencyFigures(latencies)];
}

const latency: Workload = {
  name: 'latency',
  description: '1 KiB records at 10,000/s, 1 connection; from publish() to its confirmation',
  async run(context) {
    const topic = await context.createTopic();
    const publisher = context.connect().publisher(topic);
    const value = Buffer.alloc(1024, 'x');
    await publisher.publish({ value });
    const endMs = context.seconds * 1000;
    const { latencies, elapsedMs } = await publishAtRate(
      publisher,
      value,
      10_000,
      (ms) => ms >= endMs,
    );
    const rate = Math.round((latencies.length / elapsedMs) * 1000);
    return [{ name: 'rate', value: rate, unit: 'records/s' }, ...latencyFigures(latencies)];
  },
};

const topicCount = 10_000;

const manyTopics: Workload = {
  name: 'topics-10k',
  description: '1 KiB records in 64 KiB batches round robin over 10,000 topics, beside one topic',
  async run(context) {
    const client = context.connect();
    const one = client.publisher(await context.createTopic());
    const batch = Array.from({ length: 63 }, () => ({ value: Buffer.alloc(1024, 'x') }));
    const single = await roundRobin([one], batch, context.seconds);
    const publishers = await publishersOfManyTopics(context, client);
    const many = await roundRobin(publishers, batch, context.seconds);
    return [
      { name: 'one topic', value: Math.round(single), unit: 'records/s' },
      { name: '10,000 topics', value: Math.round(many), unit: 'records/s' },
      { name: 'share', value: Math.round((many / single) * 100), unit: '%' },
    ];
  },
};

async function publishersOfManyTopics(
  context: WorkloadContext,
  client: Client,
): Promise<Publisher[]> {
  const publishers: Publisher[] = [];
  while (publishers.length < topicCount) {
    const names = await Promise.all(Array.from({ length: 100 }, () => context.createTopic()));
    publishers.push(...names.map((name) => client.publisher(name)));
  }
  // Opens all of them, so that only appends are measured.
  await Promise.all(publishers.map((publisher) => publisher.publish({ value: 'first' })));
  return publishers;
}

/** Records a second when batches go to the publishers in turn, 64 of them on their way. */
async function roundRobin(
  publishers: readonly Publisher[],
  batch: readonly { readonly value: Buffer }[],
  seconds: number,
): Promise<number> {
  const startMs = performance.now();
  const endMs = startMs + seconds * 1000;
  let next = 0;
  let records = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() < endMs) {
      const publisher = publishers[next++ % publishers.length];
      await publisher?.publishBatch(batch);
      records += batch.length;
    }
  };
  await Promise.all(Array.from({ length: 64 }, worker));
  return (records / (performance.now() - startMs)) * 1000;
}

export const publishWorkloads: readonly Workload[] = [
  batched('publish-100b', 100),
  batched('publish-1k', 1024),
  {
    name: 'clients-64',
    description: '64 connections, one 100-byte record at a time each, waiting for its confirmation',
    run: (context) => publishSingles(context, 64, 1),
  },
  {
    name: 'unbatched-8x64',
    description: '8 connections, 64 unbatched 100-byte records in flight each',
    run: (context) => publishSingles(context, 8, 64),
  },
  latency,
  manyTopics,
];
