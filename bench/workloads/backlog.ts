// A deep backlog beside a shallow one: deliver and ack, and the broker's memory.
import { memoryFigure, type Figure, type Workload, type WorkloadContext } from '../workload.ts';

const valueBytes = 100;
const shallowRecords = 10_000;
const deepRecords = 10_000_000;
/** Worked through of each in turn, so that both have the same machine. */
const roundRecords = 250_000;
const rounds = 4;

async function compareBacklogs(context: WorkloadContext): Promise<Figure[]> {
  const shallow = await backlogOf(context);
  const deep = await backlogOf(context);
  // Warms up until the page caches are full, so that memory is that of a broker at work.
  for (let round = 0; round < rounds; round++) await workOffPieces(shallow, true);
  const shallowMiB = await context.residentMiB();
  await deep.publish(deepRecords);
  let shallowMs = 0;
  let deepMs = 0;
  for (let round = 0; round < rounds; round++) {
    shallowMs += await workOffPieces(shallow, true);
    deepMs += await workOffPieces(deep, false);
  }
  const deepMiB = await context.residentMiB();
  const rate = (ms: number): number => Math.round(((rounds * roundRecords) / ms) * 1000);
  return [
    { name: '10 thousand waiting', value: rate(shallowMs), unit: 'records/s' },
    { name: '10 million waiting', value: rate(deepMs), unit: 'records/s' },
    { name: 'share', value: Math.round((shallowMs / deepMs) * 100), unit: '%' },
    ...memoryFigure('resident with 10 thousand', shallowMiB),
    ...memoryFigure('with 10 million', deepMiB),
  ];
}

type Backlog = Awaited<ReturnType<typeof backlogOf>>;

/** A round in pieces, each filled before or there already; ms of working them off only. */
async function workOffPieces(backlog: Backlog, isFilled: boolean): Promise<number> {
  let elapsedMs = 0;
  for (let done = 0; done < roundRecords; done += shallowRecords) {
    if (isFilled) await backlog.publish(shallowRecords);
    elapsedMs += await backlog.workOff(shallowRecords);
  }
  return elapsedMs;
}

async function backlogOf(context: WorkloadContext) {
  const topic = await context.createTopic();
  await context.connect().subscriptions.apply(topic, 'work', { kind: 'queue' });
  const publisher = context.connect().publisher(topic);
  const clients = Array.from({ length: 4 }, () => context.connect());
  const value = Buffer.alloc(valueBytes, 'x');
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

export const backlogWorkload: Workload = {
  name: 'queue-backlog',
  description:
    '100-byte records, 4 consumers, deliver and ack, in turns: 10 thousand waiting beside 10 million waiting',
  run: compareBacklogs,
};
