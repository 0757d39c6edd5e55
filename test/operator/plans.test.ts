// The plans of the operator, without any of its surroundings.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Grant, Policy, Tenant, Topic } from '../../client/src/index.ts';
import {
  coarseCount,
  coarseSize,
  durationMs,
  isFar,
  sizeBytes,
} from '../../operator/objects/amounts.ts';
import { labelDifference } from '../../operator/objects/ownership.ts';
import { policyDifference } from '../../operator/objects/policy-spec.ts';
import { standingOf } from '../../operator/objects/standing.ts';
import type { TenantObject } from '../../operator/objects/tenant-object.ts';
import type { TopicObject, TopicObjectSpec } from '../../operator/objects/topic-object.ts';
import { planGrants } from '../../operator/tenant/grants-plan.ts';
import { planTenant } from '../../operator/tenant/tenant-plan.ts';
import { planTopic, type ObservedTopic } from '../../operator/topic/topic-plan.ts';

const nobody: ReadonlySet<string> = new Set();

function topicObject(spec: Partial<TopicObjectSpec> = {}, uid = 'u1', made = '1'): TopicObject {
  return {
    apiVersion: 'millrace.dev/v1alpha1',
    kind: 'Topic',
    metadata: {
      name: 'orders',
      namespace: 'shop',
      uid,
      resourceVersion: '1',
      creationTimestamp: made,
    },
    spec: {
      ...{ tenant: 'acme', namespace: 'default', partitions: 1, adopt: false },
      ...{ deletionPolicy: 'Retain', managementPolicy: 'Full' },
      ...spec,
    },
  };
}

function tenantObject(spec: Partial<TenantObject['spec']> = {}): TenantObject {
  return {
    apiVersion: 'millrace.dev/v1alpha1',
    kind: 'Tenant',
    metadata: { name: 'acme', uid: 't1', resourceVersion: '1' },
    spec: {
      ...{ deletionPolicy: 'Retain', managementPolicy: 'Full', adopt: false },
      kubernetesNamespaces: ['shop'],
      ...spec,
    },
  };
}

const owner = {
  'millrace.dev/managed-by': 'Topic/shop/orders',
  'millrace.dev/managed-by-uid': 'u1',
};

function observed(spec: Partial<Topic['spec']> = {}, labels: object = owner): ObservedTopic {
  // Only what plans read.
  const topic = { revision: '7', topicId: '3', spec: { partitions: 1, labels, ...spec } } as Topic;
  return { topic, subscriptions: [] };
}

