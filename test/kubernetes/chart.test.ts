// What the chart renders, looked at without a cluster.
import {
  loadYaml,
  type V1ClusterRole,
  type V1ConfigMap,
  type V1Container,
  type V1Deployment,
  type V1Pod,
  type V1PodSpec,
  type V1Role,
  type V1Service,
  type V1StatefulSet,
} from '@kubernetes/client-node';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parseAuthConfig } from '../../broker/access/auth-config.ts';
import { readSettings, settingRows } from '../../broker/settings.ts';
import { startCommand } from '../../cli/commands/start.ts';
import { readSettings as readOperatorSettings } from '../../operator/settings.ts';
import * as catalog from '../services/catalog.ts';
import { describeNeeding } from '../support/needs.ts';
import { chart, helm, only, render, template, valueSets, type Values } from './chart-render.ts';
import { clusterRules, leaseRules } from './operator-rules.ts';

const sets = Object.entries(valueSets);
const missing = catalog.missing(catalog.helm);

function text(file: string): string {
  return readFileSync(join(chart, file), 'utf8');
}

describeNeeding(missing, 'the values of the chart', () => {
  const values = leavesOf(loadYaml(text('values.yaml')));

  it('are the same in values.yaml, the schema and the README', () => {
    const schema = schemaLeaves(JSON.parse(text('values.schema.json')) as Schema);
    // Helm's own, for charts that have this one in them.
    expect(schema.filter((name) => name !== 'global').sort()).toEqual([...values].sort());
    const rows = text('README.md').matchAll(/^\| `([A-Za-z.]+)` +\|/gm);
    expect([...rows].map(([, name]) => name)).toEqual(values);
  });

  it('are explained where they stand', () => {
    const lines = text('values.yaml').split('\n');
    const isLeaf = (name: string): boolean => values.some((one) => one.split('.').at(-1) === name);
    const bare = lines.filter((line, i) => {
      const name = /^ *([A-Za-z]+):/.exec(line)?.[1];
      return name !== undefined && isLeaf(name) && !/^ *# ./.test(lines[i - 1] ?? '');
    });
    expect(bare).toEqual([]);
  });

  it('name every setting of the broker that the chart does not make itself', () => {
    const made = new Set(brokerFlags(valueSets['own certificate, S3, much else'] ?? {}));
    const schema = JSON.parse(text('values.schema.json')) as Schema;
    const settings = schema.properties?.['broker']?.properties?.['settings'];
    const free = Object.keys(settings?.properties ?? {});
    // Those need a file or exclude what the chart says.
    const refused = ['allow-unauthenticated', 'tls-client-ca', 'tls-client-certificates'];
    const set = ['retention-age-ms', 'generation-bytes'];
    const all = settingRows.map(({ flag }) => flag.slice(2));
    const expected = all.filter((name) => !refused.includes(name));
    expect(free.sort()).toEqual(
      expected.filter((name) => !made.has(name) || set.includes(name)).sort(),
    );
  });

  it.each<[string, Values, RegExp]>([
    ['an unknown value', { brocker: {} }, /brocker/],
    ['an unknown setting', { broker: { settings: { listen: 'x' } } }, /settings.*listen/s],
    ['a grace that is too long', { broker: { shutdownGraceMs: 600_001 } }, /shutdownGraceMs/],
    ['keys over http', { auth: { kubernetes: { jwksUrl: 'http://x' } } }, /jwksUrl/],
    ['a store that is none', { objectStore: { url: 'minio:9000' } }, /objectStore/],
    ['TLS from nowhere', { tls: { enabled: true } }, /tls\.secretName, or tls\.certManager/],
    ['a certificate without TLS', { tls: { secretName: 'x' } }, /need tls\.enabled=true/],
    [
      'two certificates',
      { tls: { enabled: true, secretName: 'x', certManager: { issuerName: 'y' } } },
      /exclude each other/,
    ],
    ['credentials without a store', { objectStore: { secretName: 'x' } }, /objectStore\.url/],
    [
      'operators whom nobody asks',
      { auth: { enabled: false, operators: ['token:a'] } },
      /need auth\.enabled=true/,
    ],
  ])('refuse %s', (_, wrong, message) => {
    const { code, stderr } = helm(['template', 'x', chart, '--values', '-'], wrong);
    expect(stderr).toMatch(message);
    expect(code).not.toBe(0);
  });
});

