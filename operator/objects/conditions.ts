// Conditions of an object, from what one reconcile came to.
//
// Invariants:
// - Ready is True only for what was read back from the broker and is as described.
// - A condition that says the same as before keeps its time, so that saying it again is no write.
import type { KubeObject } from '../kube/resource.ts';

export interface Condition {
  readonly type: 'Ready' | 'Synced' | 'Stalled';
  readonly status: 'True' | 'False' | 'Unknown';
  /** UpperCamelCase. */
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
  readonly lastTransitionTime: string;
}

export type Outcome =
  /** Read back, and as described. */
  | { readonly kind: 'ready' }
  /** The operator does not act, or the broker refuses: nothing changes without a person, or without another object. */
  | { readonly kind: 'refused'; readonly reason: string; readonly message: string }
  /** It did not work now; it is tried again. */
  | { readonly kind: 'failed'; readonly reason: string; readonly message: string }
  /** The broker cannot be asked: nothing is known. */
  | { readonly kind: 'unreachable'; readonly message: string };

export interface ConditionedStatus {
  readonly observedGeneration?: number;
  readonly conditions?: readonly Condition[];
}

const messageMax = 2_000;

export function conditionsOf(
  object: KubeObject & { readonly status?: ConditionedStatus },
  outcome: Outcome,
  nowMs: number,
): readonly Condition[] {
  const before = object.status?.conditions ?? [];
  const observedGeneration = object.metadata.generation ?? 0;
  const now = new Date(nowMs).toISOString().replace(/\.\d+Z$/, 'Z');
  const condition = (
    type: Condition['type'],
    status: Condition['status'],
    reason: string,
    message: string,
  ): Condition => {
    const same = before.find((one) => one.type === type && one.status === status);
    const lastTransitionTime = same?.lastTransitionTime ?? now;
    const short = message.slice(0, messageMax);
    return { type, status, reason, message: short, observedGeneration, lastTransitionTime };
  };
  switch (outcome.kind) {
    case 'ready':
      return [
        condition('Ready', 'True', 'Ready', 'as described'),
        condition('Synced', 'True', 'Synced', 'the last write went through'),
        condition('Stalled', 'False', 'Progressing', 'nothing waits for a person'),
      ];
    case 'refused':
      return [
        condition('Ready', 'False', outcome.reason, outcome.message),
        condition('Synced', 'False', outcome.reason, outcome.message),
        condition('Stalled', 'True', outcome.reason, outcome.message),
      ];
    case 'failed':
      return [
        condition('Ready', 'False', outcome.reason, outcome.message),
        condition('Synced', 'False', outcome.reason, outcome.message),
        condition('Stalled', 'False', 'Progressing', 'it is tried again'),
      ];
    case 'unreachable':
      return [
        condition('Ready', 'Unknown', 'BrokerUnavailable', outcome.message),
        condition('Synced', 'False', 'BrokerUnavailable', outcome.message),
        condition('Stalled', 'False', 'Progressing', 'it is tried again'),
      ];
  }
}

/** Whether the last reconcile of this very spec found all as described: what differs now has drifted. */
export function wasReady(object: KubeObject & { readonly status?: ConditionedStatus }): boolean {
  const ready = object.status?.conditions?.find(({ type }) => type === 'Ready');
  return ready?.status === 'True' && ready.observedGeneration === object.metadata.generation;
}