describe('the plan of a topic', () => {
  it('makes what is missing, with the label of its object, only while it is missing', () => {
    const plan = planTopic(
      topicObject({ timeToLive: '1h' }),
      { topic: undefined, subscriptions: [] },
      nobody,
    );
    expect(plan).toEqual({
      kind: 'act',
      actions: [
        {
          ...{ kind: 'apply-topic', revision: '0', inherit: [] },
          patch: { partitions: 1, labels: owner, timeToLiveMs: 3_600_000 },
        },
      ],
    });
  });

  it('does nothing when all is as described', () => {
    expect(planTopic(topicObject(), observed(), nobody)).toEqual({ kind: 'act', actions: [] });
  });

  it('says only what differs, on the revision that it saw', () => {
    const object = topicObject({ partitions: 3, timeToLive: '1h', labels: { team: 'a' } });
    const there = observed({ timeToLiveMs: 5, batchBytesMax: 4096 }, { ...owner, old: 'x' });
    expect(planTopic(object, there, nobody)).toEqual({
      kind: 'act',
      actions: [
        {
          ...{ kind: 'apply-topic', revision: '7', inherit: ['batchBytesMax'] },
          patch: { partitions: 3, timeToLiveMs: 3_600_000, labels: { team: 'a', old: '' } },
        },
      ],
    });
  });

  const foreign = { 'millrace.dev/managed-by': 'Topic/x/y', 'millrace.dev/managed-by-uid': 'u2' };
  it.each([
    ['what nobody manages', {}, {}, nobody, 'NotAdopted'],
    ['what nobody manages, when asked', {}, { adopt: true }, nobody, 'act'],
    ['what another manages', foreign, {}, nobody, 'Conflict'],
    ['what another manages that gives way', foreign, {}, new Set(['u2']), 'act'],
    ['what has more partitions', owner, { partitions: 0 }, nobody, 'PartitionsDiffer'],
    ['what it may only look at', {}, { managementPolicy: 'Observe' }, nobody, 'act'],
    [
      'what differs while it only looks',
      {},
      { managementPolicy: 'Observe', timeToLive: '1s' },
      nobody,
      'Differs',
    ],
  ] as const)('of %s', (_, labels, spec, givingWay, expected) => {
    const plan = planTopic(topicObject(spec), observed({}, labels), givingWay);
    expect(plan.kind === 'act' ? plan.kind : plan.reason).toBe(expected);
  });

  it('never touches a subscription that it does not name, and resets what was taken out of one', () => {
    const queue = (name: string, spec: object) => ({ name, revision: '9', spec });
    const there = {
      ...observed(),
      subscriptions: [
        queue('theirs', { kind: 'queue', paused: true }),
        queue('ours', {
          ...{ kind: 'queue', paused: false, expiresAfterMs: 0, ackDeadlineMs: 45_000 },
          ...{ backoffMinMs: 100, backoffMaxMs: 60_000, attemptsMax: 0, deadLetterTopic: '' },
          ...{ deadLetterExpired: false, recordsPerSecondMax: 0 },
        }),
      ] as unknown as ObservedTopic['subscriptions'],
    };
    const entry = { name: 'ours', kind: 'Queue', paused: false } as const;
    expect(planTopic(topicObject({ subscriptions: [entry] }), there, nobody)).toEqual({
      kind: 'act',
      actions: [
        {
          kind: 'apply-subscription',
          name: 'ours',
          revision: '9',
          patch: { ackDeadlineMs: 30_000 },
        },
      ],
    });
  });
});

describe('whether a topic may act', () => {
  const older = topicObject({}, 'u0', '0');
  const outside = { ...older, metadata: { ...older.metadata, namespace: 'foreign' } };
  const going = {
    ...tenantObject(),
    metadata: { ...tenantObject().metadata, deletionTimestamp: 'x' },
  };
  it.each([
    ['without a tenant', undefined, [], 'TenantNotFound'],
    [
      'in a namespace that the tenant does not list',
      tenantObject({ kubernetesNamespaces: ['x'] }),
      [],
      'NamespaceNotAllowed',
    ],
    ['of a tenant that goes', going, [], 'TenantDeleted'],
    ['beside an older one', tenantObject(), [older], 'Conflict'],
    ['beside an older one that may not', tenantObject(), [outside], 'acts'],
    ['beside a younger one', tenantObject(), [topicObject({}, 'u9', '2')], 'acts'],
    [
      'beside one of the same second with a higher uid',
      tenantObject(),
      [topicObject({}, 'u9')],
      'acts',
    ],
    [
      'beside one of the same second with a lower uid',
      tenantObject(),
      [topicObject({}, 'u0')],
      'Conflict',
    ],
    [
      'beside an older one that only looks',
      tenantObject(),
      [topicObject({ managementPolicy: 'Observe' }, 'u0', '0')],
      'acts',
    ],
  ] as const)('%s', (_, tenant, others, expected) => {
    const standing = standingOf(topicObject(), tenant, others);
    expect(standing.kind === 'acts' ? standing.kind : standing.reason).toBe(expected);
  });
});

