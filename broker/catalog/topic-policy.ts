// What is in force for a topic. Pure.
import { effectivePolicy, type EffectivePolicy, type Policy } from './policy.ts';
import type { Tenant } from './tenant.ts';
import type { Topic } from './topic.ts';

export function topicPolicy(
  cluster: Policy,
  { spec }: Tenant,
  { name, spec: topic }: Pick<Topic, 'name' | 'spec'>,
): EffectivePolicy {
  const namespace = spec.namespaces.get(name.namespace)?.policy;
  return effectivePolicy(cluster, { tenant: spec.policy, namespace, topic });
}
