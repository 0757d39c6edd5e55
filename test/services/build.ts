// Builds what the tests need and npm does not bring, once, into the cache: `npm run services [NAME ...]`.
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import {
  binDirectory,
  cacheDirectory,
  cannotHaveNodes,
  isBuilt,
  nodeServices,
  services,
  stampPath,
  type Service,
} from './catalog.ts';

/** The cold build of MinIO takes four minutes on two cores. */
const buildWithinMs = 30 * 60_000;

/** What kept it from being built; undefined when it is there. */
function build(service: Service): string | undefined {
  const { name, version, path, tool } = service;
  const never = nodeServices.includes(service) ? cannotHaveNodes() : undefined;
  if (never !== undefined) {
    say(`${name} ${version}: left out, it is for ${never}`);
    return undefined;
  }
  if (isBuilt(service)) {
    say(`${name} ${version}: there`);
    return undefined;
  }
  if (spawnSync(tool.command, ['--help'], { stdio: 'ignore' }).error !== undefined) {
    return `${name} needs ${tool.command}, which is not there; install ${tool.install}`;
  }
  const start = performance.now();
  say(`${name} ${version}: building`);
  rmSync(stampPath(name), { force: true });
  for (const [program = '', ...args] of service.build) {
    const { status, error } = spawnSync(program, args, {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, ...service.env },
      timeout: buildWithinMs,
    });
    if (status !== 0) {
      const cause = error === undefined ? `exit code ${status ?? 'none'}` : error.message;
      return `${name} ${version}: ${program} failed (${cause})`;
    }
  }
  const { size } = statSync(path);
  writeFileSync(stampPath(name), `${version}\n`);
  const seconds = Math.round((performance.now() - start) / 1000);
  say(`${name} ${version}: ${seconds} s, ${size} bytes`);
  return undefined;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !services.some((service) => service.name === name));
const names = services.map(({ name }) => name).join(', ');
if (unknown.length > 0) {
  process.stderr.write(`unknown: ${unknown.join(', ')}; there are ${names}\n`);
  process.exitCode = 2;
} else {
  mkdirSync(binDirectory, { recursive: true });
  say(`cache: ${cacheDirectory}`);
  const failures = services
    .filter(({ name }) => wanted.length === 0 || wanted.includes(name))
    .map(build)
    .filter((failure) => failure !== undefined);
  for (const failure of failures) process.stderr.write(`${failure}\n`);
  if (failures.length > 0) process.exitCode = 1;
}
