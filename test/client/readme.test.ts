// Every program in the SDK's README runs as it is written, against a real broker.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BrokerProcess } from '../support/broker-process.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');
const sdk = join(root, 'client', 'src', 'index.ts');

let broker: BrokerProcess;

beforeAll(async () => {
  broker = await BrokerProcess.start();
});

afterAll(async () => {
  await broker[Symbol.asyncDispose]();
});

const programs = [
  ...readFileSync(join(root, 'client', 'README.md'), 'utf8').matchAll(
    /```ts\n(?<program>[\s\S]*?)```/g,
  ),
].map((match) => match.groups?.['program'] ?? '');

/** A line that each of them prints. */
const prints = [
  /order-7 is durable in partition \d at offset 0/,
  /Map\(1\) \{ 0 => 99999 \}/,
  /0 0 \{ work: 1 \}/,
  /d1 22.5/,
  /0 a\n1 b\n/,
  /the oldest record is 0, the oldest on the disk 0\n0 records are only on the disk\nfile:/,
];

describe("the README's programs", () => {
  it('are the ones that are tried', () => {
    expect(programs).toHaveLength(prints.length);
  });

  it.each(programs.map((program, i) => ({ program, i })))('run: $i', async ({ program, i }) => {
    const here = program
      .replace("'@millrace/client'", JSON.stringify(sdk))
      .replace('connect()', `connect({ server: '${broker.server}' })`);
    const args = ['--input-type=module-typescript', '--eval', here];
    const { stdout } = await run(process.execPath, args);
    expect(stdout).toMatch(prints[i] as RegExp);
  });
});
