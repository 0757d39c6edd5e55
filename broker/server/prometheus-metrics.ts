// The metric port on prom-client, with the process's own figures.
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Metrics } from '../core/metrics.ts';

export interface PrometheusMetrics extends Metrics {
  /** Prometheus text exposition format. */
  text(): Promise<string>;
  readonly contentType: string;
}

export function prometheusMetrics(): PrometheusMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return {
    counter(name, help) {
      const counter = new Counter({ name, help, registers: [registry] });
      return { add: (value) => counter.inc(value) };
    },
    histogram(name, help, buckets) {
      const histogram = new Histogram({
        name,
        help,
        buckets: [...buckets],
        registers: [registry],
      });
      return { observe: (value) => histogram.observe(value) };
    },
    gauge(name, help, read) {
      new Gauge({
        name,
        help,
        registers: [registry],
        collect() {
          this.set(read());
        },
      });
    },
    gauges(name, help, labels, read) {
      new Gauge({
        name,
        help,
        labelNames: [...labels],
        registers: [registry],
        collect() {
          this.reset();
          for (const sample of read()) this.set({ ...sample.labels }, sample.value);
        },
      });
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}
