// An open topic of the public tenant, with the policies and quotas that hold when nobody says anything.
import { QuotaRegistry } from '../../broker/access/quota-registry.ts';
import { policyDefaults } from '../../broker/catalog/policy.ts';
import { publicTenant } from '../../broker/catalog/tenant.ts';
import { topicPolicy } from '../../broker/catalog/topic-policy.ts';
import type { Topic } from '../../broker/catalog/topic.ts';
import { OpenTopic } from '../../broker/cluster/open-topic.ts';
import { systemClock } from '../../broker/core/clock.ts';

export function openTopic(topic: Topic, logs: OpenTopic['logs']): OpenTopic {
  const quota = new QuotaRegistry(systemClock).ofTopic(topic.name, publicTenant);
  return new OpenTopic(topic, logs, {
    policy: topicPolicy(policyDefaults, publicTenant, topic),
    quota,
  });
}
