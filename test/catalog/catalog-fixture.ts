// Short ways to run commands on a catalog in tests: plan, then apply.
import { CatalogState } from '../../broker/catalog/catalog-state.ts';
import {
  parseSubscriptionName,
  parseTenantName,
  parseTopicName,
} from '../../broker/catalog/names.ts';
import {
  planApplySubscription,
  planDeleteSubscription,
  type SubscriptionPlan,
} from '../../broker/catalog/subscription-plan.ts';
import type { SubscriptionSpecPatch } from '../../broker/catalog/subscription.ts';
import {
  planApplyTenant,
  planDeleteTenant,
  type TenantPlan,
} from '../../broker/catalog/tenant-plan.ts';
import type { TenantSpecPatch } from '../../broker/catalog/tenant.ts';
import {
  planApplyTopic,
  planDeleteTopic,
  type TopicPlan,
} from '../../broker/catalog/topic-plan.ts';
import type { TopicSpecPatch } from '../../broker/catalog/topic.ts';
import type { CatalogEvent } from '../../broker/catalog/catalog-events.ts';

export interface ApplyOptions {
  readonly revision?: string;
  readonly dryRun?: boolean;
}

export class CatalogFixture {
  readonly state: CatalogState;
  readonly events: CatalogEvent[] = [];

  constructor(shards?: readonly string[]) {
    this.state = new CatalogState(shards);
  }

  applyTopic(name: string, spec: TopicSpecPatch = {}, options: ApplyOptions = {}): TopicPlan {
    return this.take(
      planApplyTopic(this.state, { name: parseTopicName(name), spec, ...options }, 1_000),
    );
  }

  deleteTopic(name: string, id?: string): void {
    this.take(planDeleteTopic(this.state, parseTopicName(name), id));
  }

  applyTenant(name: string, spec: TenantSpecPatch = {}, options: ApplyOptions = {}): TenantPlan {
    const request = { name: parseTenantName(name), spec, ...options };
    return this.take(planApplyTenant(this.state, request, 1_000));
  }

  deleteTenant(name: string, id?: string): void {
    this.take(planDeleteTenant(this.state, parseTenantName(name), id));
  }

  applySubscription(
    topic: string,
    name: string,
    spec: SubscriptionSpecPatch = {},
    options: ApplyOptions = {},
  ): SubscriptionPlan {
    const request = {
      topic: parseTopicName(topic),
      name: parseSubscriptionName(name),
      spec,
      ...options,
    };
    return this.take(planApplySubscription(this.state, request, 1_000));
  }

  deleteSubscription(topic: string, name: string): void {
    this.take(
      planDeleteSubscription(this.state, parseTopicName(topic), parseSubscriptionName(name)),
    );
  }

  private take<T extends { readonly events: readonly CatalogEvent[] }>(plan: T): T {
    for (const event of plan.events) {
      this.state.apply(event);
      this.events.push(event);
    }
    return plan;
  }
}
