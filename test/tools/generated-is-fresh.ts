// Fails when proto/gen is not what `buf generate` makes of the .proto files today: `npm run generate:check`.
import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

const root = join(import.meta.dirname, '..', '..');
const binaries = join(root, 'node_modules', '.bin');

/** Differences between the folder and what the generator makes now, one sentence each. */
export function staleFiles(folder: string): readonly string[] {
  const fresh = mkdtempSync(join(tmpdir(), 'millrace-generated-'));
  try {
    generateInto(fresh);
    return differences(folder, join(fresh, 'proto', 'gen'));
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

function generateInto(directory: string): void {
  const { status, stderr } = spawnSync('buf', ['generate', '--output', directory], {
    cwd: root,
    encoding: 'utf8',
    // The generator is a script of the workspace: it runs on the workspace's Node.
    env: { ...process.env, PATH: binaries + delimiter + (process.env['PATH'] ?? '') },
  });
  if (status !== 0) throw new Error(`buf generate failed: ${stderr}`);
}

function differences(committed: string, fresh: string): readonly string[] {
  const names = (folder: string): readonly string[] => globSync('**/*.ts', { cwd: folder }).sort();
  const wanted = names(fresh);
  if (wanted.length === 0) throw new Error('buf generate made no files');
  const there = new Set(names(committed));
  const stale = wanted.flatMap((name) => {
    if (!there.delete(name)) return [`${name} is missing`];
    const isSame =
      readFileSync(join(committed, name), 'utf8') === readFileSync(join(fresh, name), 'utf8');
    return isSame ? [] : [`${name} is not what the generator makes now`];
  });
  return [...stale, ...[...there].map((name) => `${name} has no .proto any more`)];
}

if (import.meta.main) {
  const stale = staleFiles(join(root, 'proto', 'gen'));
  for (const line of stale) process.stderr.write(`proto/gen/${line}\n`);
  if (stale.length > 0) {
    process.stderr.write('run: npm run generate\n');
    process.exitCode = 1;
  }
}
