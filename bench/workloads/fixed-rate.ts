// Latency at a fixed rate: records are sent when they are due, however long the answers take.
import { setTimeout } from 'node:timers/promises';
import type { Publisher } from '../../client/src/index.ts';
import { percentile, type Figure } from '../workload.ts';

/** Acts so many times a second until `isDone` says so; what was missed is caught up with. */
export async function atRate(
  perSecond: number,
  act: () => Promise<void> | void,
  isDone: (elapsedMs: number) => boolean,
): Promise<void> {
  const startMs = performance.now();
  for (let done = 0; ;) {
    const elapsedMs = performance.now() - startMs;
    if (isDone(elapsedMs)) return;
    const due = Math.floor((elapsedMs * perSecond) / 1_000);
    for (; done < due; done++) await act();
    await setTimeout(1);
  }
}

/** Publishes so many records a second until `isDone` says so; answers the latencies in ms. */
export async function publishAtRate(
  publisher: Publisher,
  value: Buffer,
  perSecond: number,
  isDone: (elapsedMs: number) => boolean,
): Promise<{ readonly latencies: number[]; readonly elapsedMs: number }> {
  const latencies: number[] = [];
  // Counted, not kept: of millions of promises Promise.all makes minutes of work.
  const failed = Promise.withResolvers<never>();
  let hasFailed = false;
  failed.promise.catch(() => (hasFailed = true));
  const startMs = performance.now();
  let sent = 0;
  const publish = () => {
    const atMs = performance.now();
    sent++;
    void publisher
      .publish({ value })
      .then(() => void latencies.push(performance.now() - atMs), failed.reject);
  };
  await atRate(perSecond, publish, (elapsedMs) => hasFailed || isDone(elapsedMs));
  while (latencies.length < sent) await Promise.race([setTimeout(1), failed.promise]);
  return { latencies, elapsedMs: performance.now() - startMs };
}

export function latencyFigures(latencies: number[]): Figure[] {
  return [
    { name: 'p50', value: round(percentile(latencies, 0.5)), unit: 'ms' },
    { name: 'p99', value: round(percentile(latencies, 0.99)), unit: 'ms' },
  ];
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}
