// Metric port. Names are Prometheus names with their unit; labels are few and bounded.

export interface Counter {
  add(value: number): void;
}

export interface Histogram {
  observe(value: number): void;
}

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Metrics {
  counter(name: string, help: string): Counter;
  histogram(name: string, help: string, buckets: readonly number[]): Histogram;
  /** Read when the metrics are asked for. */
  gauge(name: string, help: string, read: () => number): void;
  /** The same for several series at once; what is not read any more is gone. */
  gauges(name: string, help: string, labels: readonly string[], read: () => Iterable<Sample>): void;
}

/** Counts nothing; the default of tests. */
export const silentMetrics: Metrics = {
  counter: () => ({ add() {} }),
  histogram: () => ({ observe() {} }),
  gauge() {},
  gauges() {},
};
