// A Kubernetes control plane of a test's own, without nodes: etcd and the API server, and if wanted the controllers and
// the scheduler, as they are, on free ports of this machine.
import { mkdtemp, rm } from 'node:fs/promises';
import { readFileSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Missing } from '../support/needs.ts';
import * as catalog from './catalog.ts';
import { answersHttp, freePort, LocalProcess } from './local-process.ts';
import { missingOpenssl, Pki } from './pki.ts';

export interface ControlPlaneOptions {
  /** Controllers and scheduler too: owner references, StatefulSets, namespaces that end. Default false. */
  readonly controllers?: boolean;
  /** Where it keeps everything; removed at the end. Default: a new one among the temporary files. */
  readonly directory?: string;
  /** Where the API server listens and what it tells the cluster. Default 127.0.0.1. */
  readonly address?: string;
  /** A user whose requests `audit.log` in the directory has, a JSON object a line. */
  readonly audited?: string;
  readonly apiServerArgs?: readonly string[];
  readonly controllerArgs?: readonly string[];
}

/** Alone it takes 4 s; a busy machine takes its time. */
const readyWithinMs = 120_000;

/** For `describeNeeding`: undefined when a control plane can be had. */
export function missingControlPlane(): Missing {
  return catalog.missing(catalog.hyper) ?? missingOpenssl();
}

export class ControlPlane implements AsyncDisposable {
  readonly directory: string;
  readonly pki: Pki;
  /** Of `system:masters`. */
  readonly kubeconfig: string;
  readonly url: string;
  private readonly options: ControlPlaneOptions;
  private readonly etcdPort: number;
  private readonly programs = new Map<string, LocalProcess>();

  private constructor(
    directory: string,
    pki: Pki,
    ports: { readonly api: number; readonly etcd: number },
    options: ControlPlaneOptions,
  ) {
    this.directory = directory;
    this.pki = pki;
    this.url = `https://${options.address ?? '127.0.0.1'}:${ports.api}`;
    this.etcdPort = ports.etcd;
    this.options = options;
    this.kubeconfig = pki.kubeconfig('admin', this.url);
  }

  /** Resolves when it answers and, with controllers, when namespace `default` has its service account. */
  static async start(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
    const directory = options.directory ?? (await mkdtemp(join(tmpdir(), 'millrace-kube-')));
    const { address } = options;
    const pki = Pki.create(join(directory, 'pki'), address === undefined ? [] : [`IP:${address}`]);
    pki.issue('admin', '/O=system:masters/CN=admin', 'clientAuth');
    pki.issue('controllers', '/CN=system:kube-controller-manager', 'clientAuth');
    pki.issue('scheduler', '/CN=system:kube-scheduler', 'clientAuth');
    pki.issue('kubelet-client', '/O=system:masters/CN=kube-apiserver-kubelet-client', 'clientAuth');
    const ports = { api: await freePort(), etcd: await freePort() };
    const plane = new ControlPlane(directory, pki, ports, options);
    try {
      await plane.startEtcd(await freePort());
      await plane.startApiServer();
      if (options.controllers === true) await plane.startControllers();
    } catch (error) {
      await plane[Symbol.asyncDispose]();
      throw error;
    }
    return plane;
  }

  async startApiServer(): Promise<void> {
    const { pki, options } = this;
    const { address = '127.0.0.1', apiServerArgs = [] } = options;
    const apiServer = this.run('kube-apiserver', [
      ...['--etcd-servers', `http://127.0.0.1:${this.etcdPort}`],
      ...['--bind-address', address, '--secure-port', new URL(this.url).port],
      ...['--advertise-address', address],
      ...['--endpoint-reconciler-type', address === '127.0.0.1' ? 'none' : 'master-count'],
      ...['--tls-cert-file', pki.path('apiserver.crt')],
      ...['--tls-private-key-file', pki.path('apiserver.key')],
      ...['--client-ca-file', pki.path('ca.crt')],
      ...['--service-account-key-file', pki.path('sa.pub')],
      ...['--service-account-signing-key-file', pki.path('sa.key')],
      ...['--service-account-issuer', 'https://kubernetes.default.svc'],
      ...['--authorization-mode', 'Node,RBAC', '--anonymous-auth=false'],
      ...['--kubelet-client-certificate', pki.path('kubelet-client.crt')],
      ...['--kubelet-client-key', pki.path('kubelet-client.key')],
      ...['--kubelet-certificate-authority', pki.path('ca.crt')],
      ...['--kubelet-preferred-address-types', 'InternalIP'],
      ...['--service-cluster-ip-range', '10.96.0.0/16', '--allow-privileged', '--profiling=false'],
      ...(options.audited === undefined ? [] : this.auditFlags(options.audited)),
      ...apiServerArgs,
    ]);
    await apiServer.until(() => this.answers('/readyz'), readyWithinMs);
  }

