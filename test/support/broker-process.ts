// A real broker in a process of its own, for integration and crash tests: `node cli/main.ts start` on free ports.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expectNoSecret } from './secrets.ts';

export interface BrokerProcessOptions {
  /** Default: a temporary one, removed by `dispose`. */
  readonly dataDir?: string;
  /** More arguments of `millrace start`. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** What is run instead of `millrace`; takes the same arguments. */
  readonly program?: string;
  /** A command that runs what follows it, such as `['bash', '-c', 'ulimit -f 100; exec "$0" "$@"']`. */
  readonly wrapper?: readonly string[];
}

const main = join(import.meta.dirname, '..', '..', 'cli', 'main.ts');
const readyWithinMs = 30_000;

export class BrokerProcess implements AsyncDisposable {
  readonly dataDir: string;
  /** host:port of gRPC. */
  server = '';
  /** host:port of health and metrics. */
  http = '';
  /** Everything that it has written to stderr since it was started last. */
  stderr = '';
  private readonly options: BrokerProcessOptions;
  private readonly ownsDataDir: boolean;
  private child: ChildProcess | undefined;
  private nextEnv: Readonly<Record<string, string>> = {};
  /** Everything that it has written since it was started first. */
  private output = '';

  private constructor(dataDir: string, options: BrokerProcessOptions) {
    this.dataDir = dataDir;
    this.ownsDataDir = options.dataDir === undefined;
    this.options = options;
  }

  /** Resolves when the broker is ready; rejects with its stderr when it ends before. */
  static async start(options: BrokerProcessOptions = {}): Promise<BrokerProcess> {
    const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'millrace-test-')));
    const broker = new BrokerProcess(dataDir, options);
    await broker.spawn('127.0.0.1:0', '127.0.0.1:0');
    return broker;
  }

  get pid(): number {
    return this.child?.pid ?? 0;
  }

  get isRunning(): boolean {
    return (
      this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null
    );
  }

  /** Starts it again with the same data on the same ports; `env`: more variables for this start. */
  async restart(env: Readonly<Record<string, string>> = {}): Promise<void> {
    this.nextEnv = env;
    await this.spawn(this.server, this.http);
  }

  /** Sends the signal; resolves with the exit code (null after a signal) when the process is gone. */
  async kill(signal: NodeJS.Signals): Promise<number | null> {
    const { child } = this;
    if (child === undefined || !this.isRunning) return child?.exitCode ?? null;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
    return child.exitCode;
  }

  /** Resolves with the exit code when the process ends by itself. */
  async exited(): Promise<number | null> {
    if (this.child !== undefined && this.isRunning) await once(this.child, 'exit');
    return this.child?.exitCode ?? null;
  }

  /** Throws when it has told a secret. */
  async [Symbol.asyncDispose](): Promise<void> {
    // A test may have stopped it.
    const soon = AbortSignal.timeout(1_000);
    const metrics = this.isRunning ? await this.metrics(soon).catch(() => '') : '';
    await this.kill('SIGKILL');
    if (this.ownsDataDir) await rm(this.dataDir, { recursive: true, force: true });
    expectNoSecret('the output of a broker', this.output);
    expectNoSecret('the metrics of a broker', metrics);
  }

  /** As Prometheus gets them. Rejects when it does not answer until the signal says so. */
  async metrics(signal?: AbortSignal): Promise<string> {
    const init = signal === undefined ? {} : { signal };
    return (await fetch(`http://${this.http}/metrics`, init)).text();
  }

  private async spawn(listen: string, httpListen: string): Promise<void> {
    const args = ['start', '--listen', listen, '--http-listen', httpListen];
    this.stderr = '';
    const command = [
      ...(this.options.wrapper ?? []),
      process.execPath,
      this.options.program ?? main,
      ...args,
      '--data-dir',
      this.dataDir,
      ...(this.options.args ?? []),
    ];
    expectNoSecret('the arguments of a broker', command.join(' '));
    const child = spawn(command[0] ?? '', command.slice(1), {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...this.options.env, ...this.nextEnv },
    });
    this.child = child;
    child.stderr.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString();
      this.output += chunk.toString();
    });
    const ready = await readyLine(child);
    if (ready === undefined) {
      await this.kill('SIGKILL');
      throw new Error(`the broker did not become ready:\n${this.stderr}`);
    }
    this.server = ready.grpc;
    this.http = ready.http;
  }
}

/** Undefined: the process ended, or took too long. */
async function readyLine(child: ChildProcess): Promise<{ grpc: string; http: string } | undefined> {
  return new Promise((resolve) => {
    let output = '';
    const giveUp = setTimeout(() => resolve(undefined), readyWithinMs);
    const settle = (found: { grpc: string; http: string } | undefined): void => {
      clearTimeout(giveUp);
      resolve(found);
    };
    child.stdout?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      const match = /millrace ready grpc=(\S+) http=(\S+)/.exec(output);
      if (match !== null) settle({ grpc: match[1] ?? '', http: match[2] ?? '' });
    });
    child.once('exit', () => settle(undefined));
  });
}
