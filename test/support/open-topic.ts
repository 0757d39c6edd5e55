// An open topic of the public tenant, with the policies that hold when nobody says anything.
import { policyDefaults } from '../../broker/catalog/policy.ts';
import { publicTenant } from '../../broker/catalog/tenant.ts';
import { topicPolicy } from '../../broker/catalog/topic-policy.ts';
import type { Topic } from '../../broker/catalog/topic.ts';
import { OpenTopic } from '../../broker/cluster/open-topic.ts';

export function openTopic(topic: Topic, logs: OpenTopic['logs']): OpenTopic {
  return new OpenTopic(topic, logs, topicPolicy(policyDefaults, publicTenant, topic));
}
