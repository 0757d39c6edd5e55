// What the catalog says about a partition, as its shard uses it. No policy loaded: nothing is deleted or offloaded.
import type { PartitionId, TenantId } from '../core/ids.ts';
import type { HotWindow } from './hot-plan.ts';

/** As in millrace.v1.Retention; 0 means not set. */
export interface RetentionPolicy {
  readonly ageMs: number;
  readonly bytes: number;
  readonly forever: boolean;
  readonly unackedAgeMs: number;
}

/** As in millrace.v1.BacklogQuota; 0 bytes means no limit. */
export interface BacklogPolicy {
  readonly bytes: number;
  readonly policy: 'refuse_publish' | 'drop_oldest';
}

export interface PartitionPolicy {
  readonly tenant: TenantId;
  readonly retention: RetentionPolicy;
  readonly hot: HotWindow;
  readonly backlog: BacklogPolicy;
  /** For records published from now on; 0: none. */
  readonly timeToLiveMs: number;
}

export interface ShardPolicies {
  of(partition: PartitionId): PartitionPolicy | undefined;
}
