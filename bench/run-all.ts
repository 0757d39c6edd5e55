// Measures everything: a broker process with fresh data, one client process per workload, on the same machine.
// Prints machine, versions and a Markdown table; the source of docs/benchmarks.md.
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { connect } from '../client/src/index.ts';
import { main, startBroker, stop, type StartedBroker } from './broker-process.ts';
import { workloads } from './run-workload.ts';
import { conditions, machine } from './machine.ts';
import type { Figure } from './workload.ts';

export interface RunAllOptions {
  readonly seconds: number;
  readonly isJson: boolean;
}

interface Measured {
  readonly workload: string;
  readonly description: string;
  readonly figures: readonly Figure[];
}

const hotBacklogBytes = 4 * 1024 ** 3;

export async function runAll(options: RunAllOptions): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-bench-'));
  const measured: Measured[] = [];
  const add = (result: Measured): void => {
    measured.push(result);
    process.stderr.write(`${row(result)}\n`);
  };
  try {
    add(await measureStart(join(directory, 'empty')));
    for (const { name, description } of workloads) {
      const broker = await startBroker(join(directory, name));
      const figures = await runInProcess(name, broker, options.seconds);
      add({ workload: name, description, figures });
      await stop(broker);
      await rm(join(directory, name), { recursive: true });
    }
    add(await measureStartWithBacklog(join(directory, 'backlog')));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  if (options.isJson) process.stdout.write(`${JSON.stringify({ machine: machine(), measured })}\n`);
  else process.stdout.write(`${report(measured)}\n`);
}

/** Start to ready with no data, and memory a few seconds later. */
async function measureStart(dataDir: string): Promise<Measured> {
  const broker = await startBroker(dataDir);
  await sleep(3_000);
  const residentMiB = await residentMemoryMiB(broker.process.pid ?? 0);
  await stop(broker);
  return {
    workload: 'start-empty',
    description: 'process start to ready without data; resident memory when idle',
    figures: [
      { name: 'ready after', value: seconds(broker.readyAfterMs), unit: 's' },
      { name: 'resident', value: residentMiB, unit: 'MiB' },
    ],
  };
}

async function measureStartWithBacklog(dataDir: string): Promise<Measured> {
  const first = await startBroker(dataDir);
  await publishBacklog(first.server);
  first.process.kill('SIGKILL');
  await once(first.process, 'exit');
  const again = await startBroker(dataDir);
  await stop(again);
  return {
    workload: 'start-4g',
    description: 'kill -9, then process start to ready with 4 GiB hot',
    figures: [{ name: 'ready after', value: seconds(again.readyAfterMs), unit: 's' }],
  };
}

async function publishBacklog(server: string): Promise<void> {
  await using client = connect({ server });
  await client.topics.apply('backlog', { partitions: 1 });
  const publisher = client.publisher('backlog');
  const value = Buffer.alloc(64 * 1024 - 100, 'x');
  for (let bytes = 0; bytes < hotBacklogBytes; bytes += value.length) {
    publisher.send({ value });
    const full = publisher.ready();
    if (full !== undefined) await full;
  }
  await publisher.flush();
}

async function runInProcess(
  workload: string,
  { server, metricsUrl }: StartedBroker,
  secondsEach: number,
): Promise<readonly Figure[]> {
  const args = ['bench', workload, '--server', server, '--metrics', metricsUrl, '-o', 'json'];
  const child = spawn(process.execPath, [main, ...args, '--seconds', String(secondsEach)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  for await (const chunk of child.stdout) output += String(chunk);
  const parsed = JSON.parse(output) as { readonly figures: readonly Figure[] };
  return parsed.figures;
}

async function residentMemoryMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
}

function report(measured: readonly Measured[]): string {
  return [
    `${conditions()} Client and broker are separate processes on it.`,
    '',
    '| workload | figures | what |',
    '|---|---|---|',
    ...measured.map(row),
  ].join('\n');
}

function row({ workload, description, figures }: Measured): string {
  const texts = figures.map(
    ({ name, value, unit }) => `${name} ${value.toLocaleString('en')} ${unit}`,
  );
  return `| \`${workload}\` | ${texts.join(', ')} | ${description} |`;
}

function seconds(ms: number): number {
  return Math.round(ms / 10) / 100;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
