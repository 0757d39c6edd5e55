// Latency at a fixed rate: records are sent when they are due, however long the answers take.
import type { Publisher } from '../../client/src/index.ts';
import { percentile, type Figure } from '../workload.ts';

/** Publishes so many records a second until `isDone` says so; answers the latencies in ms. */
export async function publishAtRate(
  publisher: Publisher,
  value: Buffer,
  perSecond: number,
  isDone: (elapsedMs: number) => boolean,
): Promise<{ readonly latencies: number[]; readonly elapsedMs: number }> {
  const latencies: number[] = [];
  const pending: Promise<void>[] = [];
  const startMs = performance.now();
  let sent = 0;
  while (!isDone(performance.now() - startMs)) {
    const due = Math.floor(((performance.now() - startMs) * perSecond) / 1000);
    for (; sent < due; sent++) {
      const atMs = performance.now();
      pending.push(
        publisher.publish({ value }).then(() => void latencies.push(performance.now() - atMs)),
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(pending);
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
