// The operator: one leader that keeps caches of both kinds and a controller for each.
//
// Invariants:
// - Only the leader watches and writes; the others wait for the lease and nothing else.
// - No topic is looked at before the tenants are known: a boundary that has not been read yet is closed.
import type { KubeConfig } from '@kubernetes/client-node';
import type { Client } from '../client/src/index.ts';
import { KubeApi } from './kube/kube-api.ts';
import { Resource, type KubeObject } from './kube/resource.ts';
import { CallCounts, type OperatorView } from './metrics.ts';
import type { ConditionedStatus } from './objects/conditions.ts';
import { hasFinalizer, type RepairFigures, type Surroundings } from './objects/surroundings.ts';
import { tenantType, type TenantObject } from './objects/tenant-object.ts';
import { topicType, type TopicObject } from './objects/topic-object.ts';
import { Controller } from './runtime/controller.ts';
import { EventRecorder } from './runtime/event-recorder.ts';
import { LeaderElection, leaseCallMs, type Lease } from './runtime/leader-election.ts';
import { ObjectCache } from './runtime/object-cache.ts';
import type { OperatorLog } from './runtime/operator-log.ts';
import { RequestPace, type PaceBounds } from './runtime/request-pace.ts';
import type { Timing } from './runtime/timing.ts';
import { TenantReconciler } from './tenant/tenant-reconciler.ts';
import { TopicClaims } from './topic/topic-claims.ts';
import { TopicReconciler } from './topic/topic-reconciler.ts';

export interface OperatorOptions {
  readonly config: KubeConfig;
  readonly broker: Client;
  /** host:port, for messages. */
  readonly server: string;
  /** Of the lease. */
  readonly namespace: string;
  /** Name of the lease. */
  readonly lease: string;
  /** Of this process: no other may have it. */
  readonly identity: string;
  readonly driftMs: number;
  readonly finalizerTimeoutMs: number;
  readonly pace?: PaceBounds;
  readonly timing: Timing;
  readonly log: OperatorLog;
  /** What the API server is asked through; a test may put a fault in between. */
  readonly wrapApi?: (api: KubeApi) => KubeApi;
}

/** Objects of a kind that are looked at together. */
const concurrency = 4;
const paceDefault: PaceBounds = { perSecond: 100, burst: 200 };
const leaseType = {
  group: 'coordination.k8s.io',
  version: 'v1',
  kind: 'Lease',
  plural: 'leases',
};
const eventType = { group: 'events.k8s.io', version: 'v1', kind: 'Event', plural: 'events' };

export class Operator implements OperatorView {
  readonly calls = new CallCounts();
  readonly repairs: RepairFigures = { drifts: 0, leftBehind: 0 };
  private readonly options: OperatorOptions;
  private readonly api: KubeApi;
  private readonly claims = new TopicClaims();
  private readonly topicCache: ObjectCache<TopicObject>;
  private readonly tenantCache: ObjectCache<TenantObject>;
  private readonly topicController: Controller;
  private readonly tenantController: Controller;
  private phase: 'standing by' | 'reading' | 'leading' = 'standing by';

  constructor(options: OperatorOptions) {
    this.options = options;
    const { config, timing, log, identity, wrapApi = (api) => api } = options;
    const pace = new RequestPace(options.pace ?? paceDefault, timing);
    this.api = wrapApi(new KubeApi(config, { counts: this.calls, pace: () => pace.wait() }));
    const { api } = this;
    const topics = new Resource<TopicObject>(api, topicType);
    const tenants = new Resource<TenantObject>(api, tenantType);
    const events = new Resource<KubeObject>(api, eventType);
    const shared = { api, timing, log };
    this.topicCache = new ObjectCache({
      ...{ ...shared, resource: topics },
      onChange: (key, before) => this.topicChanged(key, before),
    });
    this.tenantCache = new ObjectCache({
      ...{ ...shared, resource: tenants },
      onChange: (key, before) => this.tenantChanged(key, before),
    });
    const { broker, server, driftMs, finalizerTimeoutMs } = options;
    // Events of objects without a namespace are accepted in `default` only.
    const surroundings: Surroundings = {
      ...{ broker, server, timing, log, driftMs, finalizerTimeoutMs, figures: this.repairs },
      events: new EventRecorder({ events, namespace: 'default', instance: identity, timing, log }),
    };
    const { topicCache, tenantCache, claims } = this;
    const topic = new TopicReconciler({ ...surroundings, topics, topicCache, tenantCache, claims });
    const tenant = new TenantReconciler({ ...surroundings, tenants, tenantCache });
    this.topicController = new Controller({
      ...{ name: 'topic', concurrency, timing, log },
      reconcile: (key) => topic.reconcile(key),
    });
    this.tenantController = new Controller({
      ...{ name: 'tenant', concurrency, timing, log },
      reconcile: (key) => tenant.reconcile(key),
    });
  }

