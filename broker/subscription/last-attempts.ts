// Which consumer holds a retried record that is on its last attempt.
//
// Invariant: a consumer holds one of a partition at a time. What kills its consumer again and again has its neighbours
// fail as often as itself; several of them at one consumer would all become dead letters when it dies.
import type { LeaseIndex } from './lease-index.ts';

export class LastAttempts {
  private readonly leases: LeaseIndex;
  /** Consumer to lease; the lease may have ended. */
  private readonly held = new Map<number, number>();

  constructor(leases: LeaseIndex) {
    this.leases = leases;
  }

  granted(consumer: number, lease: number): void {
    this.held.set(consumer, lease);
  }

  isHeldBy(consumer: number): boolean {
    const lease = this.held.get(consumer);
    return lease !== undefined && this.leases.get(lease) !== undefined;
  }

  /** The consumer is gone. */
  forget(consumer: number): void {
    this.held.delete(consumer);
  }
}
