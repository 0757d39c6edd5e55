// Who is let in by an installed chart: the real API server's tokens, a real broker with the rendered file of issuers,
// the real operator under the rights that the chart granted.
import type { V1ConfigMap } from '@kubernetes/client-node';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connect } from '../../client/src/index.ts';
import * as catalog from '../services/catalog.ts';
import { missingControlPlane } from '../services/control-plane.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { describeNeeding } from '../support/needs.ts';
import { expectNoSecret } from '../support/secrets.ts';
import { ChartFixture, workNamespace } from './chart-fixture.ts';
import { chart, only, release, render } from './chart-render.ts';

const main = join(import.meta.dirname, '..', '..', 'operator', 'main.ts');
const soon = { timeout: 30_000, interval: 200 };
const forBroker = ['--audience', 'millrace'];
/** Where the pod of the broker has what it reads the cluster's keys with. */
const mounted = '/var/run/millrace/cluster';

describeNeeding(
  missingControlPlane() ?? catalog.missing(catalog.helm),
  'an installed chart',
  () => {
    let kube: ChartFixture;

    beforeAll(async () => {
      kube = await ChartFixture.start();
    }, 240_000);

    afterAll(async () => {
      await kube[Symbol.asyncDispose]();
    }, 60_000);

    it('lets the operator and a workload in by their service accounts alone', async () => {
      const jwksUrl = `${kube.plane.url}/openid/v1/jwks`;
      const auth = { kubernetes: { issuer: 'https://kubernetes.default.svc', jwksUrl } };
      kube.install(chart, { auth });
      kube.kubectl('create', 'serviceaccount', 'checkout', '-n', workNamespace);
      await using broker = await startBroker(auth);
      await using operator = await startOperator(broker.server);
      kube.applyExamples();
      const ready = '{range .status.conditions[?(@.type=="Ready")]}{.status} {.message}{end}';
      const isReady = /^True /;
      await expect.poll(() => kube.field('tenant/retail', ready), soon).toMatch(isReady);
      const topic = () => kube.field('topic/orders', ready, workNamespace);
      await expect.poll(topic, soon).toMatch(isReady);
      expect(operator.child.exitCode).toBe(null);

      const { server } = broker;
      const token = kube.token(workNamespace, 'checkout', ...forBroker);
      await using checkout = connect({ server, token });
      const { principal } = await checkout.access.whoAmI();
      expect(principal).toBe('serviceaccount:orders:checkout');
      const publisher = checkout.publisher('retail/default/orders');
      await publisher.publish({ value: Buffer.from('an order') });
      await publisher.close();
      await expect(checkout.topics.delete('retail/default/orders')).rejects.toMatchObject({
        reason: 'PERMISSION_DENIED',
      });
      // A token for the API server is none for the broker.
      await using other = connect({ server, token: kube.token(workNamespace, 'checkout') });
      await expect(other.access.whoAmI()).rejects.toMatchObject({ reason: 'UNAUTHENTICATED' });
    }, 180_000);

    /** With what the chart made for it, at a place of the test's own. */
    async function startBroker(auth: object): Promise<BrokerProcess> {
      const here = join(kube.plane.directory, 'broker');
      await mkdir(here);
      await cp(kube.plane.pki.path('ca.crt'), join(here, 'ca.crt'));
      await writeFile(join(here, 'token'), kube.token(release, 'millrace'));
      const config = only<V1ConfigMap>(render({ auth }), 'ConfigMap').data?.['auth.json'] ?? '';
      expect(config).toContain(mounted);
      const file = join(here, 'auth.json');
      await writeFile(file, config.replaceAll(mounted, here));
      const operators = `serviceaccount:${release}:millrace-operator`;
      return BrokerProcess.start({ args: ['--auth-config', file, '--operators', operators] });
    }

    async function startOperator(server: string): Promise<OperatorProcess> {
      const here = join(kube.plane.directory, 'operator');
      await mkdir(here);
      const brokerToken = join(here, 'token');
      await writeFile(brokerToken, kube.token(release, 'millrace-operator', ...forBroker));
      const kubeconfig = join(here, 'kubeconfig');
      const ca = kube.plane.pki.path('ca.crt');
      const config = {
        ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'c' },
        clusters: [{ name: 'c', cluster: { server: kube.plane.url, 'certificate-authority': ca } }],
        users: [{ name: 'c', user: { token: kube.token(release, 'millrace-operator') } }],
        contexts: [{ name: 'c', context: { cluster: 'c', user: 'c' } }],
      };
      await writeFile(kubeconfig, JSON.stringify(config));
      return new OperatorProcess([
        ...['--kubeconfig', kubeconfig, '--namespace', release, '--broker', server],
        ...['--token-file', brokerToken, '--http-listen', '127.0.0.1:0'],
      ]);
    }
  },
);

class OperatorProcess implements AsyncDisposable {
  readonly child: ChildProcess;
  private log = '';

  constructor(args: readonly string[]) {
    this.child = spawn(process.execPath, [main, ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.child.stderr?.on('data', (chunk: Buffer) => (this.log += chunk.toString()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { child } = this;
    const ended = once(child, 'exit');
    if (child.kill('SIGTERM')) await ended;
    expectNoSecret('the log of an operator', this.log);
  }
}
