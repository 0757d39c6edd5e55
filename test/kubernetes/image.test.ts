// What the Dockerfile copies is enough for every program of the image. No container engine is needed: the files are
// laid out as its steps say, and the programs run from there with the packages of production only.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BrokerProcess } from '../support/broker-process.ts';
import { runMillrace } from '../support/run-millrace.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');

interface Package {
  readonly dev?: boolean;
  readonly link?: boolean;
  readonly optional?: boolean;
}

describe('the image', () => {
  let app: string;
  let dockerfile: string;

  beforeAll(async () => {
    app = await mkdtemp(join(tmpdir(), 'millrace-image-'));
    dockerfile = await readFile(join(root, 'Dockerfile'), 'utf8');
    for (const [source, target] of copiesOf(dockerfile)) {
      await cp(join(root, source), join(app, target), { recursive: true });
    }
    const packages = await productionPackages();
    await Promise.all(
      packages.map((path) => cp(join(root, path), join(app, path), { recursive: true })),
    );
  }, 120_000);

  afterAll(async () => {
    await rm(app, { recursive: true, force: true });
  });

  it('has what the broker needs to serve', async () => {
    const program = join(app, 'cli', 'main.ts');
    await using broker = await BrokerProcess.start({ program });
    const { code, stderr } = await runMillrace(broker.server, ['topic', 'create', 'orders']);
    expect(stderr).toBe('');
    expect(code).toBe(0);
  });

  it('has what the command line and the operator need', async () => {
    const { stdout: help } = await run(process.execPath, [join(app, 'cli', 'main.ts'), 'help']);
    expect(help).toContain('publish');
    const operator = join(app, 'operator', 'main.ts');
    const { stdout } = await run(process.execPath, [operator, '--help']);
    expect(stdout).toContain('--finalizer-timeout');
  });

  it('lets through what it copies, and nothing of tests or data', async () => {
    const ignored = await readFile(join(root, '.dockerignore'), 'utf8');
    const allowed = ignored.split('\n').filter((line) => line.startsWith('!'));
    const sources = [...dockerfile.matchAll(/^COPY (?!--from)(.*) \S+$/gm)];
    const copied = sources.flatMap(([, files = '']) => files.split(' '));
    for (const path of copied) {
      const isAllowed = allowed.some((line) => `${path}/`.startsWith(`${line.slice(1)}/`));
      expect(isAllowed, path).toBe(true);
    }
    expect(ignored.split('\n')).toContain('*');
    expect(allowed.filter((line) => /test|data|\.git/.test(line))).toEqual([]);
  });

  it('is not root, by number, and is the Node that is tested', () => {
    expect(dockerfile).toMatch(/^USER 1000:1000$/m);
    expect(dockerfile).toContain(`NODE_IMAGE=node:${process.versions.node}-`);
  });
});

/** Of the last stage: source in the repository, place below the working directory. */
function copiesOf(dockerfile: string): (readonly [string, string])[] {
  const last = dockerfile.slice(dockerfile.lastIndexOf('\nFROM '));
  return [...last.matchAll(/^COPY (?!--from)(.*) (\S+)$/gm)].flatMap(
    ([, files = '', target = '']) =>
      files.split(' ').map((file) => {
        const name = file.split('/').at(-1) ?? '';
        return [file, target.endsWith('/') ? join(target, name) : target] as const;
      }),
  );
}

/** What `npm ci --omit=dev` installs, as far as this machine has it. */
async function productionPackages(): Promise<string[]> {
  const text = await readFile(join(root, 'package-lock.json'), 'utf8');
  const { packages } = JSON.parse(text) as { packages: Readonly<Record<string, Package>> };
  const topLevel = /^node_modules\/(@[^/]+\/)?[^/]+$/;
  const names = Object.entries(packages).filter(
    ([path, { dev, link }]) => topLevel.test(path) && dev !== true && link !== true,
  );
  return names
    .filter(([path, { optional }]) => optional !== true || existsSync(join(root, path)))
    .map(([path]) => path);
}
