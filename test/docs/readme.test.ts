// The five-minute tour of the README, run as written against a real broker.
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { blocksOf, runProgram } from './page.ts';

const root = join(import.meta.dirname, '..', '..');
const run = promisify(execFile);

/** Commands of the tour, one a line, without comments. */
async function tour(): Promise<string[]> {
  const readme = await readFile(join(root, 'README.md'), 'utf8');
  const section = readme.split('## Five minutes')[1]?.split('\n## ')[0] ?? '';
  const block = /```sh\n([\s\S]*?)```/.exec(section)?.[1] ?? '';
  return block.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

describe('the README', () => {
  let broker: BrokerProcess;
  let directory: string;

  beforeAll(async () => {
    broker = await BrokerProcess.start();
    directory = await mkdtemp(join(tmpdir(), 'millrace-tour-'));
  });

  afterAll(async () => {
    await broker[Symbol.asyncDispose]();
    await rm(directory, { recursive: true, force: true });
  });

  it('has a tour that works as written', async () => {
    const outputs = new Map<string, string>();
    for (const line of await tour()) {
      // Only the paths of this machine differ: no network, and no files left in /tmp.
      const command = line
        .replaceAll('/tmp/', `${directory}/`)
        .replace('npx millrace', `${process.execPath} cli/main.ts`)
        .replace('node_modules/.bin/node', process.execPath);
      const env = { ...process.env, MILLRACE_SERVER: broker.server };
      const { stdout } = await run('bash', ['-c', `set -o pipefail; ${command}`], {
        cwd: root,
        env,
        maxBuffer: 64 * 1024 * 1024,
      });
      outputs.set(line, `${outputs.get(line) ?? ''}${stdout}`);
    }
    const said = (part: string): string =>
      [...outputs].find(([line]) => line.includes(part))?.[1] ?? '';
    expect(said('publish orders')).toContain('published 100000 records');
    expect(said('read orders --from earliest | wc -l').trim().split(/\s+/)).toEqual([
      '100000',
      '100000',
    ]);
    expect(said('subscription describe orders billing')).toContain('billing');
  }, 120_000);

  it('has a program that works as written', async () => {
    const [program] = blocksOf('README.md').filter(({ language }) => language === 'ts');
    await runProgram(program?.text ?? '', broker.server);
    await using client = connect({ server: broker.server });
    const reader = client.reader('invoices', { from: 'earliest', stopAtEnd: true });
    const stored: unknown[] = [];
    for await (const record of reader) stored.push(record.json());
    expect(stored).toEqual([{ customer: 'Ada', total: 12 }]);
  });

  it('links to pages that exist', async () => {
    const readme = await readFile(join(root, 'README.md'), 'utf8');
    const links = [...readme.matchAll(/\]\(([^)#:]+)\)/g)].map(([, path]) => path ?? '');
    for (const path of links) {
      await expect(readFile(join(root, path)).catch(isDirectory), path).resolves.toBeDefined();
    }
  });
});

/** A link to a folder is a link that works. */
function isDirectory(error: NodeJS.ErrnoException): string {
  if (error.code === 'EISDIR') return 'a folder';
  throw error;
}
