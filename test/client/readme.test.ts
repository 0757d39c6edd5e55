// Every program in the SDK's README runs as it is written, against a real broker.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { blocksOf, runProgram } from '../docs/page.ts';
import { BrokerProcess } from '../support/broker-process.ts';

let broker: BrokerProcess;

beforeAll(async () => {
  broker = await BrokerProcess.start();
});

afterAll(async () => {
  await broker[Symbol.asyncDispose]();
});

const programs = blocksOf('client/README.md')
  .filter(({ language }) => language === 'ts')
  .map(({ text }) => text);

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
    const stdout = await runProgram(program, broker.server);
    expect(stdout).toMatch(prints[i] as RegExp);
  });
});
