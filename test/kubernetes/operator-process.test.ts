// The operator as a process: many topics at once, what that costs, idling, and the end.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { missingControlPlane } from '../services/control-plane.ts';
import { describeNeeding } from '../support/needs.ts';
import { expectNoSecret } from '../support/secrets.ts';
import { OperatorFixture, soon, systemNamespace } from './operator-fixture.ts';

/** `KUBE_TOPICS=1000` for the figure of the documentation. */
const topicCount = Number(process.env['KUBE_TOPICS'] ?? 200);
/** Of so many in 60 s. */
const readyWithinMs = Math.max(30_000, topicCount * 60);
const memoryBytesMax = 256 * 2 ** 20;
/** As the image runs it. By default Node lets garbage grow while there is memory. */
const memoryFlags = ['--max-semi-space-size=2', '--max-old-space-size=128'];
const main = join(import.meta.dirname, '..', '..', 'operator', 'main.ts');

describeNeeding(missingControlPlane(), 'the process of the operator', () => {
  let kube: OperatorFixture;

  beforeAll(async () => {
    kube = await OperatorFixture.start({ controllers: false });
  }, 240_000);

  afterAll(async () => {
    await kube[Symbol.asyncDispose]();
  }, 60_000);

  it(`makes ${topicCount} topics Ready in time, idles, and gives the lease up at SIGTERM`, async () => {
    const args = ['--kubeconfig', kube.kubeconfig, '--broker', kube.broker.server];
    const command = [...memoryFlags, main, ...args, '--http-listen', '127.0.0.1:0'];
    const child = spawn(process.execPath, command, {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const ended = once(child, 'exit');
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const http = (): string | undefined => /"http":"([^"]+)"/.exec(stderr)?.[1];
    await expect.poll(http, soon).toBeDefined();
    const text = async (path: string) => (await fetch(`http://${http() ?? ''}${path}`)).text();
    await expect.poll(() => text('/readyz'), soon).toBe('ok\n');

    await kube.tenant('acme', { kubernetesNamespaces: ['default'] });
    const startMs = performance.now();
    const names = Array.from({ length: topicCount }, (_, i) => `many-${i}`);
    const applying = Array.from({ length: 10 }, async () => {
      for (let name = names.pop(); name !== undefined; name = names.pop()) {
        await kube.topic('default', name, { tenant: 'acme', timeToLive: '1h' });
      }
    });
    await Promise.all(applying);
    const appliedMs = performance.now() - startMs;
    const figure = async (name: string) => {
      const lines = (await text('/metrics')).split('\n').filter((line) => line.startsWith(name));
      return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
    };
    const readyCount = () => figure('millrace_operator_objects{kind="Topic",ready="True"}');
    const within = { timeout: readyWithinMs, interval: 200 };
    await expect.poll(readyCount, within).toBe(topicCount);
    const readyMs = performance.now() - startMs;
    const requests = await figure('millrace_operator_kube_requests_total');
    const memoryBytes = await figure('process_resident_memory_bytes');
    const perTopic = (requests / topicCount).toFixed(2);
    console.log(
      `${topicCount} topics: applied in ${appliedMs.toFixed(0)} ms, Ready in ${readyMs.toFixed(0)} ms, ` +
        `${perTopic} API requests each, ${(memoryBytes / 2 ** 20).toFixed(0)} MiB`,
    );
    expect(readyMs).toBeLessThan(readyWithinMs);
    expect(requests / topicCount).toBeLessThan(3);
    expect(memoryBytes).toBeLessThan(memoryBytesMax);

    // It idles: after three renewals of the lease, of a read and a write each, nothing else was asked.
    const leases = () =>
      figure('millrace_operator_kube_requests_total{method="PUT",resource="leases"}');
    const [before, renewals] = [
      await figure('millrace_operator_kube_requests_total'),
      await leases(),
    ];
    await expect.poll(leases, soon).toBeGreaterThanOrEqual(renewals + 3);
    expect((await figure('millrace_operator_kube_requests_total')) - before).toBeLessThan(10);
    expect(await text('/nowhere')).toContain('/metrics');

    child.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
    expectNoSecret('the log of the operator', stderr);
    const path = `/apis/coordination.k8s.io/v1/namespaces/${systemNamespace}/leases/millrace-operator`;
    const lease = await kube.api.call<{ spec: { holderIdentity?: string } }>({
      method: 'GET',
      path,
    });
    expect(lease.spec.holderIdentity ?? '').toBe('');
  }, 240_000);
});
