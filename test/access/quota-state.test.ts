import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RateBucket, ScopeQuota } from '../../broker/access/quota-state.ts';
import { TopicQuota } from '../../broker/access/topic-quota.ts';
import { noQuota, type Quota } from '../../broker/catalog/quota.ts';
import { limits } from '../../broker/core/limits.ts';
import { errorOf, reasonOf } from '../support/reason-of.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

function scope(name: string, quota: Partial<Quota> = {}): ScopeQuota {
  const made = new ScopeQuota(name, new VirtualClock());
  made.change({ ...noQuota, ...quota }, 0);
  return made;
}

describe('a rate', () => {
  it('lets one second through at once after a pause, and then its rate', () => {
    const bucket = new RateBucket();
    bucket.change(100, 0);
    expect(bucket.waitMs(0)).toBe(0);
    bucket.take(100, 0);
    expect(bucket.waitMs(0)).toBeGreaterThan(0);
    expect(bucket.waitMs(10)).toBe(0);
    // A long pause saves up no more than the burst.
    bucket.take(100, 3_600_000);
    expect(bucket.waitMs(3_600_000)).toBeGreaterThan(0);
  });

  it('lets a batch through that is larger than the burst, and has it paid', () => {
    const bucket = new RateBucket();
    bucket.change(100, 0);
    bucket.take(1_100, 0);
    expect(bucket.waitMs(0)).toBe(10_000);
    expect(bucket.waitMs(9_000)).toBe(1_000);
    expect(bucket.waitMs(10_001)).toBe(0);
  });

  it('is changed at once, and a limit taken away frees', () => {
    const bucket = new RateBucket();
    bucket.change(10, 0);
    bucket.take(1_010, 0);
    expect(bucket.waitMs(0)).toBe(100_000);
    bucket.change(1_000, 0);
    expect(bucket.waitMs(0)).toBe(1_000);
    bucket.change(0, 0);
    expect(bucket.waitMs(0)).toBe(0);
    bucket.change(10, 0);
    expect(bucket.waitMs(0)).toBe(0);
  });

  it('never lets more through than rate, burst, and one message per stream', () => {
    const steps = fc.array(
      fc.record({ afterMs: fc.nat(500), bytes: fc.integer({ min: 1, max: 400 }) }),
      { maxLength: 200 },
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000 }), steps, (rate, takes) => {
        const bucket = new RateBucket();
        bucket.change(rate, 0);
        let nowMs = 0;
        let passed = 0;
        for (const { afterMs, bytes } of takes) {
          nowMs += afterMs;
          const waitMs = bucket.waitMs(nowMs);
          if (waitMs > 0) {
            // Who waits as long as it is told may go on.
            expect(bucket.waitMs(nowMs + waitMs + 1)).toBe(0);
            nowMs += waitMs + 1;
          }
          bucket.take(bytes, nowMs);
          passed += bytes;
          expect(passed).toBeLessThanOrEqual((rate * nowMs) / 1_000 + rate + 400 + 1);
        }
      }),
    );
  });
});

