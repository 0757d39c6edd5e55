// A control plane with the custom resources, a real broker, and operators in this process with exactly the rights that
// they need.
import { KubeConfig } from '@kubernetes/client-node';
import { execFile } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'vitest';
import { connect, type Client } from '../../client/src/index.ts';
import { KubeApi } from '../../operator/kube/kube-api.ts';
import { Resource, type KubeObject } from '../../operator/kube/resource.ts';
import type { Condition } from '../../operator/objects/conditions.ts';
import { tenantType, type TenantObject } from '../../operator/objects/tenant-object.ts';
import { topicType, type TopicObject } from '../../operator/objects/topic-object.ts';
import { Operator, type OperatorOptions } from '../../operator/operator.ts';
import { systemTiming } from '../../operator/runtime/timing.ts';
import * as catalog from '../services/catalog.ts';
import { ControlPlane } from '../services/control-plane.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { expectNoSecret } from '../support/secrets.ts';
import { clusterRules, leaseRules } from './operator-rules.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');
const crdDirectory = join(root, 'charts', 'millrace', 'templates', 'crds');
export const soon = { timeout: 60_000, interval: 50 };
export const systemNamespace = 'millrace-system';

export interface RunningOperator {
  readonly operator: Operator;
  readonly log: readonly string[];
  /** As SIGTERM does. */
  stop(): Promise<void>;
}

interface AuditEntry {
  readonly verb: string;
  readonly objectRef?: {
    readonly apiGroup?: string;
    readonly resource: string;
    readonly subresource?: string;
  };
  readonly responseStatus?: { readonly code?: number };
}

type Json = Readonly<Record<string, unknown>>;

export class OperatorFixture implements AsyncDisposable {
  readonly plane: ControlPlane;
  readonly broker: BrokerProcess;
  /** Of the administrator of the cluster. */
  readonly api: KubeApi;
  readonly topics: Resource<TopicObject>;
  readonly tenants: Resource<TenantObject>;
  readonly client: Client;
  /** Of the operator. */
  readonly kubeconfig: string;
  private readonly running = new Set<RunningOperator>();
  private count = 0;

  private constructor(plane: ControlPlane, broker: BrokerProcess) {
    this.plane = plane;
    this.broker = broker;
    this.api = new KubeApi(configOf(plane.kubeconfig));
    this.topics = new Resource(this.api, topicType);
    this.tenants = new Resource(this.api, tenantType);
    this.client = connect({ server: broker.server });
    plane.pki.issue('operator', '/CN=millrace-operator', 'clientAuth');
    this.kubeconfig = plane.pki.kubeconfig('operator', plane.url);
  }

  static async start(options: { readonly controllers: boolean }): Promise<OperatorFixture> {
    const [plane, broker] = await Promise.all([
      ControlPlane.start({ ...options, audited: 'millrace-operator' }),
      BrokerProcess.start(),
    ]);
    const fixture = new OperatorFixture(plane, broker);
    try {
      await fixture.prepare();
    } catch (thrown) {
      await fixture[Symbol.asyncDispose]();
      throw thrown;
    }
    return fixture;
  }

  private async prepare(): Promise<void> {
    for (const file of await readdir(crdDirectory)) {
      const text = await readFile(join(crdDirectory, file), 'utf8');
      const plain = text.split('\n').filter((line) => !line.startsWith('{{'));
      await this.kubectlApply(plain.join('\n'));
    }
    const kinds = [topicType, tenantType].map(({ plural, group }) => `crd/${plural}.${group}`);
    await this.kubectl('wait', '--for=condition=Established', '--timeout=60s', ...kinds);
    await this.grantRights();
  }

