// The release on two real nodes, with MinIO behind it, and pods that publish and work beside it: from the project's own
// image, with the examples' Tenant and Topic, under restricted pod security.
import { mkdtempSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'minio';
import { expect } from 'vitest';
import { hyper } from '../services/catalog.ts';
import { gateway } from '../services/kube-node.ts';
import { freePort, LocalProcess } from '../services/local-process.ts';
import { S3Store } from '../services/minio.ts';
import { NodeCluster } from '../services/node-cluster.ts';
import { buildImages, imageName } from '../services/node-image.ts';
import { commandOf, processesOf } from '../services/remains.ts';
import { runMillrace, type Finished } from '../support/run-millrace.ts';
import { chart, helm, release, succeeded, type Outcome, type Values } from './chart-render.ts';

export const workNamespace = 'orders';
export const brokerPod = 'millrace-0';
const examples = join(import.meta.dirname, '..', '..', 'examples', 'kubernetes');
const bucket = 'millrace';
const certificate = 'broker-certificate';
const minute = { timeout: 60_000, interval: 250 };
/** Records that must follow before clients count as going on. */
const going = 100;

interface Progress {
  readonly count: number;
  readonly failures: readonly string[];
}

export class NodesFixture implements AsyncDisposable {
  readonly cluster: NodeCluster;
  readonly store: S3Store;
  private readonly directory: string;

  private constructor(cluster: NodeCluster, store: S3Store, directory: string) {
    this.cluster = cluster;
    this.store = store;
    this.directory = directory;
  }

  static async start(): Promise<NodesFixture> {
    const directory = mkdtempSync(join(tmpdir(), 'millrace-image-'));
    const cluster = await NodeCluster.start(buildImages(directory));
    const fixture = new NodesFixture(cluster, await S3Store.startAt(gateway), directory);
    try {
      await fixture.prepare();
      return fixture;
    } catch (error) {
      await fixture[Symbol.asyncDispose]();
      throw error;
    }
  }

  kubectl(...args: string[]): string {
    return this.cluster.kubectl(args);
  }

  helm(values: Values, ...args: string[]): Outcome {
    const place = ['--kubeconfig', this.cluster.plane.kubeconfig, '--namespace', release];
    return helm([...place, ...args], { ...this.values(), ...values });
  }

  install(): void {
    const wait = ['--wait', '--timeout', '180s'];
    succeeded(this.helm({}, 'install', release, chart, '--values', '-', ...wait));
  }

  /** The tenant and the topic of the examples; resolves when they are Ready. */
  applyExamples(): void {
    const files = ['tenant.yaml', 'topic.yaml'].flatMap((file) => ['-f', join(examples, file)]);
    this.kubectl('apply', ...files);
    this.kubectl('wait', '--for=condition=Ready', '--timeout=60s', 'tenant/retail');
    const topic = ['topic/orders', '-n', workNamespace];
    this.kubectl('wait', '--for=condition=Ready', '--timeout=60s', ...topic);
  }

  /** One pod that publishes and one that works, both away from the node that is drained. */
  startLoad(node: string): void {
    const items = [
      ...['checkout', 'billing'].map((name) => ({
        apiVersion: 'v1',
        kind: 'ServiceAccount',
        metadata: { name },
      })),
      loadPod('checkout', 'publish', node),
      loadPod('billing', 'work', node),
    ];
    const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
    this.cluster.kubectl(['apply', '-n', workNamespace, '-f', '-'], list);
    const ready = ['--for=condition=Ready', '--timeout=60s', 'pod/checkout', 'pod/billing'];
    this.kubectl('wait', '-n', workNamespace, ...ready);
  }

  stopLoad(): void {
    const pods = ['pod/checkout', 'pod/billing', '--grace-period=1', '--timeout=60s'];
    this.kubectl('-n', workNamespace, 'delete', ...pods);
  }

  /** A producer and a consumer as the examples have them, but for the image. */
  applyWorkloads(): void {
    const text = readFileSync(join(examples, 'workloads.yaml'), 'utf8');
    const image = `image: ${imageName}\n          imagePullPolicy: Never`;
    this.cluster.kubectl(['apply', '-f', '-'], text.replaceAll(/image: millrace:\S+/g, image));
  }

  /** The command line on this machine, by a port that kubectl forwards, with the operator's token. */
  async forward(): Promise<Forwarded> {
    return Forwarded.start(this.cluster, this.directory);
  }

  /** What a load pod says at a path. */
  async ask<T>(pod: 'checkout' | 'billing', path: string): Promise<T> {
    const ip = this.field(`pod/${pod}`, '{.status.podIP}', workNamespace);
    // One kept from the last question may be closed by now.
    const response = await fetch(`http://${ip}:8080${path}`, { headers: { connection: 'close' } });
    if (!response.ok) throw new Error(`${pod}${path}: ${await response.text()}`);
    return (await response.json()) as T;
  }

  /** Resolves when more records were confirmed and worked through from now on; nothing failed and no pod restarted. */
  async goesOn(): Promise<void> {
    for (const pod of ['checkout', 'billing'] as const) {
      const { count: before } = await this.ask<Progress>(pod, '/state');
      const count = async () => (await this.ask<Progress>(pod, '/state')).count;
      await expect.poll(count, minute).toBeGreaterThan(before + going);
      expect((await this.ask<Progress>(pod, '/state')).failures).toEqual([]);
      const restarts = '{.status.containerStatuses[0].restartCount}';
      expect(this.field(`pod/${pod}`, restarts, workNamespace)).toBe('0');
    }
  }

  field(object: string, path: string, namespace = release): string {
    return this.kubectl('-n', namespace, 'get', object, '-o', `jsonpath=${path}`);
  }

  isReady(): boolean {
    const path = '{.status.conditions[?(@.type=="Ready")].status}';
    return this.field(`pod/${brokerPod}`, path) === 'True';
  }

  restarts(): number {
    return Number(this.field(`pod/${brokerPod}`, '{.status.containerStatuses[0].restartCount}'));
  }

  async untilReady(): Promise<void> {
    const state = () => {
      try {
        return this.isReady();
      } catch {
        return false; // Between two pods.
      }
    };
    await expect.poll(state, { timeout: 120_000, interval: 250 }).toBe(true);
  }

  /** Of the broker's process, on this machine. */
  brokerPid(): number {
    const node = this.field(`pod/${brokerPod}`, '{.spec.nodeName}');
    const brokers = processesOf(node).filter((pid) => commandOf(pid).includes(' start --listen='));
    const [pid, more] = brokers;
    if (pid === undefined || more !== undefined) throw new Error('not exactly one broker runs');
    return pid;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cluster[Symbol.asyncDispose]();
    await this.store[Symbol.asyncDispose]();
    await rm(this.directory, { recursive: true, force: true });
  }

  private values(): Values {
    const [repository, tag] = imageName.split(':');
    const preferred = {
      weight: 1,
      preference: {
        matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: ['n1'] }],
      },
    };
    const { endpoint, region } = this.store.address;
    return {
      image: { repository, tag, pullPolicy: 'Never' },
      auth: { kubernetes: { issuer: 'https://kubernetes.default.svc' } },
      broker: {
        affinity: {
          nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [preferred] },
        },
      },
      tls: { enabled: true, secretName: certificate },
      objectStore: {
        url: `s3://${bucket}/release?endpoint=${endpoint}&region=${region}`,
        secretName: 'store',
      },
    };
  }

  private async prepare(): Promise<void> {
    const { endpoint, accessKey, secretKey } = this.store.address;
    const { hostname, port } = new URL(endpoint);
    const s3 = { endPoint: hostname, port: Number(port), useSSL: false, accessKey, secretKey };
    await new Client(s3).makeBucket(bucket);
    this.makeNamespaces();
    this.makeSecrets();
  }

  private makeNamespaces(): void {
    const security = ['enforce', 'warn'].map(
      (mode) => `pod-security.kubernetes.io/${mode}=restricted`,
    );
    for (const namespace of [release, workNamespace]) {
      this.kubectl('create', 'namespace', namespace);
      this.kubectl('label', 'namespace', namespace, ...security);
    }
  }

  /** What the release and the load pods are given: certificate, credentials, CA, program. */
  private makeSecrets(): void {
    const { pki } = this.cluster.plane;
    pki.issue('broker', '/CN=broker', 'serverAuth', [`DNS:millrace.${release}.svc`]);
    const files = ['tls.crt=broker.crt', 'tls.key=broker.key', 'ca.crt=ca.crt'].map((pair) => {
      const [key = '', file = ''] = pair.split('=');
      return `--from-file=${key}=${pki.path(file)}`;
    });
    this.kubectl('-n', release, 'create', 'secret', 'generic', certificate, ...files);
    const { accessKey, secretKey } = this.store.address;
    const credentials = [
      `--from-literal=AWS_ACCESS_KEY_ID=${accessKey}`,
      `--from-literal=AWS_SECRET_ACCESS_KEY=${secretKey}`,
    ];
    this.kubectl('-n', release, 'create', 'secret', 'generic', 'store', ...credentials);
    const inWork = (...args: string[]): string => this.kubectl('-n', workNamespace, ...args);
    inWork('create', 'configmap', 'millrace-ca', `--from-file=ca.crt=${pki.path('ca.crt')}`);
    const program = join(import.meta.dirname, 'load', 'pod.ts');
    inWork('create', 'configmap', 'load', `--from-literal=pod.ts=${readFileSync(program, 'utf8')}`);
  }
}

