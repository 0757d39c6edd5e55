import { afterAll, beforeAll, expect, it } from 'vitest';
import { connect } from '../../client/src/index.ts';
import { SecuredBroker } from '../support/secured-broker.ts';

const topic = 'acme/x/t';
let secured: SecuredBroker;

beforeAll(async () => {
  secured = await SecuredBroker.start();
});
afterAll(() => secured[Symbol.asyncDispose]());

it('stops who administers a tenant over its calls, and nobody who operates the cluster', async () => {
  const { admin } = secured;
  await admin.tenants.apply('acme', { quota: { adminCallsPerSecond: 1 } });
  await admin.topics.apply(topic);
  const token = await secured.grant('owner', 'acme', 'administer');
  await using owner = connect({ server: secured.server, token });
  const outcomes = await Promise.allSettled(
    Array.from({ length: 20 }, () => owner.topics.get(topic)),
  );
  const refused = outcomes.filter(({ status }) => status === 'rejected');
  expect(refused.length).toBeGreaterThan(10);
  expect(refused[0]).toMatchObject({ reason: { reason: 'QUOTA_EXCEEDED' } });
  // What the tenant uses can be looked at all the same, and whoever operates gets through.
  expect((await owner.tenants.get('acme')).usage.refusedTotal).toBe(refused.length);
  for (let i = 0; i < 20; i++) await admin.topics.get(topic);
});
