// docs/access.md, run as written against a real broker.
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { parseAuthConfig } from '../../broker/access/auth-config.ts';
import { connect, type Client } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';

const root = join(import.meta.dirname, '..', '..');
const run = promisify(execFile);
const page = await readFile(join(root, 'docs/access.md'), 'utf8');

function blocks(language: string): string[] {
  const form = new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, 'g');
  return [...page.matchAll(form)].map(([, text]) => text ?? '');
}

it('the page on access works as written', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-access-'));
  const shell = async (text: string, server = ''): Promise<string> => {
    const command = text.replaceAll('npx millrace', `${process.execPath} ${root}/cli/main.ts`);
    const env = { ...process.env, MILLRACE_SERVER: server };
    return (await run('bash', ['-euc', command], { cwd: directory, env })).stdout;
  };
  const [makeToken = '', tour = '', check = ''] = blocks('bash');
  const [first = '', whole = ''] = blocks('json');
  await shell(makeToken);
  await shell(
    `cat > auth.json <<'END'\n${first.replace('admin-token', `${directory}/admin-token`)}END`,
  );
  const [start = ''] = blocks('sh');
  const args = start
    .trim()
    .split(' ')
    .slice(2)
    .map((arg) => (arg === 'auth.json' ? join(directory, arg) : arg));
  await using broker = await BrokerProcess.start({ args });
  const said = await shell(tour, broker.server);
  expect(said).toContain('token:admin\noperates');
  expect(said).toContain('no: it has none of consume');
  expect(said).toContain('published 1 records');
  expect(said).toContain('revoked token ci');

  await symlink(broker.dataDir, join(directory, 'data'));
  expect(await shell(check)).toMatch(/^\d+ lines in 1 files follow one another/);

  const config = parseAuthConfig(whole);
  expect(config.issuers.map(({ issuer }) => issuer)).toHaveLength(3);

  const secret = (await readFile(join(directory, 'admin-token'), 'utf8')).trim();
  await using client = connect({ server: broker.server, token: secret });
  const [code = ''] = blocks('ts');
  type Page = (client: Client, connectTo: typeof connect, server: string) => Promise<void>;
  // The page is ours; this runs nothing that anybody else wrote.
  const AsyncFunction = (async () => {}).constructor as new (...names: string[]) => Page;
  await new AsyncFunction('client', 'connect', 'server', code)(client, connect, broker.server);
  expect(await Array.fromAsync(client.access.grants())).toMatchObject([
    { principal: 'token:public/worker', roles: ['consume'] },
  ]);
  await rm(directory, { recursive: true, force: true });
}, 120_000);
