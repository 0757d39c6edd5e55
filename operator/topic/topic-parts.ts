// What the reconciler of topics and its finalizer share.
import type { Client, Topic } from '../../client/src/index.ts';
import type { Resource } from '../kube/resource.ts';
import { isMissing } from '../objects/broker-failure.ts';
import type { Surroundings } from '../objects/surroundings.ts';
import type { TenantObject } from '../objects/tenant-object.ts';
import type { TopicObject } from '../objects/topic-object.ts';
import type { ObjectCache } from '../runtime/object-cache.ts';
import type { TopicClaims } from './topic-claims.ts';

export interface TopicParts extends Surroundings {
  readonly topics: Resource<TopicObject>;
  readonly topicCache: ObjectCache<TopicObject>;
  readonly tenantCache: ObjectCache<TenantObject>;
  readonly claims: TopicClaims;
}

export async function topicOrNone(broker: Client, name: string): Promise<Topic | undefined> {
  try {
    return await broker.topics.get(name);
  } catch (thrown) {
    if (isMissing(thrown)) return undefined;
    throw thrown;
  }
}
