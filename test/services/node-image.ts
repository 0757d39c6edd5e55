// The project's own image, built from its Dockerfile without a registry and without a daemon: by buildah, on a base of
// this machine's programs under the name that the Dockerfile asks for.
//
// Source of what Node needs: `ldd`. The base has what the Dockerfile's steps and the examples call, and no more.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { pause } from './catalog.ts';

const repository = join(import.meta.dirname, '..', '..');
const tools = ['sh', 'bash', 'env', 'ln', 'install', 'sleep', 'date'];
export const imageName = 'localhost/millrace:test';
const buildWithinMs = 300_000;

/** Archives for `ctr images import`: the project's image, and what holds a pod's namespaces. */
export function buildImages(directory: string): string[] {
  mkdirSync(directory, { recursive: true });
  const buildah = builder(directory);
  const base = join(directory, 'base');
  layOutBase(base);
  const variables = ['--env', 'PATH=/usr/local/bin:/usr/bin:/bin'];
  commit(buildah, base, `docker.io/library/${baseName()}`, variables);
  buildah(
    ...['bud', '--quiet', '--pull-never', '--isolation', 'chroot', '--network', 'host'],
    ...['--tag', imageName, repository],
  );
  const holder = join(directory, 'holder');
  mkdirSync(holder);
  copyFileSync(pause.path, join(holder, 'pause'));
  commit(buildah, holder, 'localhost/pause:1', ['--entrypoint', '["/pause"]']);
  return [imageName, 'localhost/pause:1'].map((name, i) => {
    const archive = join(directory, `${i}.tar`);
    buildah('push', '--quiet', name, `docker-archive:${archive}:${name}`);
    return archive;
  });
}

type Buildah = (...args: string[]) => string;

/** Its images are below the directory, not beside those of the machine. */
function builder(directory: string): Buildah {
  const place = [
    ...['--root', join(directory, 'storage'), '--runroot', join(directory, 'run')],
    // The other one copies every layer for each step.
    ...['--storage-driver', 'overlay'],
  ];
  return (...args) =>
    execFileSync('buildah', [...place, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: buildWithinMs,
    }).trim();
}

function commit(buildah: Buildah, root: string, name: string, config: readonly string[]): void {
  const container = buildah('from', 'scratch');
  buildah('copy', '--quiet', container, root, '/');
  buildah('config', ...config, container);
  buildah('commit', '--quiet', '--rm', container, name);
}

/** What the Dockerfile builds on. */
function baseName(): string {
  const dockerfile = readFileSync(join(repository, 'Dockerfile'), 'utf8');
  const name = /^ARG NODE_IMAGE=(\S+)$/m.exec(dockerfile)?.[1];
  if (name === undefined) throw new Error('the Dockerfile names no NODE_IMAGE');
  return name;
}

function layOutBase(root: string): void {
  for (const part of [
    'etc',
    'tmp',
    'proc',
    'sys',
    'dev',
    'root',
    'usr/local/etc',
    'usr/local/lib',
  ]) {
    mkdirSync(join(root, part), { recursive: true });
  }
  chmodSync(join(root, 'tmp'), 0o1777);
  put(root, process.execPath, '/usr/local/bin/node');
  for (const tool of tools) put(root, which(tool), `/bin/${tool}`);
  symlinkSync('../../bin/env', join(makeDirectory(join(root, 'usr', 'bin')), 'env'));
  for (const library of nameService()) put(root, library, library);
  writeFileSync(join(root, 'etc', 'nsswitch.conf'), 'hosts: files dns\n');
  const npm = dirname(dirname(realpathSync(which('npm'))));
  cpSync(npm, join(root, 'usr/local/lib/npm'), { recursive: true, dereference: true });
  symlinkSync('../lib/npm/bin/npm-cli.js', join(root, 'usr/local/bin/npm'));
  trustAsThisMachine(root);
}

/** npm in the image finds packages where this machine's does: its registry, and whom it trusts. */
function trustAsThisMachine(root: string): void {
  const registry = execFileSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).trim();
  const bundles = [process.env['NODE_EXTRA_CA_CERTS'], '/etc/ssl/certs/ca-certificates.crt'];
  const trusted = bundles.filter((file) => file !== undefined && existsSync(file));
  const lines = [`registry=${registry}`];
  if (trusted.length > 0) {
    const all = trusted.map((file) => readFileSync(file ?? '', 'utf8'));
    writeFileSync(join(root, 'usr/local/etc/ca.crt'), all.join('\n'));
    lines.push('cafile=/usr/local/etc/ca.crt');
  }
  writeFileSync(join(root, 'usr/local/etc/npmrc'), `${lines.join('\n')}\n`);
}

/** The program and the libraries that it is linked to. */
function put(root: string, source: string, target: string): void {
  const copies = [
    [source, target] as const,
    ...librariesOf(source).map((one) => [one, one] as const),
  ];
  for (const [from, to] of copies) {
    const path = join(root, to);
    if (existsSync(path)) continue;
    makeDirectory(dirname(path));
    copyFileSync(from, path);
  }
}

function librariesOf(program: string): string[] {
  const printed = execFileSync('ldd', [program], { encoding: 'utf8' });
  return [...printed.matchAll(/(?<=\s)\/\S+/g)].map(([library]) => library);
}

/** glibc loads what resolves names by itself. */
function nameService(): string[] {
  const known = execFileSync('ldconfig', ['-p'], { encoding: 'utf8' });
  return ['libnss_dns.so.2', 'libnss_files.so.2', 'libresolv.so.2'].flatMap((name) => {
    const line = known.split('\n').find((one) => one.includes(`${name} (`) && one.includes('64'));
    return line?.split(' => ').slice(1) ?? [];
  });
}

function which(program: string): string {
  return execFileSync('sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).trim();
}

function makeDirectory(path: string): string {
  mkdirSync(path, { recursive: true });
  return path;
}
