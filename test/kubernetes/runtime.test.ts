// The operator's runtime against a real API server.
import { KubeConfig } from '@kubernetes/client-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { KubeApi } from '../../operator/kube/kube-api.ts';
import { Resource, type KubeObject } from '../../operator/kube/resource.ts';
import { LeaderElection, leaseCallMs, type Lease } from '../../operator/runtime/leader-election.ts';
import { ObjectCache } from '../../operator/runtime/object-cache.ts';
import { systemTiming } from '../../operator/runtime/timing.ts';
import { ControlPlane, missingControlPlane } from '../services/control-plane.ts';
import { describeNeeding } from '../support/needs.ts';

interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

const configMaps = { group: '', version: 'v1', kind: 'ConfigMap', plural: 'configmaps' };
const leases = { group: 'coordination.k8s.io', version: 'v1', kind: 'Lease', plural: 'leases' };
const silentLog = { info() {}, warn() {}, error() {} };
const soon = { timeout: 60_000 };

describeNeeding(missingControlPlane(), 'the runtime of the operator', () => {
  let plane: ControlPlane;
  let api: KubeApi;

  beforeAll(async () => {
    plane = await ControlPlane.start();
    const config = new KubeConfig();
    config.loadFromFile(plane.kubeconfig);
    api = new KubeApi(config);
  }, 240_000);

  afterAll(async () => {
    await plane[Symbol.asyncDispose]();
  });

  it('sees objects come, change and go, over a restart of the API server too', async () => {
    const resource = new Resource<ConfigMap>(api, configMaps);
    const told: string[] = [];
    const cache = new ObjectCache({
      ...{ api, resource, timing: systemTiming, log: silentLog },
      onChange: (key) => told.push(key),
    });
    const stop = new AbortController();
    const running = cache.run(stop.signal);
    await cache.ready;
    const body = (name: string, value: string) => ({ metadata: { name }, data: { value } });
    const made = await resource.create('default', body('one', '1'));
    await expect.poll(() => cache.get('default/one')?.data, soon).toEqual({ value: '1' });
    await resource.replace(made.metadata, { ...made, data: { value: '2' } });
    await expect.poll(() => cache.get('default/one')?.data, soon).toEqual({ value: '2' });

    await plane.stopApiServer();
    await plane.startApiServer();
    await resource.create('default', body('two', '1'));
    await expect.poll(() => cache.get('default/two')?.data, soon).toEqual({ value: '1' });
    await api.call({ method: 'DELETE', path: `${resource.collectionPath('default')}/one` });
    await expect.poll(() => cache.get('default/one'), soon).toBeUndefined();
    expect(told).toContain('default/two');
    await expect(resource.get(made.metadata)).rejects.toMatchObject({ failure: 'not_found' });
    stop.abort();
    await running;
  }, 240_000);

  it('leads with one of two, and hands over at once when that one ends', async () => {
    const resource = new Resource<Lease>(api, leases, { timeoutMs: leaseCallMs });
    const leading: string[] = [];
    let mostAtOnce = 0;
    const elect = (identity: string) => {
      const stop = new AbortController();
      const election = new LeaderElection({
        ...{ leases: resource, namespace: 'default', name: 'operator', identity },
        ...{ timing: systemTiming, log: silentLog },
      });
      const ended = election.run(stop.signal, async (signal) => {
        leading.push(identity);
        mostAtOnce = Math.max(mostAtOnce, leading.length);
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        leading.splice(leading.indexOf(identity), 1);
      });
      return { stop, ended };
    };
    const one = elect('one');
    await expect.poll(() => leading, soon).toEqual(['one']);
    const two = elect('two');
    one.stop.abort();
    await one.ended;
    // Long before the lease would have run out.
    await expect.poll(() => leading, { timeout: 8_000 }).toEqual(['two']);
    expect(mostAtOnce).toBe(1);
    two.stop.abort();
    await two.ended;
  }, 120_000);
});
