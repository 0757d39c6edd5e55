// Events at objects, for `kubectl describe`: told at most once while nothing new happens.
//
// Invariants: telling never fails a reconcile; the same event on the same object is not repeated within an hour.
import type { KubeObject, Resource } from '../kube/resource.ts';
import type { OperatorLog } from './operator-log.ts';
import type { Timing } from './timing.ts';

export interface ObjectEvent {
  readonly type: 'Normal' | 'Warning';
  /** UpperCamelCase. */
  readonly reason: string;
  /** What was being done: UpperCamelCase. */
  readonly action: string;
  readonly note: string;
}

export interface EventRecorderOptions {
  readonly events: Resource<KubeObject>;
  /** Where events of objects without a namespace go. */
  readonly namespace: string;
  readonly instance: string;
  readonly timing: Timing;
  readonly log: OperatorLog;
}

const againAfterMs = 3_600_000;
const rememberedMax = 10_000;
const noteMax = 1_000;

export class EventRecorder {
  private readonly options: EventRecorderOptions;
  private readonly toldMs = new Map<string, number>();
  private count = 0;

  constructor(options: EventRecorderOptions) {
    this.options = options;
  }

  async tell(object: KubeObject, event: ObjectEvent): Promise<void> {
    const { events, timing, log, instance } = this.options;
    const { uid, name } = object.metadata;
    const identity = [uid, event.type, event.reason, event.note].join('\n');
    const nowMs = timing.monotonicMs();
    if (nowMs - (this.toldMs.get(identity) ?? -Infinity) < againAfterMs) return;
    this.remember(identity, nowMs);
    const namespace = object.metadata.namespace ?? this.options.namespace;
    try {
      await events.create(namespace, {
        apiVersion: 'events.k8s.io/v1',
        kind: 'Event',
        metadata: { namespace, name: `${name}.${timing.wallMs().toString(36)}${++this.count}` },
        eventTime: new Date(timing.wallMs()).toISOString().replace('Z', '000Z'),
        reportingController: 'millrace.dev/operator',
        reportingInstance: instance,
        type: event.type,
        reason: event.reason,
        action: event.action,
        note: event.note.slice(0, noteMax),
        regarding: {
          apiVersion: object.apiVersion,
          kind: object.kind,
          name,
          uid,
          namespace: object.metadata.namespace,
        },
      });
    } catch (thrown) {
      const cause = thrown instanceof Error ? thrown.message : String(thrown);
      log.warn('an event was not told', { object: name, cause });
    }
  }

  private remember(identity: string, nowMs: number): void {
    this.toldMs.delete(identity);
    this.toldMs.set(identity, nowMs);
    if (this.toldMs.size <= rememberedMax) return;
    for (const oldest of this.toldMs.keys()) {
      this.toldMs.delete(oldest);
      return;
    }
  }
}
