// What every reconciler is given.
import type { Client } from '../../client/src/index.ts';
import type { KubeObject } from '../kube/resource.ts';
import type { Reconciled } from '../runtime/controller.ts';
import type { EventRecorder } from '../runtime/event-recorder.ts';
import type { OperatorLog } from '../runtime/operator-log.ts';
import type { Timing } from '../runtime/timing.ts';

export interface Surroundings {
  readonly broker: Client;
  /** host:port, for messages. */
  readonly server: string;
  readonly events: EventRecorder;
  readonly timing: Timing;
  readonly log: OperatorLog;
  /** How often an object is looked at although nothing was told of it. */
  readonly driftMs: number;
  /** How long a broker that is away may hold an object that is to be deleted. */
  readonly finalizerTimeoutMs: number;
  readonly figures: RepairFigures;
}

/** Since the start. */
export interface RepairFigures {
  /** Objects found to differ although nobody changed their spec. */
  drifts: number;
  /** Objects let go although what they describe was not deleted. */
  leftBehind: number;
}

export const finalizer = 'millrace.dev/operator';

export function hasFinalizer({ metadata }: KubeObject): boolean {
  return metadata.finalizers?.includes(finalizer) === true;
}

export function withFinalizer({ metadata }: KubeObject): string[] {
  return [...(metadata.finalizers ?? []), finalizer];
}

export function withoutFinalizer({ metadata }: KubeObject): string[] {
  return (metadata.finalizers ?? []).filter((name) => name !== finalizer);
}

/** The drift interval, spread so that what was made together is not looked at together for ever. */
export function afterDrift({ driftMs, timing }: Surroundings): Reconciled {
  return { again: 'later', afterMs: driftMs * (0.8 + 0.4 * timing.draw()) };
}

export async function tellDrift(
  { events, log, figures }: Surroundings,
  object: KubeObject,
  changes: readonly string[],
): Promise<void> {
  figures.drifts++;
  const note = `it differed from its description and was put right: ${changes.join('; ')}`;
  log.info('drift put right', { kind: object.kind, object: pathOf(object), changes });
  const event = { reason: 'DriftRepaired', action: 'Repair', note } as const;
  await events.tell(object, { type: 'Warning', ...event });
}

export async function tellLeftBehind(
  { events, log, figures }: Surroundings,
  object: KubeObject,
  what: string,
  why: string,
): Promise<void> {
  figures.leftBehind++;
  const note = `${what} was left at the broker: ${why}`;
  // Events are refused in a namespace that is being deleted.
  log.warn('left behind', { kind: object.kind, object: pathOf(object), what, why });
  await events.tell(object, { type: 'Warning', reason: 'LeftBehind', action: 'Delete', note });
}

export function isOverdue(
  { timing, finalizerTimeoutMs }: Surroundings,
  object: KubeObject,
): boolean {
  const sinceMs = Date.parse(object.metadata.deletionTimestamp ?? '');
  return timing.wallMs() - sinceMs > finalizerTimeoutMs;
}

function pathOf({ metadata }: KubeObject): string {
  const { namespace, name } = metadata;
  return namespace === undefined ? name : `${namespace}/${name}`;
}
