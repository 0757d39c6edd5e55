// From a Topic object and what is at the broker to ordered actions. Pure.
//
// Invariants:
// - Every action carries the revision that it was planned on: a stale plan fails instead of harming.
// - Nothing is deleted, and no partition is taken away.
// - A plan for what is as described is empty.
import type { PolicyField, Subscription, Topic, TopicSpecPatch } from '../../client/src/index.ts';
import {
  claimOf,
  isOwnedBy,
  labelDifference,
  noOwnerLabels,
  ownerLabels,
  type Claim,
} from '../objects/ownership.ts';
import { policyDifference, policyOf } from '../objects/policy-spec.ts';
import type { TopicObject } from '../objects/topic-object.ts';
import { planSubscriptions, type SubscriptionAction } from './subscription-plan.ts';

export interface ObservedTopic {
  /** Undefined: there is none. */
  readonly topic: Topic | undefined;
  readonly subscriptions: readonly Subscription[];
}

export type TopicAction =
  | {
      readonly kind: 'apply-topic';
      readonly patch: TopicSpecPatch;
      readonly inherit: readonly PolicyField[];
      /** `0`: it must not exist yet. */
      readonly revision: string;
    }
  | SubscriptionAction;

export type TopicPlan =
  { readonly kind: 'act'; readonly actions: readonly TopicAction[] } | Refusal;

type Refusal = Extract<Claim, { kind: 'refused' }> | OtherRefusal;
interface OtherRefusal {
  readonly kind: 'refused';
  readonly reason: 'TopicNotFound' | 'Differs' | 'PartitionsDiffer';
  readonly message: string;
}

/** `givingWay`: uids of younger objects that describe the same topic. */
export function planTopic(
  object: TopicObject,
  observed: ObservedTopic,
  givingWay: ReadonlySet<string>,
): TopicPlan {
  if (object.spec.managementPolicy === 'Observe') return planObserved(object, observed);
  const { topic } = observed;
  const { adopt, partitions } = object.spec;
  const claim = claimOf({ object, adopt, givingWay }, topic?.spec.labels);
  if (claim.kind === 'refused') return claim;
  if (topic !== undefined && topic.spec.partitions > partitions) {
    return {
      kind: 'refused',
      reason: 'PartitionsDiffer',
      message:
        `the topic has ${topic.spec.partitions} partitions, and partitions are never removed; ` +
        `set spec.partitions to ${topic.spec.partitions}`,
    };
  }
  return { kind: 'act', actions: actionsFor(object, observed, ownerLabels(object)) };
}

/** What takes the label of the object off; undefined: it has none. */
export function planRelease(
  object: TopicObject,
  topic: Topic | undefined,
): Extract<TopicAction, { kind: 'apply-topic' }> | undefined {
  if (topic === undefined || !isOwnedBy(topic.spec.labels, object)) return undefined;
  const patch = { labels: noOwnerLabels };
  return { kind: 'apply-topic', patch, inherit: [], revision: topic.revision };
}

/** An object that only observes lets go of what it managed before, and then says what differs. */
function planObserved(object: TopicObject, observed: ObservedTopic): TopicPlan {
  const { topic } = observed;
  if (topic === undefined) {
    return {
      kind: 'refused',
      reason: 'TopicNotFound',
      message: 'there is no such topic to observe',
    };
  }
  const release = planRelease(object, topic);
  if (release !== undefined) return { kind: 'act', actions: [release] };
  const owner = Object.keys(noOwnerLabels).flatMap((name) => {
    const text = topic.spec.labels[name];
    return text === undefined ? [] : [[name, text] as const];
  });
  const actions = actionsFor(object, observed, Object.fromEntries(owner));
  if (actions.length === 0) return { kind: 'act', actions };
  const message = `it differs, and managementPolicy is Observe: ${actions.map(fieldsOf).join('; ')}`;
  return { kind: 'refused', reason: 'Differs', message };
}

function actionsFor(
  { spec }: TopicObject,
  { topic, subscriptions }: ObservedTopic,
  ownerLabelsWanted: Readonly<Record<string, string>>,
): TopicAction[] {
  const actions: TopicAction[] = [];
  const labels = { ...spec.labels, ...ownerLabelsWanted };
  const desired = policyOf(spec);
  const { partitions } = spec;
  if (topic === undefined) {
    const patch = { partitions, labels, ...desired };
    actions.push({ kind: 'apply-topic', patch, inherit: [], revision: '0' });
  } else {
    const { patch, inherit } = policyDifference(desired, topic.spec);
    const changed = labelDifference(labels, topic.spec.labels);
    const whole = {
      ...(partitions !== topic.spec.partitions && { partitions }),
      ...(Object.keys(changed).length > 0 && { labels: changed }),
      ...patch,
    };
    if (Object.keys(whole).length > 0 || inherit.length > 0) {
      actions.push({ kind: 'apply-topic', patch: whole, inherit, revision: topic.revision });
    }
  }
  return [...actions, ...planSubscriptions(spec.subscriptions ?? [], subscriptions)];
}

function fieldsOf(action: TopicAction): string {
  const fields = Object.keys(action.patch);
  if (action.kind === 'apply-subscription')
    return `subscription ${action.name}: ${fields.join(', ')}`;
  return [...fields, ...action.inherit].join(', ');
}
