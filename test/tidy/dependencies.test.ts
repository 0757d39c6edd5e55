import { globSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { root } from './source-file.ts';

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

const exactVersion = /^\d+\.\d+\.\d+(-[\w.]+)?$/;

const decision = readFileSync(
  new URL('docs/decisions/0001-record-architecture-decisions-and-dependencies.md', root),
  'utf8',
);

it('every dependency has an exact version and its reason in decision 0001', () => {
  const paths = globSync('{.,*}/package.json', { cwd: root }).sort();
  expect(paths.length).toBeGreaterThanOrEqual(4);
  const faults = paths.flatMap((path) => {
    const manifest = JSON.parse(readFileSync(new URL(path, root), 'utf8')) as Manifest;
    return dependencyFaults(manifest, decision).map((fault) => `${path}: ${fault}`);
  });
  expect(faults).toEqual([]);
});

it('a range and a dependency without a reason are caught', () => {
  const manifest = {
    dependencies: { lmdb: '^3.5.6', 'left-pad': '1.3.0' },
    devDependencies: { vitest: 'latest' },
  };
  expect(dependencyFaults(manifest, decision)).toEqual([
    'lmdb is ^3.5.6; give an exact version',
    'left-pad has no reason in decision 0001',
    'vitest is latest; give an exact version',
  ]);
});

function dependencyFaults(manifest: Manifest, reasons: string): readonly string[] {
  const all = { ...manifest.dependencies, ...manifest.devDependencies };
  return Object.entries(all).flatMap(([name, version]) => [
    ...(exactVersion.test(version) ? [] : [`${name} is ${version}; give an exact version`]),
    ...(reasons.includes(`\`${name}\``) ? [] : [`${name} has no reason in decision 0001`]),
  ]);
}
