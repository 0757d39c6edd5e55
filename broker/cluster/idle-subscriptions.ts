// Finds subscriptions that nobody has consumed for as long as their spec allows. Pure.
//
// Invariants:
// - what has a consumer is not idle, and its time begins anew when the last one leaves;
// - after a restart of the broker, and after a change of the spec, the time begins anew.
import type { SubscriptionId } from '../core/ids.ts';

export interface ExpiringSubscription {
  readonly id: SubscriptionId;
  /** Full name. */
  readonly topic: string;
  readonly name: string;
  readonly expiresAfterMs: number;
  readonly consumers: number;
}

export class IdleSubscriptions {
  private readonly idleSince = new Map<SubscriptionId, { atMs: number; expiresAfterMs: number }>();

  /** Those whose time is over. Looked at again and again with all subscriptions that may expire. */
  due(subscriptions: Iterable<ExpiringSubscription>, nowMs: number): ExpiringSubscription[] {
    const due: ExpiringSubscription[] = [];
    const seen = new Set<SubscriptionId>();
    for (const subscription of subscriptions) {
      const { id, expiresAfterMs, consumers } = subscription;
      seen.add(id);
      const known = this.idleSince.get(id);
      if (consumers > 0 || known?.expiresAfterMs !== expiresAfterMs) {
        this.idleSince.set(id, { atMs: nowMs, expiresAfterMs });
      } else if (nowMs - known.atMs >= expiresAfterMs) due.push(subscription);
    }
    for (const id of this.idleSince.keys()) if (!seen.has(id)) this.idleSince.delete(id);
    return due;
  }
}
