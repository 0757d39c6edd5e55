// What Topic and Tenant objects bring about, on a real API server with its controllers and a real broker.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { missingControlPlane } from '../services/control-plane.ts';
import { describeNeeding } from '../support/needs.ts';
import { clusterRules, leaseRules, rightsOf } from './operator-rules.ts';
import { OperatorFixture, soon, type RunningOperator } from './operator-fixture.ts';

const examples = join(import.meta.dirname, '..', '..', 'examples', 'kubernetes');

describeNeeding(missingControlPlane(), 'the operator', () => {
  let kube: OperatorFixture;
  let running: RunningOperator;

  beforeAll(async () => {
    kube = await OperatorFixture.start({ controllers: true });
    running = kube.startOperator();
    await kube.namespace('shop');
    await kube.tenant('acme', { kubernetesNamespaces: ['shop'] });
  }, 240_000);

  afterAll(async () => {
    await kube[Symbol.asyncDispose]();
  }, 60_000);

  it('makes the examples of the pages', async () => {
    await kube.namespace('orders');
    await kube.kubectlApply(await readFile(join(examples, 'tenant.yaml'), 'utf8'));
    await kube.kubectlApply(await readFile(join(examples, 'topic.yaml'), 'utf8'));
    await kube.untilTold(undefined, 'retail', 'True Ready');
    await kube.untilTold('orders', 'orders', 'True Ready');
    const shown = await kube.kubectl('get', 'topics', '-n', 'orders');
    expect(shown).toMatch(/^orders +True +Ready +retail\/default\/orders +3 /m);
  }, 120_000);

  it('keeps a topic as its object says, through changes of the object', async () => {
    const subscriptions = [{ name: 'billing', kind: 'Queue', ackDeadline: '45s' }];
    await kube.topic('shop', 'orders', {
      ...{ tenant: 'acme', partitions: 2, retention: { age: '24h' }, subscriptions },
      labels: { team: 'shop' },
    });
    await kube.untilTold('shop', 'orders', 'True Ready');
    const made = await kube.client.topics.get('acme/default/orders');
    expect(made.spec.retention?.ageMs).toBe(86_400_000);
    expect(made.spec.labels).toMatchObject({
      team: 'shop',
      'millrace.dev/managed-by': 'Topic/shop/orders',
    });
    const { spec } = await kube.client.subscriptions.get('acme/default/orders', 'billing');
    expect(spec.ackDeadlineMs).toBe(45_000);

    await kube.patchTopic('shop', 'orders', {
      ...{ partitions: 4, retention: null, timeToLive: '1h', labels: null },
      subscriptions: [{ name: 'billing', kind: 'Queue', paused: true }],
    });
    await kube.untilTold('shop', 'orders', 'True Ready');
    const changed = await kube.client.topics.get('acme/default/orders');
    expect(changed.topicId).toBe(made.topicId);
    expect(changed.spec).toMatchObject({ partitions: 4, timeToLiveMs: 3_600_000 });
    expect(changed.spec.retention).toBeUndefined();
    expect(changed.spec.labels['team']).toBeUndefined();
    const again = await kube.client.subscriptions.get('acme/default/orders', 'billing');
    expect(again.spec).toMatchObject({ ackDeadlineMs: 30_000, paused: true });
    const object = await kube.topics.get({ namespace: 'shop', name: 'orders' });
    expect(object.status).toMatchObject({ topicId: made.topicId, partitions: 4 });
  }, 120_000);

  it('puts right what was changed or deleted behind its back, and says so', async () => {
    await kube.topic('shop', 'drifting', { tenant: 'acme', timeToLive: '1h' });
    await kube.untilTold('shop', 'drifting', 'True Ready');
    const name = 'acme/default/drifting';
    const { topicId } = await kube.client.topics
      .apply(name, { timeToLiveMs: 5 })
      .then((a) => a.topic);
    const ttl = async () => (await kube.atBroker(name))?.spec.timeToLiveMs;
    await expect.poll(ttl, soon).toBe(3_600_000);
    await expect.poll(() => kube.events('shop', 'drifting'), soon).toContain('DriftRepaired');
    await kube.client.topics.delete(name);
    const id = async () =>
      (await kube.topics.get({ namespace: 'shop', name: 'drifting' })).status?.topicId;
    await expect.poll(id, soon).not.toBe(topicId);
    await kube.untilTold('shop', 'drifting', 'True Ready');
    expect(await kube.atBroker(name)).toBeDefined();
    expect(running.operator.repairs.drifts).toBeGreaterThanOrEqual(2);
  }, 120_000);

  it('leaves a topic with Retain and deletes it with Delete', async () => {
    await kube.topic('shop', 'kept', { tenant: 'acme' });
    await kube.topic('shop', 'gone', { tenant: 'acme', deletionPolicy: 'Delete' });
    await kube.untilTold('shop', 'kept', 'True Ready');
    await kube.untilTold('shop', 'gone', 'True Ready');
    await Promise.all(['kept', 'gone'].map((name) => kube.deleteTopic('shop', name)));
    await kube.untilGone('shop', 'kept');
    await kube.untilGone('shop', 'gone');
    expect((await kube.atBroker('acme/default/kept'))?.spec.labels).toEqual({});
    expect(await kube.atBroker('acme/default/gone')).toBeUndefined();
  }, 120_000);

  it('takes over what exists only when asked', async () => {
    const { topicId } = (await kube.client.topics.apply('acme/default/old')).topic;
    await kube.topic('shop', 'old', { tenant: 'acme', deletionPolicy: 'Delete' });
    await kube.untilTold('shop', 'old', 'False NotAdopted');
    expect(await kube.told('shop', 'old', 'Stalled')).toBe('True NotAdopted');
    await kube.deleteTopic('shop', 'old');
    await kube.untilGone('shop', 'old');
    expect((await kube.atBroker('acme/default/old'))?.topicId).toBe(topicId);

    await kube.topic('shop', 'old', { tenant: 'acme', adopt: true, partitions: 2 });
    await kube.untilTold('shop', 'old', 'True Ready');
    const adopted = await kube.atBroker('acme/default/old');
    expect(adopted).toMatchObject({ topicId, spec: { partitions: 2 } });
  }, 120_000);

  it('gives a topic to the older of two objects, and to the other when it goes', async () => {
    await kube.topic('shop', 'first', { tenant: 'acme', topic: 'shared', timeToLive: '1h' });
    await kube.untilTold('shop', 'first', 'True Ready');
    const { metadata } = await kube.topics.get({ namespace: 'shop', name: 'first' });
    // Times of creation are whole seconds: within one, the uid decides.
    await expect
      .poll(() => Date.now(), soon)
      .toBeGreaterThan(Date.parse(metadata.creationTimestamp ?? '') + 1_000);
    await kube.topic('shop', 'second', { tenant: 'acme', topic: 'shared', timeToLive: '2h' });
    await kube.untilTold('shop', 'second', 'False Conflict');
    expect((await kube.atBroker('acme/default/shared'))?.spec.timeToLiveMs).toBe(3_600_000);
    await kube.deleteTopic('shop', 'first');
    await kube.untilTold('shop', 'second', 'False NotAdopted');
    await kube.patchTopic('shop', 'second', { adopt: true });
    await kube.untilTold('shop', 'second', 'True Ready');
    expect((await kube.atBroker('acme/default/shared'))?.spec.timeToLiveMs).toBe(7_200_000);
  }, 120_000);

  it('lets no namespace into a tenant that does not list it', async () => {
    await kube.namespace('foreign');
    await kube.topic('foreign', 'orders', {
      tenant: 'acme',
      adopt: true,
      deletionPolicy: 'Delete',
    });
    await kube.untilTold('foreign', 'orders', 'False NamespaceNotAllowed');
    const before = await kube.atBroker('acme/default/orders');
    expect(before?.spec.labels['millrace.dev/managed-by']).toBe('Topic/shop/orders');
    await kube.deleteTopic('foreign', 'orders');
    await kube.untilGone('foreign', 'orders');
    expect((await kube.atBroker('acme/default/orders'))?.topicId).toBe(before?.topicId);
    await kube.untilTold('shop', 'orders', 'True Ready');
  }, 120_000);

  it('waits for a tenant that is applied after its topics', async () => {
    await kube.topic('shop', 'early', { tenant: 'late' });
    await kube.untilTold('shop', 'early', 'False TenantNotFound');
    await kube.tenant('late', {
      kubernetesNamespaces: ['shop'],
      quota: { topics: 5, storedBytes: '1Gi' },
    });
    await kube.untilTold(undefined, 'late', 'True Ready');
    await kube.untilTold('shop', 'early', 'True Ready');
    expect((await kube.client.tenants.get('late')).quota).toMatchObject({
      topics: 5,
      storedBytes: 2 ** 30,
    });

    await kube.client.tenants.apply('late', {
      quota: { topics: 6 },
      namespaces: { x: { quota: { topics: 1 } } },
    });
    const quota = async () => (await kube.client.tenants.get('late')).quota.topics;
    await expect.poll(quota, soon).toBe(5);
    expect((await kube.client.tenants.get('late')).namespaces).toEqual([]);
  }, 120_000);

  it('makes grants as the object names them, and takes others in the tenant back', async () => {
    const grants = [{ principal: 'serviceaccount:shop:web', scope: 'default', roles: ['Publish'] }];
    await kube.patchTenant('acme', { grants });
    const there = async () =>
      (await Array.fromAsync(kube.client.access.grants({ scope: 'acme' }))).map(
        ({ principal, scope, roles }) => `${principal} ${scope} ${roles.join()}`,
      );
    const wanted = ['serviceaccount:shop:web acme/default publish'];
    await expect.poll(there, soon).toEqual(wanted);
    await kube.client.access.grant('token:intruder', 'acme', ['administer']);
    await kube.client.access.revoke('serviceaccount:shop:web', 'acme/default');
    await expect.poll(there, soon).toEqual(wanted);
    await kube.patchTenant('acme', { grants: null });
    await kube.untilTold(undefined, 'acme', 'True Ready');
    expect(await there()).toEqual(wanted);
  }, 120_000);

  it('keeps a tenant until its topics are gone', async () => {
    await kube.tenant('brief', { kubernetesNamespaces: ['shop'], deletionPolicy: 'Delete' });
    await kube.topic('shop', 'inside', { tenant: 'brief', deletionPolicy: 'Delete' });
    await kube.untilTold('shop', 'inside', 'True Ready');
    await kube.deleteTenant('brief');
    await kube.untilTold(undefined, 'brief', 'False TenantNotEmpty');
    await kube.untilTold('shop', 'inside', 'False TenantDeleted');
    expect(await kube.atBroker('brief/default/inside')).toBeDefined();
    await kube.deleteTopic('shop', 'inside');
    await kube.untilGone('shop', 'inside');
    await kube.untilGone(undefined, 'brief');
    await expect(kube.client.tenants.get('brief')).rejects.toMatchObject({ kind: 'missing' });
  }, 120_000);

  it('lets a namespace go with all its topics', async () => {
    await kube.namespace('short');
    await kube.tenant('transient', { kubernetesNamespaces: ['short'] });
    await kube.topic('short', 'kept', { tenant: 'transient' });
    await kube.topic('short', 'gone', { tenant: 'transient', deletionPolicy: 'Delete' });
    await kube.untilTold('short', 'kept', 'True Ready');
    await kube.untilTold('short', 'gone', 'True Ready');
    await kube.api.call({ method: 'DELETE', path: '/api/v1/namespaces/short' });
    const isThere = () =>
      kube.api.call({ method: 'GET', path: '/api/v1/namespaces/short' }).then(
        () => true,
        () => false,
      );
    await expect.poll(isThere, soon).toBe(false);
    expect(await kube.atBroker('transient/default/kept')).toBeDefined();
    expect(await kube.atBroker('transient/default/gone')).toBeUndefined();
  }, 120_000);

  it('only looks with managementPolicy Observe', async () => {
    await kube.client.topics.apply('acme/default/watched', { timeToLiveMs: 60_000 });
    await kube.topic('shop', 'watched', {
      tenant: 'acme',
      managementPolicy: 'Observe',
      timeToLive: '1m',
    });
    await kube.untilTold('shop', 'watched', 'True Ready');
    await kube.patchTopic('shop', 'watched', { timeToLive: '2m' });
    await kube.untilTold('shop', 'watched', 'False Differs');
    expect((await kube.atBroker('acme/default/watched'))?.spec).toMatchObject({
      labels: {},
      timeToLiveMs: 60_000,
    });
  }, 120_000);

  it('says what the broker refuses', async () => {
    await kube.patchTenant('late', { quota: { topics: 1 } });
    await kube.topic('shop', 'beyond', { tenant: 'late' });
    await kube.untilTold('shop', 'beyond', 'False QuotaExceeded');
    await kube.patchTenant('late', { quota: { topics: 2 } });
    await kube.untilTold('shop', 'beyond', 'True Ready');
  }, 120_000);

  it('tells of a broker that is away, lets go of what is deleted, and goes on', async () => {
    await kube.topic('shop', 'before', { tenant: 'acme', deletionPolicy: 'Delete' });
    await kube.untilTold('shop', 'before', 'True Ready');
    await running.stop();
    running = kube.startOperator({ finalizerTimeoutMs: 2_000 });
    await kube.broker.kill('SIGKILL');
    await kube.topic('shop', 'during', { tenant: 'acme' });
    await kube.untilTold('shop', 'during', 'Unknown BrokerUnavailable');
    await kube.deleteTopic('shop', 'before');
    await kube.untilGone('shop', 'before');
    expect(await kube.events('shop', 'before')).toContain('LeftBehind');
    await kube.broker.restart();
    await kube.untilTold('shop', 'during', 'True Ready');
    expect(await kube.atBroker('acme/default/before')).toBeDefined();
  }, 180_000);

  it('used every right that it was given, and no other', async () => {
    const { used, refused } = await kube.rightsUsed();
    expect(refused).toEqual(new Set());
    expect(used).toEqual(rightsOf([...clusterRules, ...leaseRules]));
  });
});
