// The benchmark of the noisy neighbour, short: it runs, and what does not depend on the machine is as it promises.
import { expect, it } from 'vitest';
import { noisyQuota } from '../../bench/noisy-quota.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { runMillrace } from '../support/run-millrace.ts';

interface Told {
  readonly figures: readonly {
    readonly name: string;
    readonly value: number;
    readonly unit: string;
  }[];
}

it('a tenant keeps its rate beside one that tries ten times its quota in everything', async () => {
  await using broker = await BrokerProcess.start();
  const args = ['bench', 'noisy-neighbour', '--seconds', '1', '-o', 'json'];
  const { stdout, stderr, code } = await runMillrace(broker.server, args);
  expect(code, stderr).toBe(0);
  const { figures } = JSON.parse(stdout) as Told;
  const valueOf = (name: string, unit: string): number =>
    figures.find((one) => one.name === name && one.unit === unit)?.value ?? Number.NaN;
  expect(valueOf('of its rate', '%')).toBeGreaterThanOrEqual(90);
  // The look of two seconds may hold the burst of one.
  const within = 1.6;
  const { publishRecordsPerSecond, adminCallsPerSecond, connections } = noisyQuota;
  const records = valueOf('noisy got', 'records/s');
  expect(records).toBeLessThan(within * publishRecordsPerSecond);
  expect(records).toBeGreaterThan(0.5 * publishRecordsPerSecond);
  expect(valueOf('noisy admin calls', '/s')).toBeLessThan(within * adminCallsPerSecond);
  expect(valueOf('noisy connections', '')).toBe(connections);
  expect(valueOf('noisy was refused', 'times')).toBeGreaterThan(100);
}, 120_000);
