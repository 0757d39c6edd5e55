// A broker of our own to measure, as a process beside the client's.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

export interface StartedBroker {
  readonly process: ChildProcess;
  /** host:port. */
  readonly server: string;
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
    const address = /millrace ready grpc=(\S+)/.exec(output)?.[1];
    if (address === undefined) continue;
    return { process: child, server: address, readyAfterMs: performance.now() - startedMs };
  }
  throw new Error('the broker ended before it was ready');
}

export async function stop(broker: StartedBroker): Promise<void> {
  broker.process.kill('SIGTERM');
  if (broker.process.exitCode === null) await once(broker.process, 'exit');
}
