// The command line against a real broker: what it prints, what it exits with.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BrokerProcess } from '../support/broker-process.ts';
import { runMillrace, type Finished } from '../support/run-millrace.ts';

describe('millrace', () => {
  let broker: BrokerProcess;
  let directory: string;
  const millrace = (args: readonly string[], input?: string): Promise<Finished> =>
    runMillrace(broker.server, args, input);

  beforeAll(async () => {
    broker = await BrokerProcess.start();
    directory = await mkdtemp(join(tmpdir(), 'millrace-cli-'));
  });

  afterAll(async () => {
    await broker[Symbol.asyncDispose]();
    await rm(directory, { recursive: true, force: true });
  });

  it('says help for every verb', async () => {
    const { stdout } = await millrace(['--help']);
    const verbs = ['start', 'topic', 'publish', 'read', 'consume', 'subscription', 'bench'];
    for (const verb of verbs) {
      expect(stdout).toContain(`${verb} `);
      const help = await millrace(['help', verb]);
      expect(help.code, verb).toBe(0);
      expect(help.stdout).toContain(`Usage: millrace ${verb}`);
    }
  });

  it('publishes lines with keys and headers, and reads everything back as JSON', async () => {
    await millrace(['topic', 'create', 'pairs', '--partitions', '3']);
    const published = await millrace(
      ['publish', 'pairs', '--key-separator', '=', '--header', 'origin=test'],
      'a=1\nb=2\na=3\n',
    );
    expect(published.stdout).toContain('published 3 records to pairs');
    const read = await millrace(['read', 'pairs', '-o', 'json']);
    const records = read.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { key: string; value: string; headers: unknown });
    expect(records.filter(({ key }) => key === 'a').map(({ value }) => value)).toEqual(['1', '3']);
    expect(records[0]?.headers).toEqual([{ name: 'origin', value: 'test' }]);
  });

  it('reads from an offset, a time and the latest, and as many as asked for', async () => {
    await millrace(['topic', 'create', 'lines']);
    const file = join(directory, 'lines.txt');
    await writeFile(file, Array.from({ length: 100 }, (_, i) => `line ${i}`).join('\n'));
    await millrace(['publish', 'lines', '--file', file]);
    const lines = async (...args: string[]): Promise<string[]> => {
      const { stdout } = await millrace(['read', 'lines', ...args]);
      return stdout === '' ? [] : stdout.trimEnd().split('\n');
    };
    expect(await lines('--from', '97')).toEqual(['line 97', 'line 98', 'line 99']);
    expect(await lines('--count', '2')).toEqual(['line 0', 'line 1']);
    expect(await lines('--from', 'latest')).toEqual([]);
    expect(await lines('--from', '2000-01-01T00:00:00Z', '--count', '1')).toEqual(['line 0']);
    expect(await lines('--from', '2100-01-01T00:00:00Z')).toEqual([]);
  });

  it('consumes with acks, gives back with nacks, and leaves the position with no-ack', async () => {
    await millrace(['topic', 'create', 'jobs']);
    await millrace(['publish', 'jobs'], 'one\ntwo\nthree\n');
    const consume = (...args: string[]): Promise<Finished> =>
      millrace(['consume', 'jobs', '--subscription', 's', ...args]);
    expect((await consume('--no-ack', '--count', '1')).stdout).toBe('one\n');
    expect((await consume('--nack', '--count', '1')).stdout).toMatch(/one|two|three/);
    const all = await consume('--idle', '1s', '-o', 'json');
    const values = all.stdout
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { value: string }).value);
    expect(values.sort()).toEqual(['one', 'three', 'two']);
    expect((await consume('--idle', '500ms')).stdout).toBe('');
  });

  it('seeks a subscription back and forth', async () => {
    await millrace(['topic', 'create', 'again']);
    await millrace(['publish', 'again'], '1\n2\n3\n');
    await millrace([
      'subscription',
      'create',
      'again',
      's',
      '--kind',
      'stream',
      '--start',
      'latest',
    ]);
    await millrace(['subscription', 'seek', 'again', 's', '--to', '1']);
    const { stdout } = await millrace(['consume', 'again', '--subscription', 's', '--count', '2']);
    expect(stdout).toBe('2\n3\n');
  });

  it('creates if not there, changes nothing that is, and says how that differs', async () => {
    await millrace(['topic', 'create', 'once', '--partitions', '2']);
    const topic = ['topic', 'create', 'once', '--if-not-exists'];
    const said = await millrace([...topic, '--partitions', '5']);
    expect(said.stdout).toMatch(/topic once is there already.*\ndiffers.*partitions/);
    const described = await millrace(['topic', 'describe', 'once', '-o', 'json']);
    expect(JSON.parse(described.stdout)).toMatchObject({ spec: { partitions: 2 } });
    const subscription = ['subscription', 'create', 'once', 's', '--if-not-exists'];
    expect((await millrace([...subscription, '--ack-deadline-ms', '30000'])).code).toBe(0);
    const other = await millrace([...subscription, '--ack-deadline-ms', '60000', '-o', 'json']);
    const { created, differs } = JSON.parse(other.stdout) as {
      created: boolean;
      differs: readonly string[];
    };
    expect(created).toBe(false);
    expect(differs.join()).toMatch(/deadline/i);
    expect((await millrace([...subscription, '-o', 'json'])).stdout).toContain('"differs":[]');
  });

  it('tells mistakes apart by exit code, with the reason on stderr', async () => {
    const cases: readonly (readonly [readonly string[], number, string])[] = [
      [['read', 'missing'], 3, 'TOPIC_NOT_FOUND'],
      [['topic', 'create', '../etc'], 2, 'NAME_INVALID'],
      [['topic', 'create', 'lines'], 4, 'REVISION_MISMATCH'],
      [['topic', 'create', 'many', '--partitions', '9999'], 2, 'SPEC_INVALID'],
      [['read', 'lines', '--from', 'yesterday'], 2, '--from'],
      [['publish', 'lines', '--no-such-flag'], 2, '--no-such-flag'],
      [['frobnicate'], 2, 'frobnicate'],
    ];
    for (const [args, code, said] of cases) {
      const finished = await millrace(args);
      expect(finished.code, args.join(' ')).toBe(code);
      expect(finished.stderr).toContain(said);
      expect(finished.stdout).toBe('');
    }
  });

  it('says that no broker answers, and how to start one', async () => {
    const { code, stderr } = await runMillrace('127.0.0.1:1', ['topic', 'list']);
    expect(code).toBe(6);
    expect(stderr).toContain('millrace start');
  });

  it('refuses to start with a wrong setting, naming it', async () => {
    const wrong = await runMillrace('', ['start', '--shards', 'many', '--data-dir', directory]);
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain('shards');
    const open = await runMillrace('', ['start', '--listen', '0.0.0.0:0', '--data-dir', directory]);
    expect(open.code).toBe(2);
    expect(open.stderr).toContain('allow-unauthenticated');
  });
});
