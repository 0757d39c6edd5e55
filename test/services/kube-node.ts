// A real node of Kubernetes in a network namespace of this machine: containerd, kubelet and kube-proxy.
//
// Nodes are apart by network, not by disk or process ids. `removeRemains` ends what is started here.
import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { binDirectory, hyper } from './catalog.ts';
import type { ControlPlane } from './control-plane.ts';
import { LocalProcess } from './local-process.ts';
import { cgroupOf, linkPrefix, makeCgroups } from './remains.ts';

/** The programs of containerd find each other, and runc, by it. */
const path = `${binDirectory}:${process.env['PATH'] ?? ''}`;
const readyWithinMs = 120_000;
export const bridge = `${linkPrefix}0`;
export const gateway = '10.88.0.1';

export function addressOf(number: number): string {
  return `10.88.0.1${number}`;
}

export function podRangeOf(number: number): string {
  return `10.244.${number}.0/24`;
}

export class KubeNode {
  readonly name: string;
  private readonly directory: string;
  private readonly number: number;
  private readonly plane: ControlPlane;
  private readonly programs: LocalProcess[] = [];

  constructor(directory: string, number: number, plane: ControlPlane) {
    this.name = `n${number}`;
    this.directory = join(directory, this.name);
    this.number = number;
    this.plane = plane;
    for (const part of ['run', 'root', 'cni', 'kubelet']) {
      mkdirSync(join(this.directory, part), { recursive: true });
    }
  }

  /** Resolves when containerd runs and has the images; the node becomes Ready a moment later. */
  async start(others: readonly number[], images: readonly string[]): Promise<void> {
    this.connect(others);
    await this.startContainerd();
    for (const image of images) {
      await this.ctr('-n', 'k8s.io', 'images', 'import', '--all-platforms', image);
    }
    this.startKubelet();
    this.startProxy();
  }

  /** What its programs said last, for a failure's message. */
  logTails(): string {
    return this.programs.map((program) => `${program.name}:\n${program.logTail()}`).join('\n');
  }

  private get namespace(): string {
    return `${linkPrefix}-${this.name}`;
  }

  private get socket(): string {
    return join(this.directory, 'c.sock');
  }

