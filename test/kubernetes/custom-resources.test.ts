// What the API server itself refuses, and what it says then.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { missingControlPlane } from '../services/control-plane.ts';
import { describeNeeding } from '../support/needs.ts';
import { OperatorFixture } from './operator-fixture.ts';

const queue = { name: 's', kind: 'Queue' };
const refusedTopics: readonly (readonly [string, Readonly<Record<string, unknown>>, RegExp])[] = [
  ['no partitions', { partitions: 0 }, /spec\.partitions.*greater than or equal to 1/],
  ['too many partitions', { partitions: 257 }, /spec\.partitions.*less than or equal to 256/],
  ['a tenant with a slash', { tenant: 'a/b' }, /spec\.tenant/],
  ['a duration that is none', { timeToLive: '1d' }, /spec\.timeToLive/],
  ['a size that is none', { batchBytesMax: '1MB' }, /spec\.batchBytesMax/],
  ['a size below 0', { retention: { bytes: -1 } }, /spec\.retention\.bytes/],
  [
    'forever and an age',
    { retention: { forever: true, age: '1h' } },
    /forever excludes age and bytes/,
  ],
  [
    'unackedAge below age',
    { retention: { age: '2h', unackedAge: '1h' } },
    /unackedAge: at least age/,
  ],
  ['an unknown policy', { deletionPolicy: 'Maybe' }, /spec\.deletionPolicy.*"Retain", "Delete"/],
  [
    'Delete of what is only observed',
    { managementPolicy: 'Observe', deletionPolicy: 'Delete' },
    /never deleted/,
  ],
  ['a label of the operator', { labels: { 'millrace.dev/x': 'y' } }, /the operator's own/],
  ['a label with a space', { labels: { 'a b': 'y' } }, /labels: names are/],
  ['a subscription twice', { subscriptions: [queue, queue] }, /Duplicate value/],
  [
    'a stream with attempts',
    { subscriptions: [{ name: 's', kind: 'Stream', attemptsMax: 3 }] },
    /a Stream has no/,
  ],
  [
    'attempts without dead letters',
    { subscriptions: [{ ...queue, attemptsMax: 3 }] },
    /needs a deadLetterTopic/,
  ],
  [
    'dead letters elsewhere',
    { subscriptions: [{ ...queue, deadLetterTopic: 'b/default/d' }] },
    /of the same tenant/,
  ],
];

describeNeeding(missingControlPlane(), 'the custom resources', () => {
  let kube: OperatorFixture;

  beforeAll(async () => {
    kube = await OperatorFixture.start({ controllers: false });
  }, 240_000);

  afterAll(async () => {
    await kube[Symbol.asyncDispose]();
  }, 60_000);

  it.each(refusedTopics)('refuse a topic with %s', async (_, spec, message) => {
    const outcome = kube.topic('default', 'refused', { tenant: 'a', ...spec });
    await expect(outcome).rejects.toMatchObject({ failure: 'invalid' });
    await expect(outcome).rejects.toThrow(message);
  });

  it('refuse changes of what is immutable', async () => {
    await kube.topic('default', 'fixed', { tenant: 'a', partitions: 2, subscriptions: [queue] });
    const change = (spec: Readonly<Record<string, unknown>>) =>
      kube.patchTopic('default', 'fixed', spec);
    await expect(change({ tenant: 'b' })).rejects.toThrow(/tenant: immutable/);
    await expect(change({ namespace: 'b' })).rejects.toThrow(/namespace: immutable/);
    await expect(change({ topic: 'b' })).rejects.toThrow(/keeps its name/);
    await expect(change({ partitions: 1 })).rejects.toThrow(/never removed/);
    const stream = [{ name: 's', kind: 'Stream' }];
    await expect(change({ subscriptions: stream })).rejects.toThrow(/kind is immutable/);
    expect((await change({ partitions: 3 })).spec.partitions).toBe(3);
  });

  it('fill in defaults and keep what they do not know out', async () => {
    const { spec } = await kube.topic('default', 'plain', { unknown: 1 });
    expect(spec).toEqual({
      ...{ tenant: 'public', namespace: 'default', partitions: 1, adopt: false },
      ...{ deletionPolicy: 'Retain', managementPolicy: 'Full' },
    });
    const tenant = await kube.tenant('plain', {
      grants: [{ principal: 'token:x', roles: ['View'] }],
    });
    expect(tenant.spec.grants).toEqual([{ principal: 'token:x', scope: '*', roles: ['View'] }]);
  });

  it.each([
    ['a pattern of namespaces', { kubernetesNamespaces: ['team-*'] }, /kubernetesNamespaces/],
    [
      'a role that there is not',
      { grants: [{ principal: 'token:x', roles: ['Operate'] }] },
      /roles/,
    ],
    ['a principal of no kind', { grants: [{ principal: 'x', roles: ['View'] }] }, /principal/],
    ['a quota below 0', { quota: { topics: -1 } }, /quota\.topics/],
  ])('refuse a tenant with %s', async (_, spec, message) => {
    await expect(kube.tenant('refused', spec)).rejects.toThrow(message);
  });

  it('refuse to delete tenant public', async () => {
    const outcome = kube.tenant('public', { deletionPolicy: 'Delete', adopt: true });
    await expect(outcome).rejects.toThrow(/always there/);
  });

  it('describe every field', async () => {
    const explained = await kube.kubectl('explain', 'topic.spec', '--recursive');
    expect(explained).toContain('deadLetterTopic');
    const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
    type Schema = { description?: string; properties?: Record<string, Schema>; items?: Schema };
    const undescribed: string[] = [];
    const walk = (schema: Schema, at: string): void => {
      if (schema.description === undefined && at !== '.metadata') undescribed.push(at);
      for (const [name, inner] of Object.entries(schema.properties ?? {}))
        walk(inner, `${at}.${name}`);
      if (schema.items !== undefined) walk(schema.items, `${at}[]`);
    };
    for (const name of ['topics.millrace.dev', 'tenants.millrace.dev']) {
      const crd = await kube.api.call<{
        spec: { versions: { schema: { openAPIV3Schema: Schema } }[] };
      }>({ method: 'GET', path: `${path}/${name}` });
      for (const { schema } of crd.spec.versions) walk(schema.openAPIV3Schema, '');
    }
    expect(undescribed).toEqual([]);
  });
});