  /** Every right that the operator has used so far, one `verb group/resource` each, and those it was refused. */
  async rightsUsed(): Promise<{ readonly used: Set<string>; readonly refused: Set<string> }> {
    const text = await readFile(join(this.plane.directory, 'audit.log'), 'utf8');
    const entries = text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as AuditEntry);
    const [used, refused] = [new Set<string>(), new Set<string>()];
    for (const { verb, objectRef, responseStatus } of entries) {
      if (objectRef === undefined) continue;
      const { apiGroup = '', resource, subresource } = objectRef;
      const name = subresource === undefined ? resource : `${resource}/${subresource}`;
      (responseStatus?.code === 403 ? refused : used).add(`${verb} ${apiGroup}/${name}`);
    }
    return { used, refused };
  }

  async kubectl(...args: string[]): Promise<string> {
    const all = ['kubectl', '--kubeconfig', this.plane.kubeconfig, ...args];
    return (await run(catalog.hyper.path, all)).stdout;
  }

  async kubectlApply(text: string): Promise<string> {
    const file = join(this.plane.directory, `applied-${this.count++}.yaml`);
    await writeFile(file, text);
    return this.kubectl('apply', '-f', file);
  }

  startOperator(overrides: Partial<OperatorOptions> = {}): RunningOperator {
    const log: string[] = [];
    const note = (message: string, facts?: object): void => {
      log.push(`${message} ${JSON.stringify(facts ?? {})}`);
    };
    const client = connect({ server: this.broker.server, callTimeoutMs: 1_000 });
    const operator = new Operator({
      config: configOf(this.kubeconfig),
      ...{ broker: client, server: 'broker:6700', driftMs: 1_000, finalizerTimeoutMs: 600_000 },
      ...{ namespace: systemNamespace, lease: 'operator', identity: `operator-${this.count++}` },
      ...{ timing: systemTiming, log: { info: note, warn: note, error: note } },
      ...overrides,
    });
    const stopping = new AbortController();
    // A lost lease is told by the log; a test that loses one looks there.
    const ended = operator.run(stopping.signal).catch((thrown: unknown) => note(String(thrown)));
    const running: RunningOperator = {
      operator,
      log,
      stop: async () => {
        this.running.delete(running);
        stopping.abort();
        await ended;
        await client.close();
        expectNoSecret('the log of an operator', log.join('\n'));
      },
    };
    this.running.add(running);
    return running;
  }

  namespace(name: string): Promise<KubeObject> {
    const body = { metadata: { name } };
    return this.api.call({ method: 'POST', path: '/api/v1/namespaces', body });
  }

  topic(namespace: string, name: string, spec: Json = {}): Promise<TopicObject> {
    return this.topics.create(namespace, bodyOf('Topic', { namespace, name }, spec));
  }

  tenant(name: string, spec: Json): Promise<TenantObject> {
    return this.tenants.create(undefined, bodyOf('Tenant', { name }, spec));
  }

  patchTopic(namespace: string, name: string, spec: Json): Promise<TopicObject> {
    return this.patch(`${this.topics.collectionPath(namespace)}/${name}`, spec);
  }

  patchTenant(name: string, spec: Json): Promise<TenantObject> {
    return this.patch(`${this.tenants.collectionPath()}/${name}`, spec);
  }

  deleteTopic(namespace: string, name: string): Promise<unknown> {
    const path = `${this.topics.collectionPath(namespace)}/${name}`;
    return this.api.call({ method: 'DELETE', path });
  }

  deleteTenant(name: string): Promise<unknown> {
    return this.api.call({ method: 'DELETE', path: `${this.tenants.collectionPath()}/${name}` });
  }

  /** `Ready=True Ready`, of the newest spec only; undefined: not told yet, or the object is gone. */
  async told(
    namespace: string | undefined,
    name: string,
    type: Condition['type'] = 'Ready',
  ): Promise<string | undefined> {
    const resource = namespace === undefined ? this.tenants : this.topics;
    const object = await resource.get({ namespace, name }).catch(() => undefined);
    const found = object?.status?.conditions?.find((one) => one.type === type);
    if (found?.observedGeneration !== object?.metadata.generation) return undefined;
    return found === undefined ? undefined : `${found.status} ${found.reason}`;
  }

  async untilTold(namespace: string | undefined, name: string, what: string): Promise<void> {
    await expect.poll(() => this.told(namespace, name), soon).toBe(what);
  }

  async untilGone(namespace: string | undefined, name: string): Promise<void> {
    const resource = namespace === undefined ? this.tenants : this.topics;
    const isThere = () =>
      resource.get({ namespace, name }).then(
        () => true,
        () => false,
      );
    await expect.poll(isThere, soon).toBe(false);
  }

  /** Reasons of the events about an object. */
  async events(namespace: string, name: string): Promise<string[]> {
    const path = `/apis/events.k8s.io/v1/namespaces/${namespace}/events`;
    const list = await this.api.call<{
      items: { reason: string; regarding: { name: string } }[];
    }>({ method: 'GET', path });
    return list.items.filter((one) => one.regarding.name === name).map(({ reason }) => reason);
  }

  /** Undefined: there is no such topic at the broker. */
  async atBroker(name: string) {
    return this.client.topics.get(name).catch(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const running of this.running) await running.stop();
    await this.client.close();
    await this.broker[Symbol.asyncDispose]();
    await this.plane[Symbol.asyncDispose]();
  }

  private patch<T>(path: string, spec: Json): Promise<T> {
    const contentType = 'application/merge-patch+json';
    return this.api.call<T>({ method: 'PATCH', path, body: { spec }, contentType });
  }

  private async grantRights(): Promise<void> {
    await this.namespace(systemNamespace);
    const rbac = '/apis/rbac.authorization.k8s.io/v1';
    const post = (path: string, body: object) =>
      this.api.call({ method: 'POST', path: `${rbac}${path}`, body });
    const metadata = { name: 'millrace-operator' };
    const subjects = [
      { kind: 'User', name: 'millrace-operator', apiGroup: 'rbac.authorization.k8s.io' },
    ];
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', name: metadata.name };
    const own = `/namespaces/${systemNamespace}`;
    await post('/clusterroles', { metadata, rules: clusterRules });
    await post('/clusterrolebindings', {
      ...{ metadata, subjects, roleRef: { ...roleRef, kind: 'ClusterRole' } },
    });
    await post(`${own}/roles`, { metadata, rules: leaseRules });
    await post(`${own}/rolebindings`, {
      ...{ metadata, subjects, roleRef: { ...roleRef, kind: 'Role' } },
    });
  }
}

function bodyOf(kind: string, metadata: object, spec: Json) {
  return { apiVersion: 'millrace.dev/v1alpha1', kind, metadata, spec };
}

export function configOf(file: string): KubeConfig {
  const config = new KubeConfig();
  config.loadFromFile(file);
  return config;
}