  private connect(others: readonly number[]): void {
    const { namespace, number } = this;
    const link = `${linkPrefix}v${number}`;
    const inside = (...args: string[]): void => ip('-n', namespace, ...args);
    ip('netns', 'add', namespace);
    ip('link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace);
    ip('link', 'set', link, 'master', bridge, 'up');
    inside('link', 'set', 'lo', 'up');
    inside('addr', 'add', `${addressOf(number)}/24`, 'dev', 'eth0');
    inside('link', 'set', 'eth0', 'up');
    inside('route', 'add', 'default', 'via', gateway);
    for (const other of others) inside('route', 'add', podRangeOf(other), 'via', addressOf(other));
    const settings = ['net.ipv4.ip_forward=1', 'net.bridge.bridge-nf-call-iptables=1'];
    execFileSync('nsenter', [this.network, 'sysctl', '-qw', ...settings]);
  }

  /** Not `ip netns exec`, which mounts /sys anew and hides the control groups. */
  private get network(): string {
    return `--net=/run/netns/${this.namespace}`;
  }

  private async startContainerd(): Promise<void> {
    const { directory, number } = this;
    const cni = join(directory, 'cni');
    this.write(join('cni', '10-pods.conflist'), {
      cniVersion: '1.0.0',
      name: 'pods',
      plugins: [
        {
          type: 'bridge',
          bridge: 'cni0',
          isGateway: true,
          hairpinMode: true,
          ipam: {
            type: 'host-local',
            ranges: [[{ subnet: podRangeOf(number) }]],
            routes: [{ dst: '0.0.0.0/0' }],
            dataDir: join(directory, 'ipam'),
          },
        },
        { type: 'portmap', capabilities: { portMappings: true } },
      ],
    });
    const config = join(directory, 'containerd.toml');
    writeFileSync(config, containerdConfig(directory, this.socket, cni));
    const containerd = this.run('containerd', ['containerd', '-c', config]);
    const answers = () =>
      this.ctr('version').then(
        () => true,
        () => false,
      );
    await containerd.until(answers, readyWithinMs);
  }

  private async ctr(...args: string[]): Promise<void> {
    await promisify(execFile)('ctr', ['-a', this.socket, ...args], {
      env: { ...process.env, PATH: path },
    });
  }

  private startKubelet(): void {
    const { directory, name, number, plane } = this;
    const { pki, url } = plane;
    const names = [`DNS:${name}`, `IP:${addressOf(number)}`];
    pki.issue(name, `/O=system:nodes/CN=system:node:${name}`, 'clientAuth,serverAuth', names);
    writeFileSync(join(directory, 'resolv.conf'), `nameserver ${gateway}\n`);
    const config = this.write('kubelet.json', {
      apiVersion: 'kubelet.config.k8s.io/v1beta1',
      kind: 'KubeletConfiguration',
      authentication: {
        anonymous: { enabled: false },
        webhook: { enabled: true },
        x509: { clientCAFile: pki.path('ca.crt') },
      },
      authorization: { mode: 'Webhook' },
      tlsCertFile: pki.path(`${name}.crt`),
      tlsPrivateKeyFile: pki.path(`${name}.key`),
      containerRuntimeEndpoint: `unix://${this.socket}`,
      cgroupDriver: 'cgroupfs',
      cgroupRoot: cgroupOf(name),
      failCgroupV1: false,
      failSwapOn: false,
      oomScoreAdj: 0,
      enforceNodeAllocatable: ['pods'],
      clusterDNS: [gateway],
      clusterDomain: 'cluster.local',
      resolvConf: join(directory, 'resolv.conf'),
      // A fullish disk of the machine must evict nothing.
      imageGCHighThresholdPercent: 100,
      imageGCLowThresholdPercent: 99,
      evictionHard: {
        'memory.available': '100Mi',
        'nodefs.available': '0%',
        'nodefs.inodesFree': '0%',
        'imagefs.available': '0%',
      },
      volumePluginDir: join(directory, 'volume-plugins'),
      healthzPort: 0,
      syncFrequency: '10s',
      maxPods: 60,
      nodeStatusUpdateFrequency: '2s',
      nodeLeaseDurationSeconds: 8,
    });
    makeCgroups(name);
    this.run('kubelet', [
      ...[hyper.path, 'kubelet', '--config', config, '--hostname-override', name],
      ...['--kubeconfig', pki.kubeconfig(name, url), '--node-ip', addressOf(number)],
      ...['--root-dir', join(directory, 'kubelet'), '--cert-dir', join(directory, 'pki')],
    ]);
  }

  private startProxy(): void {
    const { name, plane } = this;
    const never = ['--conntrack-max-per-core', '--conntrack-min'];
    const kept = ['--conntrack-tcp-timeout-established', '--conntrack-tcp-timeout-close-wait'];
    this.run('kube-proxy', [
      ...[hyper.path, 'kube-proxy', '--hostname-override', name, '--oom-score-adj', '0'],
      ...['--kubeconfig', plane.pki.kubeconfig('proxy', plane.url)],
      ...['--proxy-mode', 'nftables', '--cluster-cidr', '10.244.0.0/16'],
      // Those of the machine stay as they are.
      ...[...never, ...kept].flatMap((flag) => [flag, '0']),
      ...['--healthz-bind-address', '', '--metrics-bind-address', ''],
    ]);
  }

  private run(name: string, command: readonly string[]): LocalProcess {
    const log = join(this.directory, `${name}.log`);
    const inside = ['nsenter', this.network, ...command];
    const program = LocalProcess.start(`${name} of ${this.name}`, inside, log, { PATH: path });
    this.programs.push(program);
    return program;
  }

  private write(file: string, content: unknown): string {
    const target = join(this.directory, file);
    writeFileSync(target, JSON.stringify(content));
    return target;
  }
}

export function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

function containerdConfig(directory: string, socket: string, cni: string): string {
  const runtime = `plugins.'io.containerd.cri.v1.runtime'`;
  return `
version = 3
root = "${directory}/root"
state = "${directory}/run"
# Its socket would be shared by the nodes.
disabled_plugins = ["io.containerd.nri.v1.nri"]
[grpc]
  address = "${socket}"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "localhost/pause:1"
[${runtime}]
  # Without CAP_SYS_RESOURCE no sandbox starts otherwise.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
[${runtime}.cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "${cni}"
[${runtime}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[${runtime}.containerd.runtimes.runc.options]
  BinaryName = "runc"
  SystemdCgroup = false
`;
}
