// A program that a test starts and ends: output to a file, gone with the test.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const stopWithinMs = 10_000;
const pollMs = 25;

export class LocalProcess implements AsyncDisposable {
  readonly name: string;
  private readonly child: ChildProcess;
  private readonly logPath: string;

  private constructor(name: string, child: ChildProcess, logPath: string) {
    this.name = name;
    this.child = child;
    this.logPath = logPath;
  }

  /** stdout and stderr go to `logPath`. */
  static start(
    name: string,
    command: readonly string[],
    logPath: string,
    env: Readonly<Record<string, string>> = {},
  ): LocalProcess {
    const log = openSync(logPath, 'a');
    const [program = '', ...args] = command;
    const child = spawn(program, args, {
      stdio: ['ignore', log, log],
      env: { ...process.env, ...env },
    });
    closeSync(log);
    // What could not be started shows as ended, with why in its log or in `until`.
    child.on('error', () => {});
    return new LocalProcess(name, child, logPath);
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get isRunning(): boolean {
    const { pid, exitCode, signalCode } = this.child;
    return pid !== undefined && exitCode === null && signalCode === null;
  }

  /** Waits for the condition; rejects with the end of the log when the program ends before or takes too long. */
  async until(condition: () => Promise<boolean> | boolean, withinMs: number): Promise<void> {
    const deadline = performance.now() + withinMs;
    while (performance.now() < deadline && this.isRunning) {
      if (await condition()) return;
      await delay(pollMs);
    }
    const state = this.isRunning ? `is not ready after ${withinMs} ms` : 'has ended';
    throw new Error(`${this.name} ${state}:\n${this.logTail()}`);
  }

  logTail(): string {
    return readFileSync(this.logPath, 'utf8').split('\n').slice(-20).join('\n');
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    if (!this.isRunning) return;
    const exited = once(this.child, 'exit');
    this.child.kill(signal);
    const killer = setTimeout(() => this.child.kill('SIGKILL'), stopWithinMs);
    await exited;
    clearTimeout(killer);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill('SIGTERM');
  }
}

export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  return address.port;
}

/** Whether a GET is answered with success now. */
export async function answersHttp(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(1_000) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false; // It does not listen yet.
  }
}
