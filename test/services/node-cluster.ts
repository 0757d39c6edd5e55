// A cluster with real nodes on this machine: a bridge, a control plane on it, DNS, volumes, and two nodes.
//
// Invariants:
// - One at a time: its directory, its network and its links have fixed names, so that the next one finds what a killed
//   one has left.
// - Settings of the machine that its programs change are put back.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { binDirectory, hyper } from './catalog.ts';
import { ControlPlane } from './control-plane.ts';
import { addressOf, bridge, gateway, ip, KubeNode, podRangeOf } from './kube-node.ts';
import { LocalProcess } from './local-process.ts';
import { removeRemains } from './remains.ts';

const directory = join(tmpdir(), 'millrace-nodes');
/** What the kubelet sets on the machine. */
const kernelSettings = ['vm.overcommit_memory', 'kernel.panic', 'kernel.panic_on_oops'];
const numbers = [1, 2] as const;
const volumes = 4;
const readyWithinMs = 120_000;

export class NodeCluster implements AsyncDisposable {
  readonly plane: ControlPlane;
  readonly nodes: readonly KubeNode[];
  private readonly kernel: readonly string[];
  private readonly dns: LocalProcess;

  private constructor(plane: ControlPlane, kernel: readonly string[]) {
    this.plane = plane;
    this.kernel = kernel;
    this.nodes = numbers.map((number) => new KubeNode(directory, number, plane));
    this.dns = startDns(plane);
  }

  /** Resolves when both nodes are Ready; they have the images, which are archives of `docker save`'s shape. */
  static async start(images: readonly string[]): Promise<NodeCluster> {
    await clear();
    mkdirSync(directory, { recursive: true });
    const kernel = kernelSettings.map((name) => `${name}=${readSetting(name)}`);
    try {
      makeBridge();
      const cluster = new NodeCluster(await startPlane(), kernel);
      await cluster.startNodes(images);
      return cluster;
    } catch (error) {
      await clear();
      execFileSync('sysctl', ['-qw', ...kernel]);
      throw error;
    }
  }

  /** As the administrator; stdout. Throws with its stderr. */
  kubectl(args: readonly string[], input = ''): string {
    const all = ['kubectl', '--kubeconfig', this.plane.kubeconfig, ...args];
    return execFileSync(hyper.path, all, { input, encoding: 'utf8', stdio: 'pipe' });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Nodes first: with them the API server would wait for their watches.
    await removeRemains(directory);
    await this.dns[Symbol.asyncDispose]();
    await this.plane[Symbol.asyncDispose]();
    await clear();
    execFileSync('sysctl', ['-qw', ...this.kernel]);
  }

  private async startNodes(images: readonly string[]): Promise<void> {
    this.makeVolumes();
    try {
      const starts = this.nodes.map((node, i) => {
        const others = numbers.filter((number) => number !== numbers[i]);
        return node.start(others, images);
      });
      await Promise.all(starts);
      for (const { name } of this.nodes) await this.untilReady(name);
    } catch (error) {
      const told = this.nodes.map((node) => node.logTails()).join('\n');
      throw new Error(`the nodes did not start:\n${told}`, { cause: error });
    }
  }

  /** Any node may use each: they share this machine's disk, so a volume follows its pod as a network disk does. */
  private makeVolumes(): void {
    const storageClass = {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'StorageClass',
      metadata: {
        name: 'local',
        annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' },
      },
      provisioner: 'kubernetes.io/no-provisioner',
      volumeBindingMode: 'WaitForFirstConsumer',
    };
    const items = Array.from({ length: volumes }, (_, i) => {
      const path = join(directory, 'volumes', String(i));
      mkdirSync(path, { recursive: true });
      return volume(`volume-${i}`, path);
    });
    const list = { apiVersion: 'v1', kind: 'List', items: [storageClass, ...items] };
    this.kubectl(['apply', '-f', '-'], JSON.stringify(list));
  }

  private async untilReady(node: string): Promise<void> {
    const deadline = performance.now() + readyWithinMs;
    const ready =
      '{.items[?(@.metadata.name=="NODE")].status.conditions[?(@.type=="Ready")].status}';
    const path = `jsonpath=${ready.replace('NODE', node)}`;
    while (this.kubectl(['get', 'nodes', '-o', path]) !== 'True') {
      if (performance.now() > deadline) throw new Error(`${node} is not Ready`);
      await delay(100);
    }
  }
}

/** Of this cluster, or of one before it that was killed. */
async function clear(): Promise<void> {
  await removeRemains(directory);
  await rm(directory, { recursive: true, force: true });
}

async function startPlane(): Promise<ControlPlane> {
  const plane = await ControlPlane.start({
    controllers: true,
    directory: join(directory, 'plane'),
    address: gateway,
    apiServerArgs: [
      '--default-not-ready-toleration-seconds=5',
      '--default-unreachable-toleration-seconds=5',
    ],
    controllerArgs: ['--node-monitor-grace-period=8s', '--node-monitor-period=1s'],
  });
  plane.pki.issue('proxy', '/CN=system:kube-proxy', 'clientAuth');
  return plane;
}

function makeBridge(): void {
  ip('link', 'add', bridge, 'type', 'bridge');
  ip('addr', 'add', `${gateway}/24`, 'dev', bridge);
  ip('link', 'set', bridge, 'up');
  // This machine reaches the pods.
  for (const number of numbers) ip('route', 'add', podRangeOf(number), 'via', addressOf(number));
}

function startDns(plane: ControlPlane): LocalProcess {
  const file = join(directory, 'Corefile');
  // Two blocks: in one, `template` would answer first.
  writeFileSync(
    file,
    `cluster.local:53 {
  bind ${gateway}
  errors
  kubernetes cluster.local {
    kubeconfig ${plane.kubeconfig} c
    ttl 1
  }
}
.:53 {
  bind ${gateway}
  template ANY ANY {
    rcode NXDOMAIN
  }
}
`,
  );
  const command = [join(binDirectory, 'coredns'), '-conf', file];
  return LocalProcess.start('CoreDNS', command, join(directory, 'coredns.log'));
}

function volume(name: string, path: string): object {
  const anywhere = { key: 'kubernetes.io/os', operator: 'In', values: ['linux'] };
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name },
    spec: {
      capacity: { storage: '20Gi' },
      accessModes: ['ReadWriteOnce'],
      persistentVolumeReclaimPolicy: 'Retain',
      storageClassName: 'local',
      local: { path },
      nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [anywhere] }] } },
    },
  };
}

function readSetting(name: string): string {
  return execFileSync('sysctl', ['-n', name], { encoding: 'utf8' }).trim();
}
