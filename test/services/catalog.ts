// What the tests need that npm does not bring: where it lies in the cache, in which version, how it is built.
//
// Invariants:
// - The cache is outside the checkout and shared by all checkouts of a user.
// - `<cache>/bin/.<name>` holds the version that was built; it is written last, so a broken build is built again.
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Missing } from '../support/needs.ts';

export const cacheDirectory =
  process.env['MILLRACE_CACHE'] ?? join(homedir(), '.cache', 'millrace');
export const binDirectory = join(cacheDirectory, 'bin');

export interface Service {
  readonly name: string;
  /** What the stamp must say. */
  readonly version: string;
  /** The file that tests run. */
  readonly path: string;
  /** The tool that builds it, and what to install when it is not there. */
  readonly tool: { readonly command: string; readonly install: string };
  /** Commands in order; each a program and its arguments. */
  readonly build: readonly (readonly string[])[];
  readonly env: Readonly<Record<string, string>>;
}

/** All that the virtual environment holds, dependencies too, so that two machines test the same. */
const pythonRequirements = [
  'grpcio==1.85.1',
  'grpcio-tools==1.85.1',
  'grpcio-health-checking==1.85.1',
  'grpcio-reflection==1.85.1',
  'protobuf==7.36.2',
  'typing-extensions==4.16.0',
];

const pythonDirectory = join(cacheDirectory, 'python');

const go = { command: 'go', install: 'Go 1.26 or later (https://go.dev/doc/install)' };
const goEnv = { CGO_ENABLED: '0', GOTOOLCHAIN: 'local', GOFLAGS: '-trimpath -buildvcs=false' };

export const minio = goInstall(
  'minio',
  '20260212201848',
  'github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c',
);

const kubernetesVersion = '1.36.3';
const hyperPath = join(binDirectory, 'hyper');

/** etcd and the programs of Kubernetes in one binary: one link instead of seven. */
export const hyper: Service = {
  name: 'hyper',
  version: kubernetesVersion,
  path: hyperPath,
  tool: go,
  build: [
    [
      ...['go', 'build', '-C', join(import.meta.dirname, 'hyper'), '-mod=readonly'],
      // Without it everything calls itself v0.0.0, which no chart's kubeVersion matches.
      `-ldflags=-s -w -X k8s.io/component-base/version.gitVersion=v${kubernetesVersion}`,
      ...['-o', hyperPath, '.'],
    ],
  ],
  env: goEnv,
};

export const helm = goInstall('helm', '4.3.1', 'helm.sh/helm/v4/cmd/helm@v4.3.1');

/** gRPC in another language, for the interoperability test. */
export const python: Service = {
  name: 'python',
  version: pythonRequirements.join(' '),
  path: join(pythonDirectory, 'bin', 'python'),
  tool: { command: 'python3', install: 'Python 3.9 or later with its venv module (python3-venv)' },
  build: [
    ['python3', '-m', 'venv', '--clear', pythonDirectory],
    [
      join(pythonDirectory, 'bin', 'pip'),
      'install',
      '--quiet',
      '--disable-pip-version-check',
      '--only-binary=:all:',
      ...pythonRequirements,
    ],
  ],
  env: {},
};

const containerdVersion = '2.4.2';
const containerd = ['containerd', 'containerd-shim-runc-v2', 'ctr'].map((name) =>
  goInstall(
    name,
    containerdVersion,
    `github.com/containerd/containerd/v2/cmd/${name}@v${containerdVersion}`,
  ),
);

const coredns = goInstall('coredns', '1.15.0', 'github.com/coredns/coredns@v1.15.0');

const pausePath = join(binDirectory, 'pause');

/** Holds the namespaces of a pod. */
export const pause: Service = {
  name: 'pause',
  version: '1',
  path: pausePath,
  tool: go,
  build: [
    [
      ...['go', 'build', '-C', join(import.meta.dirname, 'pause'), '-ldflags=-s -w'],
      ...['-o', pausePath, '.'],
    ],
  ],
  env: goEnv,
};

const debianPackages = 'runc containernetworking-plugins iptables nftables iproute2 buildah'.split(
  ' ',
);

/** What a node needs besides, and what builds an image without a daemon. */
const nodePackages: Service = {
  name: 'node-packages',
  version: debianPackages.join(' '),
  path: '/usr/bin/buildah',
  tool: { command: 'apt-get', install: 'a Linux with apt-get' },
  build: [
    ['apt-get', 'update', '-qq'],
    ['apt-get', 'install', '-qq', '-y', '--no-install-recommends', ...debianPackages],
  ],
  env: { DEBIAN_FRONTEND: 'noninteractive' },
};

/** Only machines that can have nodes of Kubernetes have them. */
export const nodeServices: readonly Service[] = [...containerd, coredns, pause, nodePackages];
export const services: readonly Service[] = [minio, python, hyper, helm, ...nodeServices];

/** A program of one module; `source` is `path@version`. */
function goInstall(name: string, version: string, source: string): Service {
  return {
    name,
    version,
    path: join(binDirectory, name),
    tool: go,
    build: [['go', 'install', '-ldflags=-s -w', source]],
    env: { ...goEnv, GOBIN: binDirectory },
  };
}

/** Whether it is built in the version that the tests want. */
export function isBuilt({ name, version, path }: Service): boolean {
  const stamp = stampPath(name);
  return existsSync(path) && existsSync(stamp) && readFileSync(stamp, 'utf8').trim() === version;
}

export function stampPath(name: string): string {
  return join(binDirectory, `.${name}`);
}

/** For `describeNeeding`: undefined when it is built. */
export function missing(service: Service): Missing {
  if (isBuilt(service)) return undefined;
  return `${service.name} ${service.version}; run npm run services, which needs ${service.tool.install}`;
}

/** Why this machine cannot have nodes of Kubernetes, whatever is built. */
export function cannotHaveNodes(): Missing {
  if (process.platform !== 'linux') return 'nodes of Kubernetes; they need Linux';
  if (process.getuid?.() !== 0) return 'nodes of Kubernetes; run the tests as root';
  if (!existsSync('/sys/fs/cgroup/cpuset')) {
    return 'nodes of Kubernetes; the tests make theirs with control groups of version 1';
  }
  return undefined;
}

/** For `describeNeeding`: undefined when all that real nodes need is there. */
export function missingNodes(): Missing {
  const lacking = cannotHaveNodes();
  if (lacking !== undefined) return lacking;
  return [hyper, helm, minio, ...nodeServices].map(missing).find((one) => one !== undefined);
}
