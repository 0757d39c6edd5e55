// A control plane with its controllers and namespaces under restricted pod security, where helm installs the chart.
import { join } from 'node:path';
import { ControlPlane } from '../services/control-plane.ts';
import { helm, kubectl, release, succeeded, type Outcome, type Values } from './chart-render.ts';

const examples = join(import.meta.dirname, '..', '..', 'examples', 'kubernetes');
export const workNamespace = 'orders';
/** Where nothing is installed, but the service accounts are that pods of any set of values have. */
const trialNamespace = 'trial';
const trialAccounts = ['broker', 'broker-operator', 'millrace-operator', 'checkout', 'billing'];

export class ChartFixture implements AsyncDisposable {
  readonly plane: ControlPlane;

  private constructor(plane: ControlPlane) {
    this.plane = plane;
  }

  static async start(): Promise<ChartFixture> {
    const fixture = new ChartFixture(await ControlPlane.start({ controllers: true }));
    const security = 'pod-security.kubernetes.io';
    const labels = ['enforce', 'warn'].map((mode) => `${security}/${mode}=restricted`);
    for (const namespace of [release, workNamespace, trialNamespace]) {
      fixture.kubectl('create', 'namespace', namespace);
      fixture.kubectl('label', 'namespace', namespace, ...labels);
    }
    for (const account of trialAccounts) {
      fixture.kubectl('create', 'serviceaccount', account, '-n', trialNamespace, '--save-config');
    }
    return fixture;
  }

  /** As the administrator. Throws with its stderr when it fails. */
  kubectl(...args: string[]): string {
    return succeeded(kubectl(['--kubeconfig', this.plane.kubeconfig, ...args]));
  }

  /** A token of the account, as a projected volume would have it. */
  token(namespace: string, account: string, ...more: string[]): string {
    return this.kubectl('create', 'token', account, '-n', namespace, ...more).trim();
  }

  /** What the API server says of it in a restricted namespace, without keeping it. */
  tryApply(yaml: string): Outcome {
    const mode = ['--dry-run=server', '--validate=strict'];
    const args = ['--kubeconfig', this.plane.kubeconfig, '-n', trialNamespace, 'apply', ...mode];
    return kubectl([...args, '-f', '-'], yaml);
  }

  helm(...args: string[]): Outcome {
    return this.helmWith({}, ...args);
  }

  helmWith(values: Values, ...args: string[]): Outcome {
    const place = ['--kubeconfig', this.plane.kubeconfig, '--namespace', release];
    return helm([...place, ...args], values);
  }

  /** What helm prints. */
  install(from: string, values: Values = {}): string {
    const printed = succeeded(this.helmWith(values, 'install', release, from, '--values', '-'));
    this.kubectl('wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all');
    return printed;
  }

  upgrade(from: string, values: Values = {}): Outcome {
    return this.helmWith(values, 'upgrade', release, from, '--values', '-');
  }

  uninstall(): void {
    succeeded(this.helm('uninstall', release));
  }

  /** The tenant and the topic of the examples. */
  applyExamples(): void {
    const files = ['tenant.yaml', 'topic.yaml'].flatMap((file) => ['-f', join(examples, file)]);
    this.kubectl('apply', ...files);
  }

  /** `kind/name` of the release's namespace; kinds with commas between them. */
  names(kinds: string): string[] {
    const lines = this.kubectl('-n', release, 'get', kinds, '-o', 'name').split('\n');
    return lines.filter((line) => line !== '');
  }

  /** A field of an object of the release's namespace, or of the cluster. */
  field(object: string, path: string, namespace = release): string {
    return this.kubectl('-n', namespace, 'get', object, '-o', `jsonpath=${path}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.plane[Symbol.asyncDispose]();
  }
}
