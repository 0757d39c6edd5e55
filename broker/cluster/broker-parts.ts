// What a broker is made of, and what its calls take.
import type { Policy } from '../catalog/policy.ts';
import type { StartPosition } from '../catalog/subscription.ts';
import type { Clock } from '../core/clock.ts';
import type { FailPoint } from '../core/fail-point.ts';
import type { Log } from '../core/log.ts';
import type { Random } from '../core/random.ts';
import type { CatalogStore } from '../shard/catalog-store.ts';
import type { DiskGuard } from '../shard/disk-guard.ts';
import type { Shard } from '../shard/shard.ts';

export interface BrokerIdentity {
  readonly clusterId: string;
  readonly brokerId: string;
  readonly version: string;
}

export interface BrokerParts {
  readonly identity: BrokerIdentity;
  readonly catalog: CatalogStore;
  readonly catalogEpoch: number;
  /** By name; data shards only. */
  readonly shards: ReadonlyMap<string, Shard>;
  readonly disk: DiskGuard;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly failPoint: FailPoint;
  readonly publishPendingBytes: number;
  /** What topics get for which nobody says anything. */
  readonly clusterPolicy: Policy;
  /** Where cold records are, for people. */
  readonly objectStore: string;
}

export interface SeekTargets {
  readonly to: readonly { readonly partition: number; readonly position: StartPosition }[];
  /** For partitions that `to` does not name. */
  readonly all: StartPosition | undefined;
}
