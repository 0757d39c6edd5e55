// The chart installed, upgraded, rolled back and uninstalled by helm at a real API server, without nodes.
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import * as catalog from '../services/catalog.ts';
import { missingControlPlane } from '../services/control-plane.ts';
import { describeNeeding } from '../support/needs.ts';
import { ChartFixture, workNamespace } from './chart-fixture.ts';
import { chart, release, succeeded, template, valueSets } from './chart-render.ts';

const examples = join(import.meta.dirname, '..', '..', 'examples', 'kubernetes');
const soon = { timeout: 60_000, interval: 100 };
const claim = 'persistentvolumeclaim/data-millrace-0';
const broker = 'statefulset/millrace';
const operatorArgs = '{.spec.template.spec.containers[0].args}';
/** Of operators that this control plane does not know. */
const isForeign = /^kind: (Certificate|ServiceMonitor)$/m;

describeNeeding(missingControlPlane() ?? catalog.missing(catalog.helm), 'a release', () => {
  let kube: ChartFixture;

  beforeAll(async () => {
    kube = await ChartFixture.start();
  }, 240_000);

  afterAll(async () => {
    await kube[Symbol.asyncDispose]();
  }, 60_000);

  it.each(Object.entries(valueSets))(
    'is accepted by the API server, under restricted pod security: %s',
    (_, values) => {
      const documents = template(values).split(/^---$/m);
      const known = documents.filter((one) => !isForeign.test(one));
      const { code, stderr } = kube.tryApply(known.join('\n---\n'));
      // A warning would be one of pod security, too.
      expect(stderr).toBe('');
      expect(code).toBe(0);
    },
  );

  it('is upgraded with its custom resources, rolled back, and finds its data again', async () => {
    kube.install(await olderChart(join(kube.plane.directory, 'older')));
    expect(columnsOfTopics()).not.toContain('Age');
    await expect.poll(() => kube.names('pods'), soon).toHaveLength(2);
    expect(kube.names('pods')).toContain('pod/millrace-0');
    kube.applyExamples();
    const before = uids();

    succeeded(kube.upgrade(chart, { operator: { logLevel: 'warn' } }));
    expect(columnsOfTopics()).toContain('Age');
    const args = () => kube.field('deployment/millrace-operator', operatorArgs);
    expect(args()).toContain('--log-level=warn');
    // What the broker runs with did not change: it is not restarted.
    expect(kube.field(broker, '{.metadata.generation}')).toBe('1');

    const other = kube.upgrade(chart, { broker: { volume: { size: '30Gi' } } });
    expect(other.stderr).toMatch(/updates to statefulset spec/);
    succeeded(kube.helm('rollback', release, '1'));
    expect(args()).toContain('--log-level=info');

    kube.uninstall();
    const ofRelease = 'pods,statefulsets,deployments,services,configmaps,networkpolicies';
    const left = () => kube.names(ofRelease).filter((name) => !name.includes('kube-root-ca'));
    await expect.poll(left, soon).toEqual([]);
    expect(uids()).toEqual(before);

    kube.install(chart);
    await expect.poll(() => kube.names('pods'), soon).toContain('pod/millrace-0');
    const mounted = '{.spec.volumes[?(@.name=="data")].persistentVolumeClaim.claimName}';
    expect(kube.field('pod/millrace-0', mounted)).toBe('data-millrace-0');
    expect(uids()).toEqual(before);
    kube.uninstall();
  }, 180_000);

  it('tells a next step that works, as the examples do', async () => {
    const printed = kube.install(chart);
    const told = /<<'END'\n([\s\S]*)^END$/m.exec(printed)?.[1] ?? '';
    const files = ['workloads.yaml', 'tenant.yaml', 'topic.yaml'].map((file) =>
      readFile(join(examples, file), 'utf8'),
    );
    for (const text of [told, ...(await Promise.all(files))]) {
      expect(text).toMatch(/^kind: /m);
      // Where it is tried there are the accounts that pods need, and no other namespace's.
      const { code, stderr } = kube.tryApply(text.replaceAll(/^ +namespace: \w+\n/gm, ''));
      expect(stderr).toBe('');
      expect(code).toBe(0);
    }
    kube.uninstall();
  }, 60_000);

  it('gives the custom resources to a release of another name only when told to', () => {
    kube.install(chart);
    kube.uninstall();
    const refused = kube.helm('install', 'other', chart);
    expect(refused.stderr).toMatch(/cannot be imported into the current release/);
    expect(refused.code).not.toBe(0);
    succeeded(kube.helm('install', 'other', chart, '--take-ownership'));
    succeeded(kube.helm('uninstall', 'other'));
    // Back to the name that other tests use.
    succeeded(kube.helm('install', release, chart, '--take-ownership'));
    kube.uninstall();
  }, 60_000);

  function columnsOfTopics(): string {
    const path = '{.spec.versions[0].additionalPrinterColumns[*].name}';
    return kube.field('crd/topics.millrace.dev', path);
  }

  /** Of what must outlive the release. */
  function uids(): string[] {
    return [
      kube.field(claim, '{.metadata.uid}'),
      kube.field('crd/topics.millrace.dev', '{.metadata.uid}'),
      kube.field('tenant/retail', '{.metadata.uid}'),
      kube.field('topic/orders', '{.metadata.uid}', workNamespace),
    ];
  }
});

/** The chart as if a Topic had no column for its age yet; answers its path. */
async function olderChart(directory: string): Promise<string> {
  await cp(chart, directory, { recursive: true });
  const file = join(directory, 'templates', 'crds', 'topic.yaml');
  const text = await readFile(file, 'utf8');
  const column = /^ +- name: Age\n +type: date\n +jsonPath: .*\n/m;
  expect(text).toMatch(column);
  await writeFile(file, text.replace(column, ''));
  return directory;
}
