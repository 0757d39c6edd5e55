// Reading: a tail that is followed while it is written, and a backlog that is replayed.
import type { Client } from '../../client/src/index.ts';
import { rates, type Workload } from '../workload.ts';
import { publishFor } from './publish.ts';

const valueBytes = 1024;

/** Reads until so many records came; answers when the first and the last did. */
export async function readRecords(
  client: Client,
  topic: string,
  isEnough: (records: number) => boolean,
): Promise<{ readonly records: number; readonly elapsedMs: number }> {
  const reader = client.reader(topic, { from: 'earliest' });
  let records = 0;
  const startMs = performance.now();
  for await (const batch of reader.batches()) {
    records += batch.recordCount;
    if (isEnough(records)) break;
  }
  const elapsedMs = performance.now() - startMs;
  await reader.close();
  return { records, elapsedMs };
}

const publishAndReplay: Workload = {
  name: 'publish-replay-1k',
  description: '1 KiB records, 1 publisher and 1 reader at once, 1 partition; until both are done',
  async run(context) {
    const topic = await context.createTopic();
    const publisher = context.connect().publisher(topic, { windowBytes: 4 * 1024 * 1024 });
    /** Known once publishing is done. */
    const goal = { records: Infinity };
    const startMs = performance.now();
    const reading = readRecords(context.connect(), topic, (records) => records >= goal.records);
    goal.records = await publishFor(publisher, valueBytes, context.seconds);
    // Wakes the reader in case it has read everything already.
    await publisher.publish({ value: 'last' });
    const { records } = await reading;
    return rates(records, valueBytes, performance.now() - startMs);
  },
};

const replay: Workload = {
  name: 'replay-1k',
  description: 'a hot backlog of 1 KiB records in 64 KiB batches, replayed by 1 reader',
  async run(context) {
    const topic = await context.createTopic();
    const publisher = context.connect().publisher(topic, { windowBytes: 4 * 1024 * 1024 });
    const backlog = await publishFor(publisher, valueBytes, context.seconds);
    const { records, elapsedMs } = await readRecords(
      context.connect(),
      topic,
      (count) => count >= backlog,
    );
    return [
      { name: 'backlog', value: records, unit: 'records' },
      ...rates(records, valueBytes, elapsedMs),
    ];
  },
};

export const replayWorkloads: readonly Workload[] = [publishAndReplay, replay];
