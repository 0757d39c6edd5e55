// docs/tenants.md, run as written against a real broker.
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { connect, type Client, type Retention } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';

const root = join(import.meta.dirname, '..', '..');
const run = promisify(execFile);

type Page = (client: Client, keepForever: Retention, console: object) => Promise<void>;

it('the page on tenants works as written', async () => {
  const page = await readFile(join(root, 'docs/tenants.md'), 'utf8');
  const shell = /```bash\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
  const code = /```ts\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
  const shown = /```text\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
  await using broker = await BrokerProcess.start();
  await using client = connect({ server: broker.server });
  const env = { ...process.env, MILLRACE_SERVER: broker.server };
  const commands = shell.replaceAll('npx millrace', `${process.execPath} cli/main.ts`);
  const { stdout } = await run('bash', ['-ec', commands], { cwd: root, env });
  for (const line of shown.trimEnd().split('\n')) expect(stdout).toContain(line);
  expect(stdout).toMatch(/^topics +1 +100$/m);
  expect(stdout).toMatch(/^publish bytes\/s +0 B +10 MiB$/m);

  const said: unknown[][] = [];
  // The page is ours; this runs nothing that anybody else wrote.
  const AsyncFunction = (async () => {}).constructor as new (...args: string[]) => Page;
  const example = new AsyncFunction('client', 'keepForever', 'console', code);
  const keepForever = { ageMs: 0, bytes: 0, forever: true, unackedAgeMs: 0 };
  await example(client, keepForever, { log: (...values: unknown[]) => void said.push(values) });
  expect(said).toEqual([
    [true, 'namespace'],
    [2, 0],
  ]);

  const millrace = async (...args: string[]) =>
    (await run(process.execPath, ['cli/main.ts', ...args], { cwd: root, env })).stdout;
  expect(await millrace('topic', 'alter', 'acme/audit/logins', '--time-to-live', '5m')).toContain(
    'time_to_live_ms: inherited -> 300000',
  );
  expect(
    await millrace('topic', 'alter', 'acme/audit/logins', '--inherit', 'time-to-live'),
  ).toContain('time_to_live_ms: 300000 -> inherited');
  expect(await millrace('namespace', 'list', 'acme')).toMatch(/^billing .*stored bytes 50 GiB$/m);
  expect(await millrace('namespace', 'unset', 'acme/billing')).toContain('billing/');
  expect(await millrace('namespace', 'list', 'acme')).not.toContain('billing');
  await expect(millrace('tenant', 'delete', 'acme')).rejects.toMatchObject({ code: 4 });
  await expect(millrace('namespace', 'set', 'acme')).rejects.toMatchObject({ code: 2 });
  await millrace('topic', 'delete', 'acme/audit/logins');
  await millrace('topic', 'delete', 'acme/billing/invoices');
  expect(await millrace('tenant', 'delete', 'acme')).toContain('deleted tenant acme');
}, 240_000);
