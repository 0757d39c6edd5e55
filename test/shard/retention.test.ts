// Retention over both tiers: what is inside the window stays, wherever it is.
import { describe, expect, it } from 'vitest';
import { partitionId } from '../../broker/core/ids.ts';
import { TieredShard } from '../support/tiered-shard.ts';

const partition = partitionId(1);

describe('a window of bytes', () => {
  it('never removes a record inside of it, though its segment begins outside', async () => {
    const tiered = await TieredShard.open();
    for (let i = 0; i < 10; i++) await tiered.publish(Buffer.alloc(100, i));
    await tiered.cool();
    tiered.retention.set(partition, { ageMs: 0, bytes: 400, forever: false, unackedAgeMs: 0 });
    await tiered.retain();
    expect(tiered.log().startOffset).toBeLessThanOrEqual(8);
  });
});
