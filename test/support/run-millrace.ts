// The command line in a process of its own, to its end: what it printed, what it exited with.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { expectNoSecret } from './secrets.ts';

const main = join(import.meta.dirname, '..', '..', 'cli', 'main.ts');

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** `server`: host:port of the broker it talks to; `input`: what it reads from stdin; `env`: more variables. */
export function runMillrace(
  server: string,
  args: readonly string[],
  input = '',
  env: Readonly<Record<string, string>> = {},
): Promise<Finished> {
  expectNoSecret('the arguments of the command line', args.join(' '));
  const child = spawn(process.execPath, [main, ...args], {
    env: { ...process.env, MILLRACE_SERVER: server, ...env },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.once('close', (code) => {
      try {
        // It prints a token that it has made, and nothing of one on stderr.
        expectNoSecret('stderr of the command line', stderr);
        resolve({ code, stdout, stderr });
      } catch (error) {
        reject(error);
      }
    });
  });
}
