// Working through: publish, deliver to several consumers, ack each record.
import type { Consumer } from '../../client/src/index.ts';
import { rates, type Workload } from '../workload.ts';
import { publishFor } from './publish.ts';

const valueBytes = 1024;
const consumerCount = 4;

const queue: Workload = {
  name: 'queue-1k',
  description: `1 KiB records, 1 publisher, ${consumerCount} consumers on connections of their own, each record acked`,
  async run(context) {
    const topic = await context.createTopic();
    const admin = context.connect();
    await admin.subscriptions.apply(topic, 'work', { kind: 'queue' });
    let acked = 0;
    /** Known once publishing is done. */
    const goal = { records: Infinity };
    const consumers: Consumer[] = [];
    const done = new Promise<void>((resolve) => {
      for (let i = 0; i < consumerCount; i++) {
        const consumer = context.connect().consumer(topic, 'work');
        consumers.push(consumer);
        void work(consumer, () => {
          acked++;
          if (acked === goal.records) resolve();
        });
      }
    });
    const publisher = context.connect().publisher(topic, { windowBytes: 4 * 1024 * 1024 });
    const startMs = performance.now();
    const count = await publishFor(publisher, valueBytes, context.seconds);
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
  },
};

async function work(consumer: Consumer, onAcked: () => void): Promise<void> {
  for await (const message of consumer) {
    message.ack();
    onAcked();
  }
}

export const queueWorkloads: readonly Workload[] = [queue];
