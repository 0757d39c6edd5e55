// A deleted topic's partitions are gone for good, whatever was still under way with them.
import { describe, expect, it } from 'vitest';
import { partitionId, subscriptionId } from '../../broker/core/ids.ts';
import { TieredShard } from '../support/tiered-shard.ts';

const partition = partitionId(1);
const records = 10;

/** Begins what asks the store for a page, drops the partition, and has the store answer only then. */
async function droppedWhile(tiered: TieredShard, begin: () => Promise<unknown>): Promise<void> {
  const { asked, release } = tiered.holdGets();
  const work = begin();
  await tiered.until(asked);
  await tiered.until(tiered.shard.dropPartitions([partition]));
  release();
  await tiered.until(work);
}

function partitionsOf(tiered: TieredShard): number[] {
  return [...tiered.shard.partitions()].map(({ id }) => id);
}

describe('a partition that is dropped', () => {
  it('does not come back by retention that asked the store before', async () => {
    const tiered = await TieredShard.cold(records);
    tiered.retention.set(partition, { ageMs: 0, bytes: 300, forever: false, unackedAgeMs: 0 });
    await droppedWhile(tiered, () => tiered.shard.retain(tiered.policies));
    expect(partitionsOf(tiered)).not.toContain(partition);
    await tiered.restart();
    expect(partitionsOf(tiered)).not.toContain(partition);
  });

  it('does not come back by a subscription that asked the store where to begin', async () => {
    const tiered = await TieredShard.cold(records);
    await droppedWhile(tiered, () =>
      tiered.shard.openSubscription({
        id: subscriptionId(1),
        kind: 'stream',
        names: { topic: 't', subscription: 's' },
        policy: { ackDeadlineMs: 1_000, backoffMinMs: 10, backoffMaxMs: 100 },
        paused: false,
        start: { kind: 'time', timeMs: tiered.clock.wallMs() - 1_000_000 },
        partitions: [{ id: partition, index: 0 }],
      }),
    );
    expect(partitionsOf(tiered)).not.toContain(partition);
    expect(tiered.shard.subscription(subscriptionId(1))?.dispatcher(partition)).toBeUndefined();
  });
});
