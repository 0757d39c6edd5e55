// Settings as they are in force while a history is read, and what they mean for a delivery that fails.
import type { SubscriptionKind } from '../../../broker/subscription/subscription.ts';
import type { Event, Said, Settings } from './history.ts';

export class InForce {
  private readonly settings = new Map<SubscriptionKind, Settings>();

  see(event: Event): void {
    if (event.kind === 'settings') this.settings.set(event.to, event.settings);
  }

  /** Whether a record is dead when this attempt of it fails. */
  isLast({ to, attempt }: { readonly to: SubscriptionKind; readonly attempt: number }): boolean {
    const { attemptsMax = 0 } = this.settings.get(to) ?? {};
    return this.hasTopic(to) && attemptsMax > 0 && attempt >= attemptsMax;
  }

  hasTopic(to: SubscriptionKind): boolean {
    return this.settings.get(to)?.hasDeadLetterTopic === true;
  }

  /** Whether what was said of a delivery kills its record. */
  kills(event: Event): event is Said {
    if (event.kind !== 'said') return false;
    if (event.verb === 'reject') return true;
    return (event.verb === 'nack' || event.verb === 'lost') && this.isLast(event);
  }
}