describeNeeding(missing, 'the chart', () => {
  it.each(sets)('passes helm lint: %s', (_, values) => {
    const { code, stdout } = helm(['lint', '--strict', chart, '--values', '-'], values);
    expect(code, stdout).toBe(0);
  });

  it.each(sets)('gives the broker settings that it knows: %s', (_, values) => {
    const settings = brokerSettings(values);
    const pod = broker(values).spec?.template.spec;
    expect(pod?.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(
      settings.shutdownGraceMs / 1_000 + 30,
    );
    // Variables of Services called millrace would be unknown settings.
    expect(pod?.enableServiceLinks).toBe(false);
    expect(settings.allowUnauthenticated).toBe(settings.authConfig === undefined);
  });

  it('keeps large numbers of settings as they are', () => {
    const values = { broker: { settings: { 'retention-age-ms': 604_800_000_000, shards: 2 } } };
    expect(brokerSettings(values)).toMatchObject({ retentionAgeMs: 604_800_000_000, shards: 2 });
  });

  it('lets service accounts of the cluster in, and its operator operate', () => {
    const values = valueSets['own certificate, S3, much else'] ?? {};
    const { issuers } = parseAuthConfig(authJson(values));
    expect(issuers.map(({ name }) => name)).toEqual(['corp', undefined]);
    expect(brokerFlagValues(values)).toContain(
      '--operators=serviceaccount:millrace:broker-operator,jwt:corp:alice,token:admin',
    );
    expect(parseAuthConfig(authJson({})).issuers).toHaveLength(1);
  });

  it('gives the operator flags that it knows, and the address that the broker tells', () => {
    for (const [, values] of sets.filter(([name]) => name !== 'without operator')) {
      const operator = only<V1Deployment>(render(values), 'Deployment');
      const [container] = containersOf(operator.spec?.template.spec);
      const settings = readOperatorSettings(container?.args ?? []);
      expect(brokerFlagValues(values)).toContain(`--advertise-address=${settings.broker}`);
      const asks = brokerSettings(values).authConfig !== undefined;
      expect(settings.tokenFile !== undefined).toBe(asks);
    }
  });

  it('grants the operator what its tests run under', () => {
    const objects = render({});
    expect(only<V1ClusterRole>(objects, 'ClusterRole').rules).toEqual(clusterRules);
    expect(only<V1Role>(objects, 'Role').rules).toEqual(leaseRules);
    const accounts = objects.filter(({ kind }) => kind?.endsWith('RoleBinding') === true);
    expect(accounts).toHaveLength(2);
    for (const account of accounts) {
      expect(account).toMatchObject({
        roleRef: { name: 'millrace-operator' },
        subjects: [{ kind: 'ServiceAccount', name: 'millrace-operator', namespace: 'millrace' }],
      });
    }
  });

  it.each(sets)('mounts every volume that a container has, and no other: %s', (_, values) => {
    for (const pod of podsOf(values)) {
      const claims = pod.containers[0]?.name === 'broker' ? ['data'] : [];
      const volumes = [...claims, ...(pod.volumes ?? []).map(({ name }) => name)];
      const mounts = pod.containers.flatMap((one) => one.volumeMounts ?? []);
      expect(mounts.map(({ name }) => name).sort()).toEqual(volumes.sort());
    }
  });

  it('selects the pods that its Services are for', () => {
    const objects = render({});
    const labels = only<V1StatefulSet>(objects, 'StatefulSet').spec?.template.metadata?.labels;
    for (const name of ['millrace', 'millrace-headless']) {
      const service = only<V1Service>(objects, 'Service', name);
      expect(labels).toMatchObject(service.spec?.selector ?? { none: '' });
    }
    const operator = only<V1Deployment>(objects, 'Deployment').spec?.template.metadata?.labels;
    const service = only<V1Service>(objects, 'Service', 'millrace-operator');
    expect(operator).toMatchObject(service.spec?.selector ?? { none: '' });
    expect(operator).not.toMatchObject(labels ?? {});
  });

  it('asks cert-manager for the names that clients use', () => {
    const objects = render(valueSets['certificate of cert-manager, ServiceMonitor'] ?? {});
    expect(only(objects, 'Certificate')).toMatchObject({
      spec: {
        secretName: 'millrace-tls',
        issuerRef: { kind: 'ClusterIssuer', name: 'ca' },
        dnsNames: expect.arrayContaining(['millrace.millrace.svc', 'mq.example.com']) as unknown,
      },
    });
    expect(only(objects, 'ServiceMonitor')).toMatchObject({
      metadata: { labels: { prometheus: 'main' } },
      spec: { endpoints: [{ port: 'http', path: '/metrics' }] },
    });
  });

  it('tests with the command line where it may show its token', () => {
    const command = (values: Values) => containersOf(only<V1Pod>(render(values), 'Pod').spec)[0];
    const { tls } = valueSets['certificate of cert-manager, ServiceMonitor'] ?? {};
    expect(command({ tls })?.command).toEqual(['millrace']);
    expect(command({ tls })?.args).toContain('--token-file=/var/run/millrace/broker/token');
    expect(command({ auth: { enabled: false } })?.command).toEqual(['millrace']);
    expect(command({})?.args?.join('')).toContain('/readyz');
  });

  it('leaves the custom resources out when told to, and keeps them otherwise', () => {
    expect(template({ crds: { install: false } })).not.toContain('CustomResourceDefinition');
    const objects = render({}).filter(({ kind }) => kind === 'CustomResourceDefinition');
    expect(objects).toHaveLength(2);
    for (const one of objects) {
      expect(one.metadata?.annotations).toEqual({ 'helm.sh/resource-policy': 'keep' });
    }
  });
});

function broker(values: Values): V1StatefulSet {
  return only<V1StatefulSet>(render(values), 'StatefulSet');
}

function containersOf(pod: V1PodSpec | undefined): V1Container[] {
  return pod?.containers ?? [];
}

function podsOf(values: Values): V1PodSpec[] {
  const objects = render(values);
  const templates = objects.filter(({ kind }) => kind === 'StatefulSet' || kind === 'Deployment');
  return [
    ...templates.map((one) => (one as V1Deployment).spec?.template.spec),
    only<V1Pod>(objects, 'Pod').spec,
  ].filter((one) => one !== undefined);
}

function brokerFlagValues(values: Values): string[] {
  return containersOf(broker(values).spec?.template.spec)[0]?.args?.slice(1) ?? [];
}

function brokerFlags(values: Values): string[] {
  return brokerFlagValues(values).map((arg) => arg.slice(2).split('=')[0] ?? '');
}

/** As the broker's process reads them. */
function brokerSettings(values: Values) {
  const command = startCommand().action(() => {});
  command.parse(brokerFlagValues(values), { from: 'user' });
  return readSettings(command.opts(), {});
}

function authJson(values: Values): string {
  return only<V1ConfigMap>(render(values), 'ConfigMap').data?.['auth.json'] ?? '';
}

/** Names of what is no group of values, with dots, in their order. */
function leavesOf(value: unknown, path = ''): string[] {
  const isGroup = typeof value === 'object' && value !== null && !Array.isArray(value);
  const entries = isGroup && !path.endsWith('resources') ? Object.entries(value) : [];
  if (entries.length === 0) return [path];
  return entries.flatMap(([name, one]) => leavesOf(one, path === '' ? name : `${path}.${name}`));
}

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
}

function schemaLeaves(schema: Schema, path = ''): string[] {
  if (schema.properties === undefined || path === 'broker.settings') return [path];
  return Object.entries(schema.properties).flatMap(([name, one]) =>
    schemaLeaves(one, path === '' ? name : `${path}.${name}`),
  );
}
