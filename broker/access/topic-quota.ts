// The quotas that a topic is under: its tenant's and its namespace's.
//
// Invariants:
// - Publishing and delivery ask both; what passes is charged to both.
// - An append of a stream is refused for a rate only when so much is owed that its publisher cannot be one that was
//   told to wait: everybody else is held back by not being read.
import { BrokerError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import { longerOf, type Hold, type ScopeQuota, type StreamHold } from './quota-state.ts';

/** Who publishes: `held` is read no further while there is no room; `unary` is told when to come again. */
export type PublishMode = 'held' | 'unary';

/** Stored bytes fall by retention, which is slow. */
const storedRetryMs = 5_000;
const connectionRetryMs = 1_000;

export class TopicQuota {
  private readonly scopes: readonly ScopeQuota[];

  constructor(tenant: ScopeQuota, namespace: ScopeQuota) {
    this.scopes = [tenant, namespace];
  }

  /** Throws QUOTA_EXCEEDED. Charges nothing: what is refused elsewhere costs nothing. */
  admitPublish(mode: PublishMode, nowMs: number): void {
    for (const scope of this.scopes) {
      if (scope.isStoredFull) {
        const { storedBytes } = scope.quota;
        throw refused(scope, 'stored_bytes', storedBytes, storedRetryMs);
      }
      const hold = scope.publishHold(nowMs);
      if (hold === undefined || (mode === 'held' && !owesTooMuch(scope, nowMs))) continue;
      const { publishBytesPerSecond, publishRecordsPerSecond } = scope.quota;
      const isBytes = hold.quota === 'publish_bytes_per_second';
      const limit = isBytes ? publishBytesPerSecond : publishRecordsPerSecond;
      throw refused(scope, hold.quota, limit, hold.waitMs);
    }
  }

  published(bytes: number, records: number, nowMs: number): void {
    for (const scope of this.scopes) scope.published(bytes, records, nowMs);
  }

  delivered(bytes: number, nowMs: number): void {
    for (const scope of this.scopes) scope.delivered(bytes, nowMs);
  }

  /** Why streams that publish must wait now. */
  publishHold(nowMs: number): StreamHold | undefined {
    const [tenant, namespace] = this.scopes;
    return longerOf(tenant?.publishStreamHold(nowMs), namespace?.publishStreamHold(nowMs));
  }

  /** Why deliveries must wait now. */
  deliveryHold(nowMs: number): StreamHold | undefined {
    const [tenant, namespace] = this.scopes;
    return longerOf(tenant?.deliveryHold(nowMs), namespace?.deliveryHold(nowMs));
  }

  /** For a call that cannot be held back. Throws QUOTA_EXCEEDED. */
  admitDelivery(nowMs: number): void {
    const hold = this.deliveryHold(nowMs);
    const scope = this.scopes.find((one) => one.scope === hold?.scope);
    if (hold === undefined || scope === undefined) return;
    throw refused(scope, hold.quota, scope.quota.deliveryBytesPerSecond, hold.waitMs);
  }

  /** Counts that a stream waits for it; false: it is of another tenant. */
  noteHeldBack({ scope }: Hold): boolean {
    const held = this.scopes.find((one) => one.scope === scope);
    if (held !== undefined) held.heldBackTotal++;
    return held !== undefined;
  }

  /** A stream of the connection opens on the topic. Answers how it closes. Throws QUOTA_EXCEEDED. */
  openStream(connection: string): () => void {
    for (const scope of this.scopes) {
      if (!scope.isConnectionFull(connection)) continue;
      throw refused(scope, 'connections', scope.quota.connections, connectionRetryMs);
    }
    for (const scope of this.scopes) scope.openStream(connection);
    let isOpen = true;
    return () => {
      if (!isOpen) return;
      isOpen = false;
      for (const scope of this.scopes) scope.closeStream(connection);
    };
  }
}

function owesTooMuch(scope: ScopeQuota, nowMs: number): boolean {
  const { bytes, records } = scope.publishOwed(nowMs);
  const { publishBytesPerSecond, publishRecordsPerSecond } = scope.quota;
  return (
    bytes > limits.quotaDebtBytesMax + publishBytesPerSecond ||
    records > limits.quotaDebtRecordsMax + publishRecordsPerSecond
  );
}

/** What a caller over a quota is told; it counts. */
export function refused(
  scope: ScopeQuota,
  quota: string,
  limit: number,
  retryAfterMs: number,
): BrokerError {
  scope.refusedTotal++;
  return new BrokerError(
    'QUOTA_EXCEEDED',
    `${quota} of ${scope.scope} is ${limit} and used up; try again in ${retryAfterMs} ms, or have it raised`,
    { metadata: { quota, scope: scope.scope, limit: String(limit) }, retryAfterMs },
  );
}
