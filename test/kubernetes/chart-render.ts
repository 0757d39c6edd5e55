// The chart as Helm renders it, with sets of values that together touch every template.
import { loadAllYaml, type KubernetesObject } from '@kubernetes/client-node';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import * as catalog from '../services/catalog.ts';

export const chart = join(import.meta.dirname, '..', '..', 'charts', 'millrace');
/** Name of the release and of its namespace. */
export const release = 'millrace';

export type Values = Readonly<Record<string, unknown>>;

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const scheduling = {
  nodeSelector: { disk: 'fast' },
  tolerations: [{ key: 'dedicated', operator: 'Exists' }],
  affinity: { podAntiAffinity: {} },
  podAnnotations: { team: 'platform' },
};

const byPod = { podSelector: { matchLabels: { app: 'shop' } } };
const byNamespace = { namespaceSelector: { matchLabels: { team: 'monitoring' } } };

export const valueSets: Readonly<Record<string, Values>> = {
  default: {},
  open: { auth: { enabled: false }, networkPolicy: { enabled: false }, crds: { install: false } },
  'without operator': { operator: { enabled: false } },
  'own certificate, S3, much else': {
    fullnameOverride: 'broker',
    image: { tag: 'x', pullSecrets: [{ name: 'registry' }] },
    broker: {
      ...scheduling,
      settings: { 'retention-age-ms': 604_800_000, 'generation-bytes': '64M' },
      shutdownGraceMs: 90_500,
      extraEnv: [{ name: 'NODE_EXTRA_CA_CERTS', value: '/etc/ssl/ca.pem' }],
      volume: { size: '1Ti', storageClassName: 'fast' },
      priorityClassName: 'system-cluster-critical',
      serviceAccountAnnotations: { role: 'store' },
    },
    service: { type: 'LoadBalancer', annotations: { internal: 'true' } },
    objectStore: { url: 's3://bucket/a?endpoint=http://minio:9000&region=eu', secretName: 'minio' },
    auth: {
      operators: ['jwt:corp:alice', 'token:admin'],
      issuers: [
        {
          name: 'corp',
          issuer: 'https://login.example.com',
          audiences: ['millrace'],
          keys: { discovery: true },
        },
      ],
    },
    tls: { enabled: true, secretName: 'broker-certificate' },
    operator: { ...scheduling, replicas: 2, driftInterval: '90s', logLevel: 'debug' },
    networkPolicy: { clientsFrom: [byPod], metricsFrom: [byNamespace] },
  },
  'certificate of cert-manager, ServiceMonitor': {
    tls: {
      enabled: true,
      certManager: { issuerName: 'ca', issuerKind: 'ClusterIssuer', dnsNames: ['mq.example.com'] },
    },
    serviceMonitor: { enabled: true, labels: { prometheus: 'main' } },
  },
  'TLS of a public CA, nobody asked': {
    auth: { enabled: false },
    tls: { enabled: true, secretName: 'public', caKey: '' },
  },
};

/** Runs helm; the values come from stdin where `--values -` says so. */
export function helm(args: readonly string[], values: Values = {}): Outcome {
  return run(catalog.helm.path, args, JSON.stringify(values));
}

export function kubectl(args: readonly string[], input = ''): Outcome {
  return run(catalog.hyper.path, ['kubectl', ...args], input);
}

/** What helm prints. Throws with its stderr when it fails. */
export function template(values: Values): string {
  const names = [release, chart, '--namespace', release];
  return succeeded(helm(['template', ...names, '--values', '-'], values));
}

export function render(values: Values): KubernetesObject[] {
  return objectsIn(template(values));
}

export function objectsIn(yaml: string): KubernetesObject[] {
  const objects: unknown[] = loadAllYaml(yaml);
  // Between two separators there may be nothing.
  return objects.filter((one): one is KubernetesObject => one !== null && one !== undefined);
}

/** The only object of that kind, and of that name if one is said. */
export function only<T extends KubernetesObject>(
  objects: readonly KubernetesObject[],
  kind: string,
  name?: string,
): T {
  const named = objects.filter((one) => name === undefined || one.metadata?.name === name);
  const [found, more] = named.filter((one) => one.kind === kind);
  if (found === undefined || more !== undefined) {
    throw new Error(`not exactly one ${kind} ${name ?? ''}`);
  }
  return found as T;
}

/** Its stdout. Throws with its stderr when it failed. */
export function succeeded({ code, stdout, stderr }: Outcome): string {
  if (code === 0) return stdout;
  throw new Error(`it ended with ${code}: ${stderr}`);
}

function run(program: string, args: readonly string[], input: string): Outcome {
  const limits = { timeout: 120_000, maxBuffer: 64 * 2 ** 20 };
  const done = spawnSync(program, args, { input, encoding: 'utf8', ...limits });
  return { code: done.status, stdout: done.stdout, stderr: done.stderr };
}
