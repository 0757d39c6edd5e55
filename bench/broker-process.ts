// A broker of our own to measure, as a process beside the client's.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

export interface StartedBroker {
  readonly process: ChildProcess;
  /** host:port. */
  readonly server: string;
  /** Of GET /metrics. */
  readonly metricsUrl: string;
  readonly readyAfterMs: number;
}

export const main = join(import.meta.dirname, '..', 'cli', 'main.ts');

/** With fresh or existing data; `flags` behind those that are always given. */
export async function startBroker(
  dataDir: string,
  flags: readonly string[] = [],
): Promise<StartedBroker> {
  const startedMs = performance.now();
  const args = ['--listen', '127.0.0.1:0', '--http-listen', '127.0.0.1:0', '--data-dir', dataDir];
  const child = spawn(
    process.execPath,
    [main, 'start', ...args, ...flags, '--log-level', 'error'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  let output = '';
  for await (const chunk of child.stdout) {
    output += String(chunk);
    const [, server, http] = /millrace ready grpc=(\S+) http=(\S+)/.exec(output) ?? [];
    if (server === undefined || http === undefined) continue;
    const readyAfterMs = performance.now() - startedMs;
    return { process: child, server, metricsUrl: `http://${http}/metrics`, readyAfterMs };
  }
  throw new Error('the broker ended before it was ready');
}

export async function stop(broker: StartedBroker): Promise<void> {
  broker.process.kill('SIGTERM');
  if (broker.process.exitCode === null) await once(broker.process, 'exit');
}
