// The custom resource Topic as the API server gives it: defaults filled in, checked by its schema.
import type { KubeObject, ResourceType } from '../kube/resource.ts';
import type { ConditionedStatus } from './conditions.ts';
import type { PolicySpec } from './policy-spec.ts';

export const topicType: ResourceType = {
  group: 'millrace.dev',
  version: 'v1alpha1',
  kind: 'Topic',
  plural: 'topics',
};

export interface TopicObject extends KubeObject {
  readonly spec: TopicObjectSpec;
  readonly status?: TopicObjectStatus;
}

export interface TopicObjectSpec extends PolicySpec {
  readonly tenant: string;
  readonly namespace: string;
  readonly topic?: string;
  readonly partitions: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly subscriptions?: readonly SubscriptionEntry[];
  readonly deletionPolicy: 'Retain' | 'Delete';
  readonly managementPolicy: 'Full' | 'Observe';
  readonly adopt: boolean;
}

export type SubscriptionKindName = 'Stream' | 'Queue' | 'KeyedQueue';

export interface SubscriptionEntry {
  readonly name: string;
  readonly kind: SubscriptionKindName;
  readonly start?: 'Earliest' | 'Latest';
  readonly paused: boolean;
  readonly ackDeadline?: string;
  readonly backoffMin?: string;
  readonly backoffMax?: string;
  readonly attemptsMax?: number;
  readonly deadLetterTopic?: string;
  readonly deadLetterExpired?: boolean;
  readonly recordsPerSecondMax?: number;
  readonly expiresAfter?: string;
}

export interface TopicObjectStatus extends ConditionedStatus {
  readonly name?: string;
  readonly topicId?: string;
  readonly partitions?: number;
  readonly stored?: string;
  readonly records?: string;
  readonly subscriptions?: readonly SubscriptionStatus[];
}

export interface SubscriptionStatus {
  readonly name: string;
  readonly kind: SubscriptionKindName;
  readonly backlog: string;
}

/** Full name at the broker. */
export function brokerNameOf({ spec, metadata }: TopicObject): string {
  return `${spec.tenant}/${spec.namespace}/${spec.topic ?? metadata.name}`;
}
