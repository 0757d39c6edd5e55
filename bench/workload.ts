// What a workload is: something that runs alone against any broker in under a minute and answers figures.
import type { Client } from '../client/src/index.ts';

export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit:
    | 'records/s'
    | 'MB/s'
    | 'ms'
    | 'records'
    | 's'
    | '%'
    | 'KiB'
    | 'MiB'
    | 'B/record'
    | '/s'
    | 'times'
    | '';
}

export interface WorkloadContext {
  /** host:port. */
  readonly server: string;
  readonly seconds: number;
  /** Of the broker; undefined: its metrics are not known. */
  residentMiB(): Promise<number | undefined>;
  /** A client of its own, that is one connection; closed after the run. */
  connect(): Client;
  /** A fresh topic, deleted after the run. */
  createTopic(partitions?: number): Promise<string>;
}

export interface Workload {
  readonly name: string;
  /** Record and batch size, connections, what is waited for. */
  readonly description: string;
  run(context: WorkloadContext): Promise<readonly Figure[]>;
}

/** The value below which the given share of the samples is; sorts them. */
export function percentile(samples: number[], share: number): number {
  samples.sort((a, b) => a - b);
  return samples[Math.min(samples.length - 1, Math.floor(samples.length * share))] ?? 0;
}

/** A figure that may not be known. */
export function memoryFigure(name: string, residentMiB: number | undefined): Figure[] {
  return residentMiB === undefined ? [] : [{ name, value: residentMiB, unit: 'MiB' }];
}

/** Figures of so many records of so many bytes in so many milliseconds. */
export function rates(records: number, bytesEach: number, elapsedMs: number): Figure[] {
  return [
    { name: 'rate', value: Math.round((records / elapsedMs) * 1000), unit: 'records/s' },
    {
      name: 'throughput',
      value: Math.round((records * bytesEach) / elapsedMs / 10) / 100,
      unit: 'MB/s',
    },
  ];
}
