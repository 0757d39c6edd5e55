// Ten thousand connections that say nothing, half of something, a byte a second, or noise, against a real broker:
// what they cost before anybody knows who they are.
//
// The crowd computes on the processors of this machine, which a crowd from elsewhere would not. So it yields to
// everybody (`nice`), and what a good client feels is compared with rounds in which the same crowd is at the port of
// somebody else.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { limits } from '../../broker/core/limits.ts';
import { connect } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { metric } from '../support/metric.ts';
import { itNeeding } from '../support/needs.ts';
import { anonymousMiB, noProcFs } from '../support/process-memory.ts';
import { SteadyPublisher } from '../support/steady-publisher.ts';

const wanted = 10_000;
const rounds = 3;
const memoryRiseMiB = 256;
const p99Factor = 2;
/** Below it a p99 is the disk's and the scheduler's: twice as much of it is nothing that anybody notices. */
const p99FloorMs = 10;
/** Every connection has had its time for the first call. */
const floodSeconds = limits.firstCallMs / 1_000 + 2;
const elsewhereSeconds = 5;
const crowdProgram = join(import.meta.dirname, '..', 'support', 'connection-crowd.ts');
const sinkProgram = join(import.meta.dirname, '..', 'support', 'connection-sink.ts');

let broker: BrokerProcess;
let steady: SteadyPublisher;
let sink: ChildProcess;
let elsewhere: string;

beforeAll(async () => {
  broker = await BrokerProcess.start({ args: ['--connections-per-address-max', '20000'] });
  steady = await SteadyPublisher.start(broker.server, 'steady');
  sink = spawn(process.execPath, [sinkProgram], { stdio: ['ignore', 'pipe', 'inherit'] });
  elsewhere = await new Promise((resolve) => {
    sink.stdout?.once('data', (line: Buffer) => resolve(line.toString().trim()));
  });
});
afterAll(async () => {
  await steady.client.close();
  await broker[Symbol.asyncDispose]();
  sink.kill();
});

describe('a flood of connections', () => {
  itNeeding(
    noProcFs,
    'costs little memory and little of the time of others',
    async () => {
      await expect.poll(() => steady.publishedCount, { timeout: 20_000 }).toBeGreaterThan(150);
      const count = Math.min(wanted, descriptors() - 1_000);
      const calmMs: number[] = [];
      const floodedMs: number[] = [];
      const risesMiB: number[] = [];
      for (let round = 0; round < rounds; round++) {
        const away = await crowd(elsewhere, count, elsewhereSeconds);
        const here = await crowd(broker.server, count, floodSeconds);
        calmMs.push(away.p99Ms);
        floodedMs.push(here.p99Ms);
        risesMiB.push(here.riseMiB);
        // Each was cut off.
        expect(here.said).toMatch(/^left 0$/m);
        expect(await metric(broker, 'millrace_connections')).toBe(1);
      }
      const figures =
        `${rounds} times ${count} connections: memory +${risesMiB.join(', +')} MiB, ` +
        `p99 ${calmMs.join(', ')} ms with them elsewhere, ${floodedMs.join(', ')} ms with them here`;
      console.log(figures);
      expect(Math.max(...risesMiB), figures).toBeLessThan(memoryRiseMiB);
      const allowedMs = p99Factor * Math.max(median(calmMs), p99FloorMs);
      expect(median(floodedMs), figures).toBeLessThanOrEqual(allowedMs);
      const crowded = await metric(broker, 'millrace_connections_refused_total{cause="crowded"}');
      expect(crowded).toBeGreaterThan(rounds * (count / 2 - limits.connectionsUnprovenMax));
      // The good one never was cut off, and others get in.
      await using client = connect({ server: broker.server });
      await client.cluster();
      expect(await steady.stop()).toBe('');
    },
    rounds * 40_000,
  );
});

/** What the good client and the broker's memory felt while it was there. */
interface Felt {
  readonly p99Ms: number;
  readonly riseMiB: number;
  readonly said: string;
}

async function crowd(server: string, count: number, seconds: number): Promise<Felt> {
  const beforeMiB = await anonymousMiB(broker.pid);
  steady.takeLatencies();
  const args = [process.execPath, crowdProgram, server, String(count), String(seconds)];
  const child = spawn('nice', ['-n', '19', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const exited = once(child, 'exit');
  let worstMiB = beforeMiB;
  while (child.exitCode === null) {
    worstMiB = Math.max(worstMiB, await anonymousMiB(broker.pid));
    await Promise.race([exited, sleep(200)]);
  }
  const latencies = [...steady.takeLatencies()].sort((a, b) => a - b);
  const p99Ms = latencies[Math.floor(latencies.length * 0.99)] ?? 0;
  return { p99Ms: Math.round(p99Ms * 10) / 10, riseMiB: Math.round(worstMiB - beforeMiB), said };
}

/** Files and sockets that a process here may have open. */
function descriptors(): number {
  const text = execFileSync('sh', ['-c', 'ulimit -n']).toString().trim();
  return text === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(text);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
