// The tier of a shard that is tested for something else: an empty store in memory, nothing offloaded unless asked for.
import { noFailPoint } from '../../broker/core/fail-point.ts';
import { silentMetrics } from '../../broker/core/metrics.ts';
import type { ShardTierOptions } from '../../broker/shard/shard-tier.ts';
import { BlockCache } from '../../broker/tier/block-cache.ts';
import { Slots } from '../../broker/tier/slots.ts';
import { MemoryObjectStore } from './memory-object-store.ts';

export function idleTier(): ShardTierOptions {
  return {
    objects: new MemoryObjectStore(),
    memory: { blocks: new BlockCache(1024 * 1024), slots: new Slots(2) },
    readLatency: silentMetrics.histogram('', '', []),
    failPoint: noFailPoint,
    sealAgeMs: Infinity,
    offloadAgeMs: Infinity,
    offloadBytesPerSecond: 0,
    garbageGraceMs: 0,
    manifestPageRows: 256,
    hotRoom: () => ({ budgetBytes: Infinity, isDiskTight: false }),
    storeRoomBytes: () => Infinity,
    takeStoreRoom: () => () => {},
    publishCheckpoint: () => Promise.resolve(),
  };
}