  get controllers(): readonly Controller[] {
    return [this.topicController, this.tenantController];
  }

  get isLeading(): boolean {
    return this.phase !== 'standing by';
  }

  /** Empty: it stands by, or leads and knows the objects. */
  get notReady(): string {
    return this.phase === 'reading' ? 'reading the objects' : '';
  }

  /** Until the signal aborts. Rejects when the lease is lost: the process should end, another one leads. */
  run(signal: AbortSignal): Promise<void> {
    const { namespace, lease, identity, timing, log } = this.options;
    const leases = new Resource<Lease>(this.api, leaseType, { timeoutMs: leaseCallMs });
    const names = { namespace, name: lease, identity };
    const election = new LeaderElection({ leases, ...names, timing, log });
    return election.run(signal, (leading) => this.lead(leading));
  }

  /** What `run` does while it leads. Never rejects. */
  async lead(signal: AbortSignal): Promise<void> {
    const { log, identity } = this.options;
    log.info('leading', { identity });
    this.phase = 'reading';
    const caches = [this.topicCache.run(signal), this.tenantCache.run(signal)];
    const read = Promise.all([this.topicCache.ready, this.tenantCache.ready]);
    await Promise.race([read, ...caches]);
    if (!signal.aborted) this.phase = 'leading';
    await Promise.all([...this.controllers.map((one) => one.run(signal)), ...caches]);
    this.phase = 'standing by';
    log.info('leading no longer', { identity });
  }

  objectCounts() {
    const count = (kind: string, objects: Iterable<{ readonly status?: ConditionedStatus }>) => {
      const counts = new Map<string, number>();
      for (const { status } of objects) {
        const condition = status?.conditions?.find(({ type }) => type === 'Ready');
        const ready = condition?.status ?? 'Unknown';
        counts.set(ready, (counts.get(ready) ?? 0) + 1);
      }
      return [...counts].map(([ready, many]) => ({ kind, ready, count: many }));
    };
    return [
      ...count('Topic', this.topicCache.values()),
      ...count('Tenant', this.tenantCache.values()),
    ];
  }

  /** Others that describe the same topic may have to act now, or no longer. */
  private topicChanged(key: string, before: TopicObject | undefined): void {
    if (!isNews(before, this.topicCache.get(key))) return;
    this.topicController.add(key);
    for (const other of this.claims.update(key, this.topicCache.get(key))) {
      this.topicController.add(other);
    }
  }

  /** Its boundary may be another one. */
  private tenantChanged(name: string, before: TenantObject | undefined): void {
    if (!isNews(before, this.tenantCache.get(name))) return;
    this.tenantController.add(name);
    for (const { spec, metadata } of this.topicCache.values()) {
      if (spec.tenant !== name) continue;
      this.topicController.add(`${metadata.namespace ?? ''}/${metadata.name}`);
    }
  }
}

/** Not what the operator writes itself, its finalizer and the status: an object would be looked at three times. */
function isNews(before: KubeObject | undefined, after: KubeObject | undefined): boolean {
  if (before === undefined || after === undefined) return true;
  const [was, is] = [before.metadata, after.metadata];
  return (
    was.uid !== is.uid ||
    was.generation !== is.generation ||
    was.deletionTimestamp !== is.deletionTimestamp ||
    (hasFinalizer(before) && !hasFinalizer(after))
  );
}
