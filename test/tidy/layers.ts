// The layer table of the architecture, as the tests read it. docs/decisions/0002 says why there is one.
//
// Invariants:
// - Every TypeScript file of the repository belongs to exactly one layer.
// - A layer imports only from itself and the layers listed for it, in whatever way: value, type, re-export, dynamic.
// - Foreign packages are imported only where they are listed, so an adapter is the only place that knows its library.

export type Layer =
  | 'core'
  | 'batch'
  | 'journal'
  | 'objects'
  | 'tier'
  | 'log'
  | 'subscription'
  | 'catalog'
  | 'access'
  | 'shard'
  | 'cluster'
  | 'server'
  | 'composition'
  | 'proto'
  | 'wire'
  | 'client'
  | 'cli'
  | 'operator'
  | 'bench'
  | 'examples'
  | 'test';

interface LayerRule {
  /** Other layers that it may import from; `any` for what sees everything. */
  readonly layers: readonly Layer[] | 'any';
  /** Foreign packages that it may import from. `node:*` is always allowed, except in pure files. */
  readonly packages: readonly string[] | 'any';
}

/** Every layer of the broker below the services, lowest first. */
const belowServer = [
  'core',
  'batch',
  'journal',
  'objects',
  'tier',
  'log',
  'subscription',
  'catalog',
  'access',
  'shard',
  'cluster',
] as const satisfies readonly Layer[];

const serverPackages = [
  '@bufbuild/protobuf',
  '@grpc/grpc-js',
  '@grpc/reflection',
  'grpc-health-check',
  'pino',
  'prom-client',
];

export const layerTable: Readonly<Record<Layer, LayerRule>> = {
  core: { layers: [], packages: [] },
  batch: { layers: ['core', 'wire'], packages: [] },
  journal: { layers: ['core', 'wire'], packages: ['lmdb'] },
  objects: { layers: ['core', 'wire'], packages: ['minio'] },
  tier: { layers: ['core', 'batch', 'objects', 'wire'], packages: [] },
  log: { layers: ['core', 'batch', 'journal', 'tier', 'wire'], packages: [] },
  subscription: { layers: ['core', 'batch', 'log', 'wire'], packages: [] },
  catalog: { layers: ['core', 'wire'], packages: [] },
  access: { layers: ['core', 'catalog', 'wire'], packages: ['jose'] },
  shard: {
    layers: [
      'core',
      'batch',
      'journal',
      'objects',
      'tier',
      'log',
      'subscription',
      'catalog',
      'wire',
    ],
    packages: [],
  },
  // Publishing is admitted here for every protocol, so the quotas are asked here.
  // Streams hold logs and subscriptions by the hand that cluster gives them; forwarding every call through shard would
  // add a layer that knows nothing.
  cluster: {
    layers: ['core', 'objects', 'log', 'subscription', 'catalog', 'access', 'shard', 'wire'],
    packages: [],
  },
  server: { layers: [...belowServer, 'proto', 'wire'], packages: serverPackages },
  // The files of broker/ itself: main.ts joins ports to adapters, settings.ts says how.
  composition: { layers: [...belowServer, 'server', 'proto', 'wire'], packages: [] },
  proto: { layers: [], packages: ['@bufbuild/protobuf'] },
  wire: { layers: [], packages: [] },
  client: { layers: ['proto', 'wire'], packages: ['@bufbuild/protobuf', '@grpc/grpc-js'] },
  cli: { layers: ['client', 'proto', 'wire', 'composition', 'bench'], packages: ['commander'] },
  operator: {
    layers: ['client', 'proto', 'wire'],
    packages: ['@kubernetes/client-node', 'commander', 'pino', 'prom-client'],
  },
  // What the object store's own client moves is what offload is compared with. What a state takes in memory is measured
  // on the state, where it is not lost among caches, and what access costs where it is asked for.
  bench: {
    layers: ['core', 'catalog', 'access', 'log', 'subscription', 'client', 'proto', 'wire'],
    packages: ['minio'],
  },
  examples: { layers: ['client'], packages: [] },
  test: { layers: 'any', packages: 'any' },
};

const brokerLayers: ReadonlySet<string> = new Set([...belowServer, 'server']);
const topLevelLayers: ReadonlySet<string> = new Set([
  'client',
  'cli',
  'operator',
  'bench',
  'examples',
  'test',
]);

/** The layer of a path relative to the repository's root; undefined when no rule covers it. */
export function layerOf(path: string): Layer | undefined {
  const [top = '', second = '', ...rest] = path.split('/');
  if (second === '') return top.endsWith('.config.ts') ? 'test' : undefined;
  if (top === 'broker') {
    if (rest.length === 0) return 'composition';
    return brokerLayers.has(second) ? (second as Layer) : undefined;
  }
  if (top === 'proto') return second === 'gen' ? 'proto' : second === 'wire' ? 'wire' : undefined;
  return topLevelLayers.has(top) ? (top as Layer) : undefined;
}

/** Whether a file of one layer may import a file of another. */
export function mayImport(from: Layer, to: Layer): boolean {
  if (from === to) return true;
  const { layers } = layerTable[from];
  return layers === 'any' || layers.includes(to);
}

/** Whether a file of the layer may import a foreign package. */
export function mayImportPackage(from: Layer, packageName: string): boolean {
  const { packages } = layerTable[from];
  return packages === 'any' || packages.includes(packageName);
}
