// The SDK as it is published: compiled, packed, installed elsewhere, imported by a plain Node program and type-checked
// by one that does not allow `.ts` imports.
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BrokerProcess } from '../support/broker-process.ts';
import { applyTopic } from './topic-fixture.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');

let directory: string;
let installed: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-pack-'));
  await run('npm', ['pack', '--workspace', 'client', '--pack-destination', directory], {
    cwd: root,
  });
  const [archive] = (await readdir(directory)).filter((name) => name.endsWith('.tgz'));
  installed = join(directory, 'node_modules', '@millrace', 'client');
  await mkdir(installed, { recursive: true });
  await run('tar', [
    '-xzf',
    join(directory, archive ?? ''),
    '--strip-components=1',
    '-C',
    installed,
  ]);
  for (const scope of ['@grpc', '@bufbuild', '@types', 'undici-types']) {
    await symlink(join(root, 'node_modules', scope), join(directory, 'node_modules', scope));
  }
  await writeFile(join(directory, 'package.json'), '{ "type": "module" }');
});

afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

describe('the packed SDK', () => {
  it('holds compiled code, declarations and a README, and no TypeScript sources', async () => {
    const files = await readdir(installed, { recursive: true });
    expect(files).toEqual(
      expect.arrayContaining([
        'README.md',
        'dist/client/src/index.js',
        'dist/client/src/index.d.ts',
      ]),
    );
    expect(files.filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'))).toEqual([]);
  });

  it('publishes from a program that Node runs as it is', async () => {
    await using broker = await BrokerProcess.start();
    await applyTopic(broker.server, 'packed');
    const program = join(directory, 'program.js');
    await writeFile(
      program,
      `import { connect } from '@millrace/client';
       const client = connect({ server: '${broker.server}' });
       console.log(JSON.stringify(await client.publisher('packed').publish({ value: 'x' })));
       await client.close();`,
    );
    const { stdout } = await run(process.execPath, [program]);
    expect(JSON.parse(stdout)).toEqual({ partition: 0, offset: 0 });
  });

  it('type-checks in a program of its own', async () => {
    const program = join(directory, 'program.ts');
    await writeFile(
      program,
      `import { connect, MillraceError, type Published } from '@millrace/client';
       const client = connect();
       const published: Published = await client.publisher('t').publish({ value: 'x' });
       const offset: number = published.offset;
       // @ts-expect-error a value is a string or bytes
       await client.publisher('t').publish({ value: 7 });
       export { offset, MillraceError };`,
    );
    const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2024'];
    const libraries = ['--lib', 'es2024,esnext.disposable', '--types', 'node'];
    const compiler = join(root, 'node_modules', '.bin', 'tsc');
    await run(compiler, [...options, ...libraries, program], { cwd: directory }).catch(
      (error: unknown) => expect.fail((error as { stdout: string }).stdout),
    );
  });
});
