// The project's image on real nodes: installed by the chart, used by pods that say who they are by their service
// accounts, and broken in the ways in which clusters break it, under load.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { missingNodes } from '../services/catalog.ts';
import { missingOpenssl } from '../services/pki.ts';
import { describeNeeding } from '../support/needs.ts';
import { expectNoSecret } from '../support/secrets.ts';
import { chart, release, succeeded } from './chart-render.ts';
import { brokerPod, NodesFixture, workNamespace } from './nodes-fixture.ts';

const within = 180_000;

describeNeeding(missingNodes() ?? missingOpenssl(), 'a release on real nodes', () => {
  let nodes: NodesFixture;

  beforeAll(async () => {
    nodes = await NodesFixture.start();
    nodes.install();
  }, 400_000);

  afterAll(async () => {
    await nodes?.[Symbol.asyncDispose]();
  }, 60_000);

  it(
    'is ready, and its own test passes',
    () => {
      expect(nodes.isReady()).toBe(true);
      const printed = succeeded(nodes.helm({}, 'test', release, '--timeout', '60s'));
      expect(printed).toMatch(/Phase:\s+Succeeded/);
    },
    within,
  );

  it('runs as nobody in particular, on a root that cannot be written', () => {
    const program = `
      const { writeFileSync, readFileSync } = require('node:fs');
      const status = readFileSync('/proc/self/status', 'utf8');
      const can = (path) => { try { writeFileSync(path, ''); return true; } catch (error) { return error.code; } };
      console.log(JSON.stringify({
        user: process.getuid(), root: can('/app/x'), data: can('/data/x'),
        capabilities: Number(/CapEff:\\s+(\\w+)/.exec(status)[1]), seccomp: /Seccomp:\\s+(\\d)/.exec(status)[1],
      }));`;
    const printed = nodes.kubectl('-n', release, 'exec', brokerPod, '--', 'node', '-e', program);
    const expected = { user: 1000, root: 'EROFS', data: true, capabilities: 0, seccomp: '2' };
    expect(JSON.parse(printed)).toEqual(expected);
  });

  it(
    'lets pods publish and work through a topic by their service accounts alone',
    async () => {
      nodes.applyExamples();
      nodes.startLoad('n2');
      await nodes.goesOn();
    },
    within,
  );

  it(
    'lets clients go on when the broker pod is deleted',
    async () => {
      const before = nodes.field(`pod/${brokerPod}`, '{.metadata.uid}');
      nodes.kubectl('-n', release, 'delete', 'pod', brokerPod, '--timeout=90s');
      await nodes.untilReady();
      expect(nodes.field(`pod/${brokerPod}`, '{.metadata.uid}')).not.toBe(before);
      await nodes.goesOn();
    },
    within,
  );

  it(
    'lets clients go on when the broker is killed',
    async () => {
      const before = nodes.restarts();
      process.kill(nodes.brokerPid(), 'SIGKILL');
      await expect.poll(() => nodes.restarts(), { timeout: 60_000 }).toBe(before + 1);
      await nodes.untilReady();
      await nodes.goesOn();
    },
    within,
  );

  it(
    'is upgraded under load',
    async () => {
      const settings = { broker: { settings: { 'generation-bytes': '64M' } } };
      const wait = ['--wait', '--timeout', '120s'];
      succeeded(nodes.helm(settings, 'upgrade', release, chart, '--values', '-', ...wait));
      const args = nodes.field(`pod/${brokerPod}`, '{.spec.containers[0].args}');
      expect(args).toContain('--generation-bytes=64M');
      await nodes.goesOn();
    },
    within,
  );

  it(
    'moves to the other node when its own is drained',
    async () => {
      const node = nodes.field(`pod/${brokerPod}`, '{.spec.nodeName}');
      expect(node).toBe('n1');
      const drained = ['--ignore-daemonsets', '--delete-emptydir-data', '--timeout=120s'];
      nodes.kubectl('drain', node, ...drained);
      await nodes.untilReady();
      expect(nodes.field(`pod/${brokerPod}`, '{.spec.nodeName}')).toBe('n2');
      await nodes.goesOn();
      nodes.kubectl('uncordon', node);
    },
    within,
  );

  it('is not ready while it does not answer, and is restarted when that lasts', async () => {
    const before = nodes.restarts();
    process.kill(nodes.brokerPid(), 'SIGSTOP');
    await expect.poll(() => nodes.isReady(), { timeout: 60_000 }).toBe(false);
    expect(nodes.restarts()).toBe(before);
    await expect.poll(() => nodes.restarts(), { timeout: 120_000 }).toBe(before + 1);
    await nodes.untilReady();
    await nodes.goesOn();
  }, 240_000);

  it(
    'finds its data again when it is installed anew',
    async () => {
      succeeded(nodes.helm({}, 'uninstall', release, '--wait', '--timeout', '90s'));
      nodes.install();
      await nodes.goesOn();
      nodes.applyExamples();
    },
    within,
  );

  it(
    'has lost nothing and stored nothing twice',
    async () => {
      const confirmed = await nodes.ask<number[]>('checkout', '/stop');
      expect(confirmed.length).toBeGreaterThan(1_000);
      expect(confirmed).toEqual(confirmed.map((_, i) => i));
      const missing = async () => {
        const done = new Set(await nodes.ask<number[]>('billing', '/done'));
        return confirmed.filter((number) => !done.has(number));
      };
      await expect.poll(missing, { timeout: 60_000 }).toEqual([]);
      const partitions = Object.values(
        await nodes.ask<Record<string, number[]>>('billing', '/replay'),
      );
      for (const numbers of partitions) {
        expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
      }
      expect(partitions.flat().toSorted((a, b) => a - b)).toEqual(confirmed);
    },
    within,
  );

  it(
    'runs the workloads of the examples, and is asked from outside',
    async () => {
      nodes.stopLoad();
      nodes.applyWorkloads();
      const said = () => nodes.kubectl('-n', workNamespace, 'logs', '-l', 'app=billing');
      await expect.poll(said, { timeout: 60_000 }).toContain('an order at');
      await using forwarded = await nodes.forward();
      const { code, stdout, stderr } = await forwarded.millrace('topic', 'list', 'retail/default');
      expect(stderr).toBe('');
      expect(stdout).toContain('orders');
      expect(code).toBe(0);
    },
    within,
  );

  it('writes no secret into the logs of its pods', () => {
    const all = ['--all-containers', '--tail', '-1', '--prefix'];
    const ofRelease = ['-l', 'app.kubernetes.io/name=millrace', ...all];
    const log = nodes.kubectl('-n', release, 'logs', ...ofRelease);
    for (const part of ['ready', 'leading']) expect(log).toContain(part);
    expectNoSecret('the logs of the pods', log);
  });
});