describe('the quotas of a topic', () => {
  it('hold back for the tenant and for the namespace, whichever takes longer', () => {
    const tenant = scope('acme', { publishBytesPerSecond: 1_000 });
    const namespace = scope('acme/x', { publishBytesPerSecond: 100 });
    const quota = new TopicQuota(tenant, namespace);
    expect(quota.publishHold(0)).toBeUndefined();
    quota.published(1_100, 1, 0);
    expect(quota.publishHold(0)).toMatchObject({
      quota: 'publish_bytes_per_second',
      scope: 'acme/x',
      waitMs: 10_000,
    });
    // Another namespace of the tenant feels the tenant's quota only.
    const other = new TopicQuota(tenant, scope('acme/y'));
    // It owes 100 bytes, and at the peak 900.
    expect(other.publishHold(0)).toMatchObject({ scope: 'acme', waitMs: 225 });
    expect(tenant.publishHold(0)).toMatchObject({ waitMs: 100 });
    // Another tenant feels nothing.
    expect(new TopicQuota(scope('beta'), scope('beta/x')).publishHold(0)).toBeUndefined();
  });

  it('let streams publish what was saved up at four times the rate, and a call at once', () => {
    const quota = new TopicQuota(
      scope('acme', { publishBytesPerSecond: 1_000, publishRecordsPerSecond: 1_000 }),
      scope('acme/x'),
    );
    let passed = 0;
    let nowMs = 0;
    for (; nowMs < 125; nowMs += 5) {
      if (quota.publishHold(nowMs) !== undefined) continue;
      quota.published(50, 10, nowMs);
      passed += 50;
    }
    // 50 ms of the peak at once, then the peak, and the last batch may overdraw.
    expect(passed).toBeGreaterThanOrEqual(4 * 125);
    expect(passed).toBeLessThanOrEqual(4 * 125 + 4 * 50 + 50);
    quota.published(200, 10, nowMs);
    expect(quota.publishHold(nowMs)?.quota).toBe('publish_bytes_per_second');
    expect(reasonOf(() => quota.admitPublish('unary', nowMs))).toBe('nothing');
  });

  it.each([
    [{ publishBytesPerSecond: 10 }, 'publish_bytes_per_second'],
    [{ publishRecordsPerSecond: 10 }, 'publish_records_per_second'],
  ])('refuse a unary call with the name of %j and a delay, and charge nothing', (limit, name) => {
    const quota = new TopicQuota(scope('acme', limit), scope('acme/x'));
    quota.published(30, 30, 0);
    const error = errorOf(() => quota.admitPublish('unary', 0));
    expect(error?.reason).toBe('QUOTA_EXCEEDED');
    expect(error?.metadata).toMatchObject({ quota: name, scope: 'acme', limit: '10' });
    expect(error?.retryAfterMs).toBe(2_000);
    expect(reasonOf(() => quota.admitPublish('held', 0))).toBe('nothing');
    expect(reasonOf(() => quota.admitPublish('unary', 2_001))).toBe('nothing');
  });

  it('refuse a stream only when it owes far more than frames on their way', () => {
    const quota = new TopicQuota(scope('acme', { publishBytesPerSecond: 10 }), scope('acme/x'));
    quota.published(limits.quotaDebtBytesMax, 1, 0);
    expect(reasonOf(() => quota.admitPublish('held', 0))).toBe('nothing');
    quota.published(1_000, 1, 0);
    expect(reasonOf(() => quota.admitPublish('held', 0))).toBe('QUOTA_EXCEEDED');
  });

  it('refuse what would be stored beyond the quota, until there is less', () => {
    const tenant = scope('acme', { storedBytes: 100 });
    const quota = new TopicQuota(tenant, scope('acme/x'));
    quota.published(100, 1, 0);
    const error = errorOf(() => quota.admitPublish('held', 0));
    expect(error?.metadata['quota']).toBe('stored_bytes');
    expect(error?.retryAfterMs).toBeGreaterThan(0);
    tenant.storedBytes = 99;
    expect(reasonOf(() => quota.admitPublish('held', 0))).toBe('nothing');
  });

  it('hold back deliveries apart from publishing', () => {
    const quota = new TopicQuota(scope('acme', { deliveryBytesPerSecond: 10 }), scope('acme/x'));
    quota.published(1_000, 1_000, 0);
    expect(quota.deliveryHold(0)).toBeUndefined();
    quota.delivered(20, 0);
    expect(quota.deliveryHold(0)).toMatchObject({ quota: 'delivery_bytes_per_second' });
    expect(quota.publishHold(0)).toBeUndefined();
    expect(reasonOf(() => quota.admitDelivery(0))).toBe('QUOTA_EXCEEDED');
    expect(reasonOf(() => quota.admitDelivery(1_001))).toBe('nothing');
  });

  it('count a connection once, however many streams it has, until the last one closes', () => {
    const tenant = scope('acme', { connections: 1 });
    const quota = new TopicQuota(tenant, scope('acme/x'));
    const first = quota.openStream('a');
    const second = quota.openStream('a');
    expect(tenant.connectionCount).toBe(1);
    expect(errorOf(() => quota.openStream('b'))?.metadata['quota']).toBe('connections');
    first();
    first();
    expect(reasonOf(() => quota.openStream('b'))).toBe('QUOTA_EXCEEDED');
    second();
    expect(tenant.connectionCount).toBe(0);
    expect(reasonOf(() => quota.openStream('b'))).toBe('nothing');
  });

  it('count nothing in the one scope when the other refuses', () => {
    const tenant = scope('acme');
    const quota = new TopicQuota(tenant, scope('acme/x', { connections: 1 }));
    quota.openStream('a');
    expect(reasonOf(() => quota.openStream('b'))).toBe('QUOTA_EXCEEDED');
    expect(tenant.connectionCount).toBe(1);
  });
});
