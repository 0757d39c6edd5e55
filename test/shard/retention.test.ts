// Retention over both tiers: what is inside the window stays, and so does what somebody still has to ack.
import { describe, expect, it } from 'vitest';
import { partitionId, subscriptionId } from '../../broker/core/ids.ts';
import { turn } from '../support/simulated-disk.ts';
import { TieredShard } from '../support/tiered-shard.ts';

const partition = partitionId(1);
const records = 10;

async function cooled(): Promise<TieredShard> {
  const tiered = await TieredShard.open();
  for (let i = 0; i < records; i++) {
    await tiered.publish(Buffer.alloc(100, i));
    // A segment each, so that there are pages of them.
    await tiered.until(tiered.shard.tier.offloader.offloadNow([partition]));
  }
  await tiered.cool();
  return tiered;
}

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
    const tiered = await cooled();
    const subscription = await tiered.until(
      tiered.shard.openSubscription({
        id: subscriptionId(1),
        kind: 'stream',
        policy: { ackDeadlineMs: 1_000, backoffMinMs: 10, backoffMaxMs: 100 },
        paused: false,
        start: { kind: 'latest' },
        partitions: [{ id: partition, index: 0 }],
      }),
    );
    tiered.retention.set(partition, { ageMs: 0, bytes: 300, forever: false, unackedAgeMs: 0 });
    // A restart has forgotten what manifest pages say, and the store takes its time to say it again.
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
    const get = tiered.objects.get.bind(tiered.objects);
    let isAsked = false;
    tiered.objects.get = async (...args) => {
      isAsked = true;
      await answered;
      return get(...args);
    };
    const retaining = tiered.shard.retain(tiered.policies);
    for (let i = 0; i < 10 && !isAsked; i++) await turn();
    expect(isAsked).toBe(true);
    await tiered.until(subscription.dispatcher(partition)?.seek(0) ?? Promise.resolve());
    answer();
    await tiered.until(retaining);
    expect(tiered.log().startOffset).toBe(0);
    // The next look takes what it finds then.
    await tiered.until(subscription.dispatcher(partition)?.seek(records) ?? Promise.resolve());
    await tiered.retain();
    expect(tiered.log().startOffset).toBeGreaterThan(0);
  });
});
