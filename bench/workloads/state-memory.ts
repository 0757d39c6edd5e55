// What the states that grow with a backlog take in memory, measured on the states themselves: among a broker's
// caches they would be lost. Nothing of the broker is loaded before: commands of the CLI start without it.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { BatchMarks } from '../../broker/log/batch-marks.ts';
import type { AckSet } from '../../broker/subscription/ack-set.ts';
import type { Figure, Workload } from '../workload.ts';

const delayedRecords = 10_000_000;
const holes = 1_000_000;

export const stateMemory: Workload = {
  name: 'state-memory',
  description:
    'state of 10 million pending delayed records, and of a million acked ones with a hole before each; not in the broker',
  async run() {
    const { BatchMarks } = await import('../../broker/log/batch-marks.ts');
    const { AckSet } = await import('../../broker/subscription/ack-set.ts');
    const marks = (): BatchMarks => new BatchMarks({ left: delayedRecords });
    return [
      ...(await figuresOf('delayed, one a batch', delayedRecords, () => delayed(marks(), 1))),
      ...(await figuresOf('delayed, 100 a batch', delayedRecords, () => delayed(marks(), 100))),
      ...(await figuresOf('holes', holes, () => acked(new AckSet()))),
    ];
  },
};

/** As batches with a delivery time are marked when they are stored; the times in no order. */
function delayed(marks: BatchMarks, recordsPerBatch: number): BatchMarks {
  const dayMs = 24 * 3600 * 1000;
  for (let first = 0; first < delayedRecords; first += recordsPerBatch) {
    const deliverAtMs = 1 + ((first * 7_919) % dayMs);
    marks.add({ first, count: recordsPerBatch, deliverAtMs, priority: 0 });
  }
  return marks;
}

/** Every other record. */
function acked(acks: AckSet): AckSet {
  for (let i = 0; i < holes; i++) acks.add(2 * i + 1, 2 * i + 1);
  return acks;
}

async function figuresOf(name: string, records: number, make: () => unknown): Promise<Figure[]> {
  const before = await usedBytes();
  const state = { kept: make() };
  const bytes = (await usedBytes()) - before;
  // Read again behind the measurement, so that nothing of it was collected before.
  if (state.kept === undefined) return [];
  return [
    { name, value: Math.round((bytes / records) * 100) / 100, unit: 'B/record' },
    { name: 'in all', value: Math.round(bytes / 1024), unit: 'KiB' },
  ];
}

async function usedBytes(): Promise<number> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  // What the first one finds is freed beside the program; the second one waits for that.
  collect();
  await new Promise((resolve) => setTimeout(resolve, 500));
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
