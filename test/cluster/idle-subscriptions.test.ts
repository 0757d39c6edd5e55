import { describe, expect, it } from 'vitest';
import { IdleSubscriptions } from '../../broker/cluster/idle-subscriptions.ts';
import { subscriptionId } from '../../broker/core/ids.ts';

const subscription = (consumers: number, expiresAfterMs = 100) => ({
  id: subscriptionId(7),
  topic: 'public/default/t',
  name: 's',
  expiresAfterMs,
  consumers,
});

describe('an idle subscription', () => {
  it('is due when nobody came for its time, counted from when it was seen first', () => {
    const idle = new IdleSubscriptions();
    expect(idle.due([subscription(0)], 1_000)).toEqual([]);
    expect(idle.due([subscription(0)], 1_099)).toEqual([]);
    expect(idle.due([subscription(0)], 1_100)).toEqual([subscription(0)]);
  });

  it('is not while it has a consumer, and has its whole time again when that leaves', () => {
    const idle = new IdleSubscriptions();
    idle.due([subscription(0)], 0);
    expect(idle.due([subscription(1)], 500)).toEqual([]);
    expect(idle.due([subscription(0)], 599)).toEqual([]);
    expect(idle.due([subscription(0)], 600)).toHaveLength(1);
  });

  it('has its whole time again when its spec changes, or when it was away', () => {
    const idle = new IdleSubscriptions();
    idle.due([subscription(0)], 0);
    expect(idle.due([subscription(0, 50)], 500)).toEqual([]);
    expect(idle.due([subscription(0, 50)], 550)).toHaveLength(1);
    idle.due([], 560);
    expect(idle.due([subscription(0, 50)], 700)).toEqual([]);
  });
});