class Forwarded implements AsyncDisposable {
  private readonly forwarding: LocalProcess;
  private readonly server: string;
  private readonly env: Readonly<Record<string, string>>;

  private constructor(forwarding: LocalProcess, server: string, cluster: NodeCluster) {
    this.forwarding = forwarding;
    this.server = server;
    const account = ['millrace-operator', '-n', release, '--audience', 'millrace'];
    this.env = {
      MILLRACE_TOKEN: cluster.kubectl(['create', 'token', ...account]).trim(),
      MILLRACE_TLS_CA: cluster.plane.pki.path('ca.crt'),
      MILLRACE_TLS_SERVER_NAME: `millrace.${release}.svc`,
    };
  }

  static async start(cluster: NodeCluster, directory: string): Promise<Forwarded> {
    const port = await freePort();
    const place = ['--kubeconfig', cluster.plane.kubeconfig, '-n', release];
    const command = [
      ...[hyper.path, 'kubectl', ...place, 'port-forward', 'service/millrace', `${port}:6700`],
    ];
    const log = join(directory, 'port-forward.log');
    const forwarding = LocalProcess.start('port-forward', command, log);
    await forwarding.until(() => forwarding.logTail().includes('Forwarding from'), 30_000);
    return new Forwarded(forwarding, `127.0.0.1:${port}`, cluster);
  }

