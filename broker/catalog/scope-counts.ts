// How many topics, partitions and subscriptions each tenant and each namespace has, kept as things come and go: a
// quota on 100,000 topics must not cost a walk over them with each new one.
//
// Invariant: a scope that has nothing has no entry, so there are at most two per topic.
import type { TopicName } from './names.ts';

export interface Amounts {
  readonly topics: number;
  readonly partitions: number;
  readonly subscriptions: number;
}

const nothing: Amounts = { topics: 0, partitions: 0, subscriptions: 0 };

export class ScopeCounts {
  private readonly counts = new Map<string, Amounts>();

  /** Of `tenant` or `tenant/namespace`. */
  of(scope: string): Amounts {
    return this.counts.get(scope) ?? nothing;
  }

  /** Counts in both scopes of the topic. */
  add({ tenant, namespace }: TopicName, change: Partial<Amounts>): void {
    for (const scope of [tenant, `${tenant}/${namespace}`]) {
      const before = this.of(scope);
      const after: Amounts = {
        topics: before.topics + (change.topics ?? 0),
        partitions: before.partitions + (change.partitions ?? 0),
        subscriptions: before.subscriptions + (change.subscriptions ?? 0),
      };
      if (after.topics === 0) this.counts.delete(scope);
      else this.counts.set(scope, after);
    }
  }
}
