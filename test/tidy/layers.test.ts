import { describe, expect, it } from 'vitest';
import { importFaults } from './import-check.ts';
import { layerOf, layerTable, type Layer } from './layers.ts';
import { parseSource, readSource, sourcePaths } from './source-file.ts';

describe('the repository', () => {
  it('imports along the layer table only', () => {
    expect(sourcePaths().flatMap((path) => importFaults(readSource(path)))).toEqual([]);
  });

  it('is read: every layer that has a folder has files', () => {
    const counts = new Map<Layer, number>();
    for (const path of sourcePaths()) {
      const layer = layerOf(path);
      if (layer !== undefined) counts.set(layer, (counts.get(layer) ?? 0) + 1);
    }
    for (const layer of ['core', 'journal', 'log', 'server', 'wire', 'proto', 'test'] as const) {
      expect([layer, (counts.get(layer) ?? 0) >= 2]).toEqual([layer, true]);
    }
  });
});

describe('the table', () => {
  it('has no cycle between two layers', () => {
    const reaches = (from: Layer, to: Layer): boolean => {
      const { layers } = layerTable[from];
      return layers !== 'any' && layers.some((next) => next === to || reaches(next, to));
    };
    const cyclic = (Object.keys(layerTable) as Layer[]).filter((layer) => reaches(layer, layer));
    expect(cyclic).toEqual([]);
  });

  it('gives the client no package but gRPC and protobuf: none has native code', () => {
    expect(layerTable.client.packages).toEqual(['@bufbuild/protobuf', '@grpc/grpc-js']);
  });
});

describe('a planted import is caught', () => {
  const planted: readonly (readonly [string, string, string, string])[] = [
    [
      'upward',
      'broker/core/x.ts',
      `import { a } from '../journal/y.ts';`,
      'core may not import layer journal',
    ],
    [
      'skipped',
      'broker/log/x.ts',
      `import { a } from '../objects/y.ts';`,
      'log may not import layer objects',
    ],
    [
      'sideways',
      'broker/catalog/x.ts',
      `import { a } from '../log/y.ts';`,
      'catalog may not import layer log',
    ],
    [
      'type-only',
      'broker/batch/x.ts',
      `import type { A } from '../log/y.ts';`,
      'batch may not import layer log',
    ],
    [
      'inline type',
      'broker/batch/x.ts',
      `import { type A } from '../log/y.ts';`,
      'batch may not import layer log',
    ],
    [
      'dynamic',
      'broker/core/x.ts',
      `await import('../shard/y.ts');`,
      'core may not import layer shard',
    ],
    [
      'in a type',
      'broker/core/x.ts',
      `export let a: import('../shard/y.ts').A;`,
      'core may not import layer shard',
    ],
    [
      'in typeof',
      'broker/core/x.ts',
      `export type A = typeof import('../shard/y.ts');`,
      'core may not import layer shard',
    ],
    [
      'for effect',
      'broker/core/x.ts',
      `import '../shard/y.ts';`,
      'core may not import layer shard',
    ],
    [
      're-export',
      'broker/core/x.ts',
      `export { a } from '../shard/y.ts';`,
      'core may not import layer shard',
    ],
    [
      'type re-export',
      'broker/core/x.ts',
      `export type { A } from '../shard/y.ts';`,
      'core may not import layer shard',
    ],
    [
      'star re-export',
      'broker/core/x.ts',
      `export * from '../shard/y.ts';`,
      'core may not import layer shard',
    ],
    [
      'over two lines',
      'broker/core/x.ts',
      `import {\n  a,\n} from '../shard/y.ts';`,
      'core may not import layer shard',
    ],
    [
      'generated code below the server',
      'broker/log/x.ts',
      `import '../../proto/gen/y.ts';`,
      'log may not import layer proto',
    ],
    [
      'broker in the client',
      'client/src/x.ts',
      `import '../../broker/core/y.ts';`,
      'client may not import layer core',
    ],
    [
      'broker in the operator',
      'operator/x.ts',
      `import '../broker/core/y.ts';`,
      'operator may not import layer core',
    ],
    [
      'insides of the broker in the cli',
      'cli/x.ts',
      `import '../broker/shard/y.ts';`,
      'cli may not import layer shard',
    ],
    [
      'test code in the product',
      'broker/core/x.ts',
      `import '../../test/y.ts';`,
      'core may not import layer test',
    ],
    [
      'composition from below',
      'broker/shard/x.ts',
      `import '../settings.ts';`,
      'shard may not import layer composition',
    ],
    [
      'package out of place',
      'broker/log/x.ts',
      `import { open } from 'lmdb';`,
      'log may not import package lmdb',
    ],
    [
      'package path',
      'broker/log/x.ts',
      `import '@grpc/grpc-js/build/y.js';`,
      'log may not import package @grpc/grpc-js',
    ],
    [
      'computed',
      'broker/core/x.ts',
      `await import(name);`,
      'core may not import package (computed)',
    ],
    [
      'node in a state machine',
      'broker/log/x-state.ts',
      `import 'node:fs';`,
      'a pure file imports node:fs',
    ],
    [
      'node in a plan',
      'broker/log/x-plan.ts',
      `import type { A } from 'node:fs';`,
      'a pure file imports node:fs',
    ],
    ['folder without a layer', 'broker/misc/x.ts', ``, 'belongs to no layer'],
    ['target without a layer', 'broker/core/x.ts', `import '../misc/y.ts';`, 'belongs to no layer'],
  ];

  it.each(planted)('%s', (_, path, text, fault) => {
    const faults = importFaults(parseSource(path, text));
    expect(faults).toHaveLength(1);
    expect(faults[0]).toContain(fault);
  });

  it('and what only looks like an import is not', () => {
    const text = [
      `import { a } from '../core/a.ts';`,
      `// import '../server/y.ts';`,
      `export const text = "import '../server/y.ts'", pattern = /import '..\\/server\\/y.ts'/;`,
      `export type B = A;`,
    ].join('\n');
    expect(importFaults(parseSource('broker/log/x.ts', text))).toEqual([]);
  });

  it('and a file that does not parse is an error, not a pass', () => {
    expect(() => parseSource('broker/core/x.ts', 'import {')).toThrow('broker/core/x.ts');
  });
});
