// What the operator says about itself at /metrics.
import { Counter, Gauge, Registry, collectDefaultMetrics } from 'prom-client';
import type { KubeCallCounts } from './kube/kube-api.ts';

/** Calls to the API server since the start, by method and resource. */
export class CallCounts implements KubeCallCounts {
  readonly counts = new Map<string, number>();

  count(method: string, path: string): void {
    const name = `${method} ${resourceOf(path)}`;
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
  }

  get total(): number {
    return [...this.counts.values()].reduce((sum, count) => sum + count, 0);
  }
}

/** `topics`, `topics/status`, `leases`: the path without group, names and namespaces. */
export function resourceOf(path: string): string {
  const parts = path.split('/').filter((part) => part !== '');
  const rest = parts.slice(parts[0] === 'api' ? 2 : 3);
  const [plural = '', , subresource] = rest[0] === 'namespaces' ? rest.slice(2) : rest;
  return subresource === undefined ? plural : `${plural}/${subresource}`;
}

export interface ControllerView {
  readonly name: string;
  readonly readyCount: number;
  readonly figures: { readonly reconciles: number; readonly failures: number };
}

export interface OperatorView {
  readonly calls: CallCounts;
  readonly isLeading: boolean;
  readonly repairs: { readonly drifts: number; readonly leftBehind: number };
  readonly controllers: readonly ControllerView[];
  /** Objects by kind and the status of their condition Ready. */
  objectCounts(): readonly {
    readonly kind: string;
    readonly ready: string;
    readonly count: number;
  }[];
}

export function operatorMetrics(view: OperatorView): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const { kind, name, help, labelNames, rows } of metricsOf(view)) {
    const options = { name: `millrace_operator_${name}`, help, labelNames, registers: [registry] };
    if (kind === 'counter') {
      const metric: Counter = new Counter({
        ...options,
        collect() {
          metric.reset();
          for (const { labels, value } of rows()) metric.inc(labels, value);
        },
      });
    } else {
      const metric: Gauge = new Gauge({
        ...options,
        collect() {
          metric.reset();
          for (const { labels, value } of rows()) metric.set(labels, value);
        },
      });
    }
  }
  return registry;
}

interface Metric {
  readonly kind: 'counter' | 'gauge';
  readonly name: string;
  readonly help: string;
  readonly labelNames: string[];
  readonly rows: () => readonly {
    readonly labels: Readonly<Record<string, string>>;
    readonly value: number;
  }[];
}

function metricsOf(view: OperatorView): Metric[] {
  const { repairs, calls } = view;
  const perController = (
    kind: Metric['kind'],
    name: string,
    help: string,
    value: (controller: ControllerView) => number,
  ): Metric => ({
    ...{ kind, name, help, labelNames: ['controller'] },
    rows: () =>
      view.controllers.map((one) => ({ labels: { controller: one.name }, value: value(one) })),
  });
  const single = (
    kind: Metric['kind'],
    name: string,
    help: string,
    value: () => number,
  ): Metric => ({
    ...{ kind, name, help, labelNames: [] },
    rows: () => [{ labels: {}, value: value() }],
  });
  const leftBehind = 'Deleted objects whose topic or tenant stayed against their policy.';
  const drifts = 'Objects found changed behind their description, and put right.';
  const failures = 'Looks that failed at the API server, or by a bug.';
  return [
    perController('counter', 'reconciles_total', 'Looks at objects.', (c) => c.figures.reconciles),
    perController('counter', 'reconcile_failures_total', failures, (c) => c.figures.failures),
    perController('gauge', 'queue_length', 'Objects that wait for a look.', (c) => c.readyCount),
    single('counter', 'drifts_total', drifts, () => repairs.drifts),
    single('counter', 'left_behind_total', leftBehind, () => repairs.leftBehind),
    single('gauge', 'leader', '1 while this process leads.', () => (view.isLeading ? 1 : 0)),
    {
      ...{ kind: 'counter', name: 'kube_requests_total', help: 'Calls to the API server.' },
      labelNames: ['method', 'resource'],
      rows: () =>
        [...calls.counts].map(([name, value]) => {
          const [method = '', resource = ''] = name.split(' ');
          return { labels: { method, resource }, value };
        }),
    },
    {
      ...{ kind: 'gauge', name: 'objects', help: 'Objects by kind and their condition Ready.' },
      labelNames: ['kind', 'ready'],
      rows: () =>
        view
          .objectCounts()
          .map(({ kind, ready, count }) => ({ labels: { kind, ready }, value: count })),
    },
  ];
}
