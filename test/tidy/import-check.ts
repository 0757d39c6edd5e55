// What a file may import, checked against the layer table.
import { posix } from 'node:path';
import { layerOf, mayImport, mayImportPackage } from './layers.ts';
import type { SourceFile } from './source-file.ts';

/** Files that decide and do not act: synchronous, given `now` and chance, so that the simulation can drive them. */
const pureFile = /-(state|plan)\.ts$/;

/** One sentence per import that is not allowed, with file and line. */
export function importFaults(file: SourceFile): readonly string[] {
  const from = layerOf(file.path);
  if (from === undefined)
    return [`${file.path}: belongs to no layer; add it to test/tidy/layers.ts`];
  const faults: string[] = [];
  for (const { specifier, line } of file.imports) {
    const fault = importFault(file.path, from, specifier);
    if (fault !== undefined) faults.push(`${file.path}:${line}: ${fault}`);
  }
  return faults;
}

function importFault(
  path: string,
  from: NonNullable<ReturnType<typeof layerOf>>,
  specifier: string,
): string | undefined {
  if (specifier.startsWith('node:')) {
    return from !== 'test' && pureFile.test(path)
      ? `a pure file imports ${specifier}; pass in what it needs`
      : undefined;
  }
  if (specifier.startsWith('.')) {
    const target = posix.join(posix.dirname(path), specifier);
    const to = layerOf(target);
    if (to === undefined) return `imports ${target}, which belongs to no layer`;
    return mayImport(from, to) ? undefined : `layer ${from} may not import layer ${to} (${target})`;
  }
  const name = packageNameOf(specifier);
  if (name === '@millrace/client') {
    return mayImport(from, 'client') ? undefined : `layer ${from} may not import layer client`;
  }
  return mayImportPackage(from, name) ? undefined : `layer ${from} may not import package ${name}`;
}

function packageNameOf(specifier: string): string {
  const parts = specifier.split('/');
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] ?? '');
}
