import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { describeNeeding } from '../support/needs.ts';
import { hyper } from './catalog.ts';
import { ControlPlane, missingControlPlane } from './control-plane.ts';

function kubectl(plane: ControlPlane, ...args: string[]): string {
  const env = { ...process.env, KUBECONFIG: plane.kubeconfig };
  return execFileSync(hyper.path, ['kubectl', ...args], { env, encoding: 'utf8' });
}

describeNeeding(missingControlPlane(), 'the control plane that tests start', () => {
  it('keeps objects over a restart of its API server, and its controllers work', async () => {
    await using plane = await ControlPlane.start({ controllers: true });
    kubectl(plane, 'create', 'namespace', 'team');
    const accounts = () => kubectl(plane, '-n', 'team', 'get', 'serviceaccounts', '-o', 'name');
    await expect.poll(accounts, { timeout: 30_000 }).toContain('serviceaccount/default');
    await plane.stopApiServer();
    expect(() => kubectl(plane, 'get', 'namespaces', '--request-timeout=2s')).toThrow();
    await plane.startApiServer();
    expect(kubectl(plane, 'get', 'namespaces', '-o', 'name')).toContain('namespace/team');
    kubectl(plane, 'delete', 'namespace', 'team', '--timeout=60s');
  }, 240_000);
});