describe('the plan of a tenant', () => {
  it('takes back namespaces and limits that the object does not name', () => {
    const labels = {
      'millrace.dev/managed-by': 'Tenant/acme',
      'millrace.dev/managed-by-uid': 't1',
    };
    const tenant = {
      ...{ revision: '4', labels, policy: {}, quota: { topics: 3 } },
      namespaces: [{ name: 'audit', policy: {}, quota: {} }],
    } as unknown as Tenant;
    const object = tenantObject({ quota: { storedBytes: '1Ki' } });
    expect(planTenant(object, { tenant, grants: [] })).toEqual({
      kind: 'act',
      actions: [
        {
          ...{ kind: 'apply', revision: '4' },
          patch: {
            quota: { storedBytes: 1024, topics: 0 },
            namespaces: { audit: { unset: true } },
          },
        },
      ],
    });
  });

  const grant = (principal: string, scope: string, roles: Grant['roles']): Grant => ({
    ...{ principal, scope, roles, createdAtMs: 0 },
  });
  it.each([
    ['none, when it names none', undefined, [grant('p', 'acme', ['view'])], []],
    [
      'all back, when it names an empty list',
      [],
      [grant('p', 'acme', ['view'])],
      ['revoke acme view'],
    ],
    [
      'what is missing',
      [{ principal: 'p', scope: 'a/b', roles: ['Publish'] }],
      [],
      ['grant acme/a/b publish'],
    ],
    [
      'one role for another',
      [{ principal: 'p', scope: '*', roles: ['Consume'] }],
      [grant('p', 'acme', ['publish'])],
      ['grant acme consume', 'revoke acme publish'],
    ],
    [
      'nothing twice',
      [{ principal: 'p', scope: '*', roles: ['View'] }],
      [grant('p', 'acme', ['view'])],
      [],
    ],
  ] as const)('grants and revokes %s', (_, entries, there, expected) => {
    const actions = planGrants('acme', entries, there);
    expect(actions.map(({ kind, scope, roles }) => `${kind} ${scope} ${roles.join()}`)).toEqual(
      expected,
    );
  });
});

describe('differences', () => {
  const value = fc.nat(3);
  const policy: fc.Arbitrary<Partial<Policy>> = fc.record(
    {
      retention: fc.record({
        ageMs: value,
        bytes: value,
        forever: fc.boolean(),
        unackedAgeMs: value,
      }),
      tiering: fc.record({ hotAgeMs: value, hotBytes: value }),
      timeToLiveMs: value,
      batchBytesMax: value,
    },
    { requiredKeys: [] },
  );
  const labels = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('x', 'y'));

  it('of policies and labels, once applied, leave exactly what is desired and nothing to do', () => {
    fc.assert(
      fc.property(policy, policy, labels, labels, (desired, said, wanted, there) => {
        const { patch, inherit } = policyDifference(desired, said);
        const after: Record<string, unknown> = { ...said, ...patch };
        for (const field of inherit) delete after[field];
        expect(after).toEqual(desired);
        expect(policyDifference(desired, after)).toEqual({ patch: {}, inherit: [] });

        const changed = Object.entries({ ...there, ...labelDifference(wanted, there) });
        const left = Object.fromEntries(changed.filter(([, text]) => text !== ''));
        expect(left).toEqual(wanted);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('amounts', () => {
  it('are read as objects say them', () => {
    expect(['1h30m', '250ms', '0s', '168h'].map(durationMs)).toEqual([
      5_400_000, 250, 0, 604_800_000,
    ]);
    expect(['10Gi', '4096', 7].map(sizeBytes)).toEqual([10 * 2 ** 30, 4096, 7]);
    expect(() => durationMs('1d')).toThrow(/1d/);
    expect(() => sizeBytes('1G')).toThrow(/1G/);
  });

  it('are told so coarsely that small steps are not told', () => {
    expect([0, 1, 3, 999, 5_000_001].map(coarseCount)).toEqual(['0', '1', '2', '500', '5000000']);
    expect([0, 2047, 11 * 2 ** 20].map(coarseSize)).toEqual(['0', '1Ki', '10Mi']);
    expect([
      isFar(0, 0),
      isFar(0, 1),
      isFar(10, 0),
      isFar(10, 39),
      isFar(10, 41),
      isFar(10, 4),
    ]).toEqual([false, true, true, false, true, true]);
  });

  it('that were just told are not far', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (count) => {
        expect(isFar(Number(coarseCount(count)), count)).toBe(false);
        expect(isFar(sizeBytes(coarseSize(count)), Math.max(0, count))).toBe(false);
      }),
    );
  });
});
