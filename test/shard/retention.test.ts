// Retention over both tiers: what is inside the window stays, and so does what somebody still has to ack.
import { describe, expect, it } from 'vitest';
import { partitionId, subscriptionId } from '../../broker/core/ids.ts';
import { TieredShard } from '../support/tiered-shard.ts';

const partition = partitionId(1);
const records = 10;

describe('a window of bytes', () => {
  it('never removes a record inside of it, though its segment begins outside', async () => {
    const tiered = await TieredShard.open();
    for (let i = 0; i < records; i++) await tiered.publish(Buffer.alloc(100, i));
    await tiered.cool();
    tiered.retention.set(partition, { ageMs: 0, bytes: 400, forever: false, unackedAgeMs: 0 });
    await tiered.retain();
    expect(tiered.log().startOffset).toBeLessThanOrEqual(8);
  });
});

describe('what a subscription has acked', () => {
  it('stays when the subscription is moved back while the store is asked how much to keep', async () => {
    const tiered = await TieredShard.cold(records);
    const subscription = await tiered.until(
      tiered.shard.openSubscription({
        id: subscriptionId(1),
        kind: 'stream',
        names: { topic: 't', subscription: 's' },
        policy: { ackDeadlineMs: 1_000, backoffMinMs: 10, backoffMaxMs: 100 },
        paused: false,
        start: { kind: 'latest' },
        partitions: [{ id: partition, index: 0 }],
      }),
    );
    tiered.retention.set(partition, { ageMs: 0, bytes: 300, forever: false, unackedAgeMs: 0 });
    const { asked, release } = tiered.holdGets();
    const retaining = tiered.shard.retain(tiered.policies);
    await tiered.until(asked);
    await tiered.until(subscription.dispatcher(partition)?.seek(0) ?? Promise.resolve());
    release();
    await tiered.until(retaining);
    expect(tiered.log().startOffset).toBe(0);
    // The next look takes what it finds then.
    await tiered.until(subscription.dispatcher(partition)?.seek(records) ?? Promise.resolve());
    await tiered.retain();
    expect(tiered.log().startOffset).toBeGreaterThan(0);
  });
});