  millrace(...args: string[]): Promise<Finished> {
    return runMillrace(this.server, args, '', this.env);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.forwarding[Symbol.asyncDispose]();
  }
}

function loadPod(name: string, verb: string, node: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app: name } },
    spec: {
      serviceAccountName: name,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      nodeSelector: { 'kubernetes.io/hostname': node },
      securityContext: {
        runAsNonRoot: true,
        fsGroup: 1000,
        seccompProfile: { type: 'RuntimeDefault' },
      },
      containers: [
        {
          name: 'load',
          image: imageName,
          imagePullPolicy: 'Never',
          command: ['node', '/app/test/kubernetes/load/pod.ts', verb],
          env: [
            { name: 'MILLRACE_SERVER', value: `millrace.${release}.svc:6700` },
            { name: 'MILLRACE_TLS_CA', value: '/etc/millrace/ca/ca.crt' },
            { name: 'MILLRACE_TOKEN_FILE', value: '/var/run/millrace/broker/token' },
          ],
          readinessProbe: { httpGet: { path: '/state', port: 8080 }, periodSeconds: 1 },
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          },
          volumeMounts: [
            { name: 'tmp', mountPath: '/tmp' },
            // The file itself: through the links of a ConfigMap it would not find the client.
            { name: 'load', mountPath: '/app/test/kubernetes/load/pod.ts', subPath: 'pod.ts' },
            { name: 'ca', mountPath: '/etc/millrace/ca', readOnly: true },
            { name: 'token', mountPath: '/var/run/millrace/broker', readOnly: true },
          ],
        },
      ],
      volumes: [
        { name: 'tmp', emptyDir: {} },
        { name: 'load', configMap: { name: 'load' } },
        { name: 'ca', configMap: { name: 'millrace-ca' } },
        {
          name: 'token',
          projected: {
            sources: [
              {
                serviceAccountToken: {
                  audience: 'millrace',
                  expirationSeconds: 3600,
                  path: 'token',
                },
              },
            ],
          },
        },
      ],
    },
  };
}
