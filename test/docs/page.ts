// Runs what stands in a page as it is written, from top to bottom, against a real broker.
//
// Invariants:
// - Shell and TypeScript are run unchanged, but for where the broker, the CLI and the client are.
// - A `text` block is what the program or the commands right before it print, to the character.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const root = join(import.meta.dirname, '..', '..');
const run = promisify(execFile);
const sdk = JSON.stringify(join(root, 'client', 'src', 'index.ts'));

export interface Block {
  readonly language: string;
  readonly text: string;
}

/** The fenced blocks of a page, in their order; `path` from the repository's root. */
export function blocksOf(path: string): Block[] {
  return blocksIn(readFileSync(join(root, path), 'utf8'));
}

export function blocksIn(markdown: string): Block[] {
  const fences = markdown.matchAll(/^```(?<language>\w+)\n(?<text>[\s\S]*?)^```$/gm);
  return [...fences].map(({ groups }) => ({
    language: groups?.['language'] ?? '',
    text: groups?.['text'] ?? '',
  }));
}

/** What the commands print. Rejects when one of them fails. */
export async function runShell(commands: string, server: string): Promise<string> {
  const here = commands.replaceAll('npx millrace', `${process.execPath} cli/main.ts`);
  const env = { ...process.env, MILLRACE_SERVER: server };
  const { stdout } = await run('bash', ['-ec', `set -o pipefail; ${here}`], { cwd: root, env });
  return stdout;
}

/** What the program prints. Rejects when it fails. */
export async function runProgram(program: string, server: string): Promise<string> {
  const here = withSdk(program).replaceAll(
    /\bconnect\((?:\{ server: '127\.0\.0\.1:6700' \})?\)/g,
    `connect({ server: '${server}' })`,
  );
  const args = ['--input-type=module-typescript', '--eval', here];
  const { stdout } = await run(process.execPath, args, { timeout: 60_000 });
  return stdout;
}

/** The program with the client's source instead of its package. */
export function withSdk(program: string): string {
  return program.replaceAll("'@millrace/client'", sdk);
}

/** Runs every block. Rejects when one fails, or prints something else than the `text` block behind it. */
export async function runBlocks(blocks: readonly Block[], server: string): Promise<void> {
  let printed = '';
  for (const { language, text } of blocks) {
    if (language === 'bash') printed = await runShell(text, server);
    else if (language === 'ts') printed = await runProgram(text, server);
    else if (language === 'text' && printed !== text) {
      throw new Error(`the page says\n${text}but this is printed:\n${printed}`);
    }
  }
}
