// Every page on how Millrace behaves, run as written: what it shows is what happens.
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BrokerProcess } from '../support/broker-process.ts';
import { blocksIn, blocksOf, runBlocks, withSdk } from './page.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');

const pages = [
  'docs/delivery.md',
  'docs/order.md',
  'docs/idempotent-consumers.md',
  'docs/delay.md',
  'docs/back-pressure.md',
];

describe('a page', () => {
  // A program starts in a second, a command in a third of one; on a busy machine it takes several times as long.
  it.each(pages)('%s works as written', { timeout: 180_000 }, async (page) => {
    await using broker = await BrokerProcess.start();
    await runBlocks(blocksOf(page), broker.server);
  });

  it.each(pages)('%s shows TypeScript, and what comes out of it', (page) => {
    const languages = blocksOf(page).map(({ language }) => language);
    expect(languages).toEqual(expect.arrayContaining(['bash', 'ts', 'text']));
  });
});

describe('the programs of all pages', () => {
  let directory: string;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'millrace-pages-'));
    await writeFile(join(directory, 'package.json'), '{ "type": "module" }');
  });

  afterAll(async () => {
    await rm(directory, { recursive: true, force: true });
  });

  /** What the compiler says of each file. */
  async function faultsOf(programs: ReadonlyMap<string, string>): Promise<string[]> {
    for (const [name, text] of programs) await writeFile(join(directory, name), withSdk(text));
    const compilerOptions = {
      noEmit: true,
      noUnusedLocals: false,
      rewriteRelativeImportExtensions: false,
      typeRoots: [join(root, 'node_modules', '@types')],
    };
    const config = { extends: join(root, 'tsconfig.json'), files: [...programs.keys()] };
    await writeFile(
      join(directory, 'tsconfig.json'),
      JSON.stringify({ ...config, compilerOptions }),
    );
    const tsc = join(root, 'node_modules', '.bin', 'tsc');
    const said = await run(tsc, ['-p', directory], { cwd: directory }).then(
      ({ stdout }) => stdout,
      // It ends with an error when it finds one: what it printed says which.
      (error: unknown) => (error as { stdout: string }).stdout,
    );
    return said.split('\n').filter((line) => line !== '');
  }

  it('have the types that they say, and a wrong one is found', { timeout: 180_000 }, async () => {
    const programs = ['README.md', 'client/README.md', ...pages].flatMap((page) =>
      blocksOf(page)
        .filter(({ language }) => language === 'ts')
        .map(({ text }, i) => [`${page.replaceAll('/', '-')}-${i}.ts`, text] as const),
    );
    expect(programs.length).toBeGreaterThan(pages.length);
    const planted = ['planted.ts', 'const wrong: number = "text"; export { wrong };'] as const;
    const faults = await faultsOf(new Map([...programs, planted]));
    expect(faults).toEqual([expect.stringMatching(/^planted\.ts.*TS2322/)]);
  });
});

describe('running a page', () => {
  const page = (...blocks: (readonly [language: string, text: string])[]) =>
    blocksIn(
      blocks.map(([language, text]) => `\`\`\`${language}\n${text}\n\`\`\`\n`).join('\nProse.\n\n'),
    );

  it('finds a command that fails, a program that fails, and another output', async () => {
    await runBlocks(
      page(['bash', 'echo a'], ['text', 'a'], ['ts', 'console.log(1)'], ['text', '1']),
      '',
    );
    await expect(runBlocks(page(['bash', 'false\ntrue']), '')).rejects.toThrow('Command failed');
    await expect(runBlocks(page(['ts', 'throw new Error("no")']), '')).rejects.toThrow('no');
    await expect(runBlocks(page(['bash', 'echo a'], ['text', 'b']), '')).rejects.toThrow('printed');
  });
});
