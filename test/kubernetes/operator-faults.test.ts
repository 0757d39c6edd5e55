// Operators that die, see stale things, or are two; API servers that forget, hang up and restart.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { defined } from '../../broker/core/assert.ts';
import type { KubeApi } from '../../operator/kube/kube-api.ts';
import { missingControlPlane } from '../services/control-plane.ts';
import { describeNeeding } from '../support/needs.ts';
import { DyingApi, ForgetfulApi, LateApi, StaleApi } from './faulty-api.ts';
import { configOf, OperatorFixture, soon } from './operator-fixture.ts';

/** More than a run has: a run that does not reach it is the last. */
const writesMax = 40;

describeNeeding(missingControlPlane(), 'the operator among faults', () => {
  let kube: OperatorFixture;

  beforeAll(async () => {
    kube = await OperatorFixture.start({ controllers: false });
    await kube.tenant('acme', { kubernetesNamespaces: ['default'] });
  }, 240_000);

  afterAll(async () => {
    await kube[Symbol.asyncDispose]();
  }, 60_000);

  /** An operator, and the API that it sees. */
  function startBehind<Api extends KubeApi>(wrap: (api: KubeApi) => Api, lease?: string) {
    let api: Api | undefined;
    const running = kube.startOperator({
      ...(lease !== undefined && { lease }),
      wrapApi: (inner) => (api = wrap(inner)),
    });
    return { running, api: defined(api, 'the API of an operator') };
  }

  /** Makes, changes and deletes a topic of a tenant, whoever dies meanwhile. Answers whether somebody did. */
  async function liveThrough(nth: number, moment: 'before' | 'after'): Promise<boolean> {
    const id = `${moment}-${nth}`;
    const { running: dying, api: mortal } = startBehind(
      (api) => new DyingApi(api, configOf(kube.kubeconfig), nth, moment),
      id,
    );
    let hasDied = false;
    // Its successor has a lease of its own: the dead one cannot give its up.
    const succeeded = mortal.died.then(() => {
      hasDied = true;
      return kube.startOperator({ lease: `${id}-next` });
    });
    const tenant = `t-${id}`;
    const name = `${tenant}/default/orders-${id}`;
    await kube.tenant(tenant, { kubernetesNamespaces: ['default'], deletionPolicy: 'Delete' });
    await kube.topic('default', `orders-${id}`, {
      tenant,
      timeToLive: '1h',
      deletionPolicy: 'Delete',
    });
    await kube.untilTold('default', `orders-${id}`, 'True Ready');
    const made = await kube.client.topics.get(name);
    await kube.patchTopic('default', `orders-${id}`, { timeToLive: '2h' });
    await kube.untilTold('default', `orders-${id}`, 'True Ready');
    const changed = await kube.client.topics.get(name);
    expect(changed).toMatchObject({ topicId: made.topicId, spec: { timeToLiveMs: 7_200_000 } });
    await kube.deleteTopic('default', `orders-${id}`);
    await kube.untilGone('default', `orders-${id}`);
    expect(await kube.atBroker(name)).toBeUndefined();
    await kube.deleteTenant(tenant);
    await kube.untilGone(undefined, tenant);
    await expect(kube.client.tenants.get(tenant)).rejects.toMatchObject({ kind: 'missing' });
    await dying.stop();
    if (hasDied) await (await succeeded).stop();
    return hasDied;
  }

  it.each(['before', 'after'] as const)(
    'that dies %s any of its writes is followed by one that brings it to the same end',
    async (moment) => {
      let deaths = 0;
      for (let nth = 1; nth <= writesMax; nth++) {
        if (!(await liveThrough(nth, moment))) break;
        deaths++;
      }
      console.log(`died ${moment} ${deaths} writes`);
      expect(deaths).toBeGreaterThan(6);
      expect(deaths).toBeLessThan(writesMax);
    },
    240_000,
  );

  it('with a stale view deletes nothing that a later object manages', async () => {
    const first = kube.startOperator();
    await kube.topic('default', 'reborn', { tenant: 'acme', deletionPolicy: 'Delete' });
    await kube.untilTold('default', 'reborn', 'True Ready');
    await first.stop();
    const key = { namespace: 'default', name: 'reborn' };
    await kube.deleteTopic('default', 'reborn');
    const path = kube.topics.collectionPath();
    const list = await kube.api.call({ method: 'GET', path });
    await kube.topics.setFinalizers(await kube.topics.get(key), []);
    await kube.untilGone('default', 'reborn');
    await kube.topic('default', 'reborn', { tenant: 'acme', adopt: true });
    const second = kube.startOperator();
    await kube.untilTold('default', 'reborn', 'True Ready');
    await second.stop();
    const before = await kube.client.topics.get('acme/default/reborn');

    const stale = kube.startOperator({
      driftMs: 100,
      wrapApi: (api: KubeApi) => new StaleApi(api, configOf(kube.kubeconfig), path, list),
    });
    const looks = () => stale.operator.controllers[0]?.figures.reconciles ?? 0;
    await expect.poll(looks, soon).toBeGreaterThan(0);
    await stale.stop();
    expect((await kube.atBroker('acme/default/reborn'))?.revision).toBe(before.revision);
    expect((await kube.topics.get(key)).metadata.deletionTimestamp).toBeUndefined();
  }, 120_000);

  it('goes on when versions are forgotten and watches are closed each second', async () => {
    const { running, api: forgetful } = startBehind(
      (api) => new ForgetfulApi(api, configOf(kube.kubeconfig)),
    );
    for (let i = 0; i < 4; i++) {
      await kube.topic('default', `gone-${i}`, { tenant: 'acme' });
      await kube.untilTold('default', `gone-${i}`, 'True Ready');
    }
    await expect.poll(() => forgetful.gone, soon).toBe(2);
    const watches = () => running.operator.calls.counts.get('WATCH topics') ?? 0;
    await expect.poll(watches, soon).toBeGreaterThan(3);
    await kube.patchTopic('default', 'gone-0', { timeToLive: '3h' });
    const ttl = async () => (await kube.atBroker('acme/default/gone-0'))?.spec.timeToLiveMs;
    await expect.poll(ttl, soon).toBe(10_800_000);
    await running.stop();
  }, 120_000);

  it('leads with one of two, over a restart of the API server', async () => {
    const [one, two] = [kube.startOperator(), kube.startOperator()];
    const leaders = () => [one, two].filter(({ operator }) => operator.isLeading).length;
    await expect.poll(leaders, soon).toBe(1);
    await kube.topic('default', 'led', { tenant: 'acme' });
    await kube.untilTold('default', 'led', 'True Ready');
    expect(leaders()).toBe(1);
    await kube.plane.stopApiServer();
    expect((await kube.client.topics.apply('acme/default/data-path')).created).toBe(true);
    await kube.plane.startApiServer();
    await kube.topic('default', 'after', { tenant: 'acme' });
    await kube.untilTold('default', 'after', 'True Ready');
    expect(leaders()).toBe(1);
    // One that could not renew has ended, as its process would; another is started for it.
    const three = kube.startOperator();
    const leader = one.operator.isLeading ? one : two;
    await leader.stop();
    await kube.topic('default', 'handed-over', { tenant: 'acme' });
    await kube.untilTold('default', 'handed-over', 'True Ready');
    await Promise.all([one.stop(), two.stop(), three.stop()]);
  }, 240_000);

  it('is not disturbed by what a leader that was cut off still sends', async () => {
    const { running: cutOff, api: late } = startBehind(
      (api) => new LateApi(api, configOf(kube.kubeconfig)),
    );
    const ttl = async () => (await kube.atBroker('acme/default/late'))?.spec.timeToLiveMs;
    await kube.topic('default', 'late', { tenant: 'acme', timeToLive: '1h' });
    await kube.untilTold('default', 'late', 'True Ready');
    late.cutOff();
    await kube.patchTopic('default', 'late', { timeToLive: '2h' });
    await expect.poll(ttl, soon).toBe(7_200_000);
    const next = kube.startOperator();
    await kube.patchTopic('default', 'late', { timeToLive: '3h' });
    await expect.poll(() => next.operator.isLeading, soon).toBe(true);
    const key = { namespace: 'default', name: 'late' };
    const isUpToDate = async () => {
      const { metadata, status } = await kube.topics.get(key);
      return status?.observedGeneration === metadata.generation;
    };
    await expect.poll(isUpToDate, soon).toBe(true);
    expect(await ttl()).toBe(10_800_000);
    late.comeBack();
    await expect.poll(() => late.lateWrites, soon).toBeGreaterThan(0);
    await expect.poll(() => cutOff.operator.isLeading, soon).toBe(false);
    await expect.poll(isUpToDate, soon).toBe(true);
    await kube.untilTold('default', 'late', 'True Ready');
    expect(await ttl()).toBe(10_800_000);
    await Promise.all([cutOff.stop(), next.stop()]);
    expect(cutOff.log.join()).toContain('the lease of the leader was lost');
  }, 120_000);
});
