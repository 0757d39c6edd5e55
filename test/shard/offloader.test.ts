// What an offload that is waited for promises: everything that was there when it was asked for.
import { describe, expect, it } from 'vitest';
import { partitionId, tenantId } from '../../broker/core/ids.ts';
import { seededRandom } from '../../broker/core/random.ts';
import { systemClock } from '../../broker/core/clock.ts';
import type { ShardTierOptions } from '../../broker/shard/shard-tier.ts';
import { Shard } from '../../broker/shard/shard.ts';
import { idleTier } from '../support/idle-tier.ts';
import { MemoryObjectStore } from '../support/memory-object-store.ts';
import { rejectionOf } from '../support/reason-of.ts';
import { SimulatedDisk } from '../support/simulated-disk.ts';
import { TieredShard } from '../support/tiered-shard.ts';

const KiB = 1024;
const partition = partitionId(1);
const bystander = partitionId(99);
const forever = { ageMs: 0, bytes: 0, forever: true, unackedAgeMs: 0 };
const policy = {
  tenant: tenantId(1),
  retention: forever,
  hot: { ageMs: 0, bytes: 0 },
  backlog: { bytes: 0, policy: 'refuse_publish' as const },
  timeToLiveMs: 0,
};

async function openShard(tier: Partial<ShardTierOptions>): Promise<Shard> {
  const random = seededRandom(1);
  const shard = await Shard.open({
    storage: new SimulatedDisk(random).storage(),
    name: '0',
    epoch: 1,
    volumeId: 'v',
    log: { info: () => {}, warn: () => {}, error: () => {} },
    generationBytes: 4 * KiB * KiB,
    tailCacheBytes: 1_000,
    clock: systemClock,
    random,
    tier: { ...idleTier(), ...tier },
    onFatal: (error) => {
      throw error;
    },
  });
  shard.tier.start({ of: () => policy });
  return shard;
}

/** Appends batches of so many bytes; resolves when they are durable. */
async function append(shard: Shard, count: number, bytes: number): Promise<void> {
  const log = shard.partition(partition);
  for (let i = 0; i < count; i++) {
    const request = {
      publisher: undefined,
      sequence: 0,
      expectedOffset: undefined,
      body: Buffer.alloc(bytes, i),
      recordCount: 1,
      compressed: false,
      keyed: false,
    };
    log.append(request, systemClock.wallMs(), () => {});
    await log.behindAppends();
  }
}

describe('an offload that is waited for', () => {
  it('leaves nothing behind where objects end at batches', async () => {
    // Room for objects of 300 KiB, which take one batch of 200 KiB each.
    const shard = await openShard({ storeRoomBytes: () => 1_200 * KiB });
    await append(shard, 40, 200 * KiB);
    await shard.tier.offloader.offloadNow([partition]);
    expect(shard.partition(partition).offloadedEnd).toBe(40);
  });

  it('waits for a generation that is just being sealed', async () => {
    const shard = await openShard({});
    await append(shard, 21, 200 * KiB);
    await shard.tier.offloader.offloadNow([partition]);
    expect(shard.partition(partition).offloadedEnd).toBe(21);
  });

  it('is refused when the broker stops before it is done', async () => {
    const shard = await openShard({});
    await append(shard, 3, 200 * KiB);
    await shard.tier.stop();
    const refusal = await rejectionOf(shard.tier.offloader.offloadNow([partition]));
    expect(refusal?.reason).toBe('STORE_FAILED');
  });

  it('is done with what was deleted meanwhile', async () => {
    const objects = new MemoryObjectStore();
    const shard = await openShard({ objects });
    await append(shard, 3, 200 * KiB);
    const offloading = shard.tier.offloader.offloadNow([partition]);
    await shard.dropPartitions([partition]);
    await offloading;
    await shard.tier.sweep();
    expect([...objects.objects.keys()].filter((key) => key.endsWith('.seg'))).toEqual([]);
  });
});

describe('an offload under way', () => {
  it('is no failure when its records expire and leave the disk while it waits for its turn', async () => {
    const tiered = await TieredShard.open({ tier: { offloadBytesPerSecond: 1_000 } });
    for (let i = 0; i < 10; i++) await tiered.publish(Buffer.alloc(500, i));
    const { tier, journal } = tiered.shard;
    const offloading = tier.offloader.offloadNow([partition]);
    offloading.catch(() => {});
    while (tier.offloader.figures.objects === 0) await tiered.until(Promise.resolve());
    const log = tiered.log();
    await tiered.until(log.trim(log.endOffset));
    for (let i = 0; i < 3; i++) {
      await tiered.publish(Buffer.alloc(1), 1, bystander);
      await tiered.until(journal.sealNewest());
    }
    tiered.retention.set(partition, { ageMs: 0, bytes: 0, forever: false, unackedAgeMs: 0 });
    await tiered.retain();
    expect(journal.index.firstOffset(partition)).toBeUndefined();
    await tiered.until(offloading);
    expect(tier.offloader.figures).toMatchObject({ failures: 0, lastFailure: '' });
  });
});
