// docs/tls.md, run as written against a real broker with certificates of its own.
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { connect } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { TlsDirectory } from '../support/tls-directory.ts';

const root = join(import.meta.dirname, '..', '..');
const main = join(root, 'cli', 'main.ts');
const run = promisify(execFile);

type Example = (open: typeof connect) => Promise<void>;

it('the page on TLS works as written', async () => {
  const page = await readFile(join(root, 'docs/tls.md'), 'utf8');
  const start = /npx millrace start (.*)/.exec(page)?.[1] ?? '';
  const shell = [...page.matchAll(/```bash\n([\s\S]*?)```/g)].map(([, block]) => block).join('');
  const code = /```ts\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
  using files = new TlsDirectory();
  files.write('clients-ca.pem', files.clientCa.cert);
  const here = (text: string): string =>
    text.replaceAll(/(?<=[ '])([a-z-]+\.(?:pem|key))\b/g, `${files.path}/$1`);
  await using broker = await BrokerProcess.start({ args: here(start).split(' ') });

  const { MILLRACE_SERVER: _, ...env } = process.env;
  const commands = shell
    .replaceAll('npx millrace', `${process.execPath} ${main}`)
    .replaceAll('127.0.0.1:6700', broker.server);
  const { stdout } = await run('bash', ['-ec', commands], {
    cwd: files.path,
    env: { ...env, MILLRACE_CONFIG: files.file('contexts.json') },
  });
  expect(stdout).toMatch(/\*\s+prod\s+127\.0\.0\.1:\d+\s+yes/);
  expect(stdout).toContain('public/default/orders');
  expect(stdout).toContain('BROKER');

  // The page is ours; this runs nothing that anybody else wrote.
  const AsyncFunction = (async () => {}).constructor as new (...args: string[]) => Example;
  await new AsyncFunction('connect', here(code).replace('127.0.0.1:6700', broker.server))(connect);
});
