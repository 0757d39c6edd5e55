// The jobs on dead letters that the catalog knows, by number.
import type { SubscriptionId, TopicId } from '../core/ids.ts';
import type { DeadLetterJob } from './dead-letter-job.ts';

export class DeadLetterJobIndex {
  private readonly byId = new Map<number, DeadLetterJob>();

  get(id: number): DeadLetterJob | undefined {
    return this.byId.get(id);
  }

  all(): IterableIterator<DeadLetterJob> {
    return this.byId.values();
  }

  /** The oldest first. */
  ofTopic(topicId: TopicId): DeadLetterJob[] {
    const found = [...this.byId.values()].filter((job) => job.topicId === topicId);
    return found.sort((a, b) => a.id - b.id);
  }

  put(job: DeadLetterJob): void {
    this.byId.set(job.id, job);
  }

  forget(id: number): void {
    this.byId.delete(id);
  }

  forgetTopic(topicId: TopicId): void {
    for (const job of this.byId.values()) if (job.topicId === topicId) this.byId.delete(job.id);
  }

  forgetSubscription(id: SubscriptionId): void {
    for (const job of this.byId.values()) if (job.subscriptionId === id) this.byId.delete(job.id);
  }
}