  private auditFlags(user: string): string[] {
    const policy = join(this.directory, 'audit.json');
    const rules = [{ level: 'Metadata', users: [user] }, { level: 'None' }];
    const omitStages = ['RequestReceived', 'ResponseStarted'];
    const kind = { apiVersion: 'audit.k8s.io/v1', kind: 'Policy' };
    writeFileSync(policy, JSON.stringify({ ...kind, omitStages, rules }));
    return ['--audit-policy-file', policy, '--audit-log-path', join(this.directory, 'audit.log')];
  }

  /** Ends the API server only; `startApiServer` brings it back with the same state. */
  async stopApiServer(): Promise<void> {
    await this.programs.get('kube-apiserver')?.kill('SIGTERM');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const newestFirst = [...this.programs.values()].reverse();
    for (const program of newestFirst) await program[Symbol.asyncDispose]();
    await rm(this.directory, { recursive: true, force: true });
  }

  private async startEtcd(peerPort: number): Promise<void> {
    const [client, peer] = [this.etcdPort, peerPort].map((port) => `http://127.0.0.1:${port}`);
    const etcd = this.run('etcd', [
      ...['--name', 't', '--data-dir', join(this.directory, 'etcd'), '--unsafe-no-fsync'],
      ...['--listen-client-urls', `${client}`, '--advertise-client-urls', `${client}`],
      ...['--listen-peer-urls', `${peer}`, '--initial-advertise-peer-urls', `${peer}`],
      ...['--initial-cluster', `t=${peer}`, '--log-level', 'warn'],
    ]);
    await etcd.until(() => answersHttp(`${client}/health`), readyWithinMs);
  }

  private async startControllers(): Promise<void> {
    const { pki, url } = this;
    const common = ['--bind-address', '127.0.0.1', '--leader-elect=false', '--profiling=false'];
    const controllers = this.run('kube-controller-manager', [
      ...['--kubeconfig', pki.kubeconfig('controllers', url)],
      ...['--secure-port', String(await freePort()), ...common],
      ...['--service-account-private-key-file', pki.path('sa.key')],
      ...['--root-ca-file', pki.path('ca.crt'), '--use-service-account-credentials'],
      // Without these its start takes 5 s longer.
      ...['--kube-api-qps', '500', '--kube-api-burst', '1000'],
      '--controllers',
      '*,-nodeipam,-node-route-controller,-cloud-node-lifecycle-controller,-service-lb-controller',
      ...(this.options.controllerArgs ?? []),
    ]);
    this.run('kube-scheduler', [
      ...['--kubeconfig', pki.kubeconfig('scheduler', url)],
      ...['--secure-port', String(await freePort()), ...common],
    ]);
    const account = '/api/v1/namespaces/default/serviceaccounts/default';
    await controllers.until(() => this.answers(account), readyWithinMs);
  }

  private run(name: string, args: readonly string[]): LocalProcess {
    const command = [catalog.hyper.path, name, ...args];
    const program = LocalProcess.start(name, command, join(this.directory, `${name}.log`));
    this.programs.set(name, program);
    writeFileSync(join(this.directory, `${name}.pid`), String(program.pid));
    return program;
  }

  /** Whether the administrator's GET is answered with 200. */
  private answers(path: string): Promise<boolean> {
    const { pki, url } = this;
    const agent = new Agent({
      ca: readFileSync(pki.path('ca.crt')),
      cert: readFileSync(pki.path('admin.crt')),
      key: readFileSync(pki.path('admin.key')),
    });
    return new Promise((resolve) => {
      const call = request(`${url}${path}`, { agent, timeout: 2_000 }, (response) => {
        response.resume();
        resolve(response.statusCode === 200);
      });
      call.on('timeout', () => call.destroy());
      call.on('error', () => resolve(false));
      call.end();
    });
  }
}
