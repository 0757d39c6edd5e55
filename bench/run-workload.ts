// Runs one workload against a broker and cleans up after it.
import { randomBytes } from 'node:crypto';
import { connect, type Client, type ConnectOptions } from '../client/src/index.ts';
import { residentMiB } from './broker-figures.ts';
import type { Figure, Workload, WorkloadContext } from './workload.ts';
import { backlogWorkload } from './workloads/backlog.ts';
import { delayedWorkloads } from './workloads/delayed.ts';
import { manyPublishersWorkload } from './workloads/many-publishers.ts';
import { neighbourWorkloads } from './workloads/neighbour.ts';
import { publishWorkloads } from './workloads/publish.ts';
import { queueWorkloads } from './workloads/queue.ts';
import { replayWorkloads } from './workloads/replay.ts';
import { stateMemory } from './workloads/state-memory.ts';

export const workloads: readonly Workload[] = [
  ...publishWorkloads,
  ...replayWorkloads,
  ...queueWorkloads,
  manyPublishersWorkload,
  backlogWorkload,
  ...delayedWorkloads,
  stateMemory,
  ...neighbourWorkloads,
];

/** `metricsUrl`: the broker's, for figures of its memory. */
export async function runWorkload(
  workload: Workload,
  reach: ConnectOptions & { readonly server: string },
  seconds: number,
  metricsUrl?: string,
): Promise<readonly Figure[]> {
  const admin = connect(reach);
  const clients: Client[] = [];
  const topics: string[] = [];
  const prefix = `bench-${workload.name}-${randomBytes(4).toString('hex')}`;
  const context: WorkloadContext = {
    server: reach.server,
    seconds,
    residentMiB: () => residentMiB(metricsUrl),
    connect() {
      const client = connect(reach);
      clients.push(client);
      return client;
    },
    async createTopic(partitions = 1) {
      const name = `${prefix}-${topics.length}`;
      topics.push(name);
      await admin.topics.apply(name, { partitions });
      return name;
    },
  };
  try {
    return await workload.run(context);
  } finally {
    await Promise.allSettled(clients.map((client) => client.close()));
    for (let i = 0; i < topics.length; i += 100) {
      await Promise.allSettled(topics.slice(i, i + 100).map((name) => admin.topics.delete(name)));
    }
    await admin.close();
  }
}
