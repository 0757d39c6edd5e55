// Contexts: where they are kept, who may read them, and what wins.
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connectionOptions, reachOf } from '../../cli/connection-options.ts';
import { contextsPath, readContexts, writeContexts, type Contexts } from '../../cli/contexts.ts';
import { UsageError } from '../../cli/exit.ts';
import { runMillrace, type Finished } from '../support/run-millrace.ts';

let directory: string;
let path: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-contexts-'));
  path = join(directory, 'deep', 'contexts.json');
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const prod = {
  server: 'prod:6700',
  tlsCa: '/ca',
  tlsCert: '/cert',
  tlsKey: '/key',
  tokenFile: '/t',
};
const contexts: Contexts = { current: 'prod', contexts: { prod, dev: { server: 'dev:1' } } };

describe('how a broker is reached', () => {
  it('is a flag, else a variable, else the context in use, else this machine', () => {
    const env = { MILLRACE_TLS_CA: '/env-ca' };
    expect(reachOf({}, {}, contexts)).toEqual(prod);
    expect(reachOf({}, env, contexts)).toEqual({ ...prod, tlsCa: '/env-ca' });
    expect(reachOf({ tlsCa: '/flag-ca' }, env, contexts)).toEqual({ ...prod, tlsCa: '/flag-ca' });
    expect(reachOf({}, { MILLRACE_CONTEXT: 'dev' }, contexts)).toEqual({ server: 'dev:1' });
    expect(reachOf({ context: 'prod' }, { MILLRACE_CONTEXT: 'dev' }, contexts)).toEqual(prod);
    expect(reachOf({}, {}, { contexts: {} })).toEqual({});
  });

  it('is nothing of a context when another broker is named: it would see a token that is not for it', () => {
    expect(reachOf({ server: 'else:1' }, {}, contexts)).toEqual({ server: 'else:1' });
    expect(reachOf({}, { MILLRACE_SERVER: 'else:1' }, contexts)).toEqual({ server: 'else:1' });
    expect(reachOf({ server: 'prod:6700' }, {}, contexts)).toEqual(prod);
    expect(() => reachOf({ server: 'else:1', context: 'prod' }, {}, contexts)).toThrow(UsageError);
  });

  it('is a mistake when there is no such context, or MILLRACE_TLS is neither', () => {
    expect(() => reachOf({ context: 'nope' }, {}, contexts)).toThrow(UsageError);
    expect(() => reachOf({ context: 'constructor' }, {}, contexts)).toThrow(UsageError);
    expect(() => reachOf({}, { MILLRACE_TLS: 'yes' }, contexts)).toThrow(UsageError);
  });

  it('has the token of a file, or of a variable, without its line break', async () => {
    const tokenFile = join(directory, 'token');
    await writeFile(tokenFile, 'of-a-file\n');
    const env = { MILLRACE_CONFIG: path };
    expect(await connectionOptions({ tokenFile }, env)).toEqual({
      server: '127.0.0.1:6700',
      token: 'of-a-file',
    });
    const both = { ...env, MILLRACE_TOKEN: 'of-a-variable' };
    expect(await connectionOptions({}, both)).toMatchObject({ token: 'of-a-variable' });
    expect(await connectionOptions({ tokenFile }, both)).toMatchObject({ token: 'of-a-file' });
    const missing = connectionOptions({ tokenFile: join(directory, 'none') }, env);
    await expect(missing).rejects.toThrow(UsageError);
  });
});

describe('the file of contexts', () => {
  it('is where MILLRACE_CONFIG says, else in the folder for configuration', () => {
    expect(contextsPath({ MILLRACE_CONFIG: '/x' })).toBe('/x');
    expect(contextsPath({ XDG_CONFIG_HOME: '/c' })).toBe('/c/millrace/contexts.json');
    expect(contextsPath({})).toMatch(/\/\.config\/millrace\/contexts\.json$/);
  });

  it('reads back, and only its owner may read it', async () => {
    expect(await readContexts(path)).toEqual({ contexts: {} });
    await writeContexts(path, contexts);
    expect(await readContexts(path)).toEqual(contexts);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await stat(join(directory, 'deep'))).mode & 0o777).toBe(0o700);
  });

  it.each(['', '{', '[]', '{}', '{"contexts":{"a":{"server":7}}}', '{"contexts":{"a/b":{}}}'])(
    'is left alone when it is not one: %j',
    async (text) => {
      const other = join(directory, 'other.json');
      await writeFile(other, text);
      await expect(readContexts(other)).rejects.toThrow(UsageError);
      expect(await readFile(other, 'utf8')).toBe(text);
    },
  );
});

describe('millrace context', () => {
  const context = (...args: string[]): Promise<Finished> =>
    runMillrace('', ['context', ...args], '', { MILLRACE_CONFIG: path });

  it('adds, uses, lists, shows and removes', async () => {
    expect((await context('add', 'dev', '--server', '127.0.0.1:1')).code).toBe(0);
    const prodFlags = ['--server', 'prod:6700', '--tls-ca', 'ca.pem', '--token-file', 'token'];
    expect((await context('add', 'prod', ...prodFlags)).code).toBe(0);
    expect((await context('use', 'prod')).code).toBe(0);
    const { stdout } = await context('list');
    expect(stdout).toMatch(/\n\s+dev\s+127\.0\.0\.1:1\s+no/);
    expect(stdout).toMatch(/\n\*\s+prod\s+prod:6700\s+yes/);
    expect(JSON.parse((await context('show')).stdout)).toEqual({
      name: 'prod',
      server: 'prod:6700',
      tlsCa: join(process.cwd(), 'ca.pem'),
      tokenFile: join(process.cwd(), 'token'),
    });
    expect((await context('remove', 'prod')).code).toBe(0);
    expect(await readContexts(path)).toEqual({ contexts: { dev: { server: '127.0.0.1:1' } } });
    const mistakes = [['show'], ['use', 'prod'], ['add', '../x', '--server', 'h:1'], ['add', 'x']];
    const ended = await Promise.all(mistakes.map((args) => context(...args)));
    expect(ended.map(({ code }) => code)).toEqual(mistakes.map(() => 2));
  }, 60_000);
});
