import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AuditLog, type AuditEvent } from '../../broker/access/audit-log.ts';
import { DenialsState } from '../../broker/access/denials-state.ts';
import { checkAuditLog } from '../../broker/audit-check.ts';
import { limits } from '../../broker/core/limits.ts';
import { silentLog } from '../../broker/core/log.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

let directory: string;
let path: string;
let clock: VirtualClock;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-audit-'));
  path = join(directory, 'audit.log');
  clock = new VirtualClock();
});

afterEach(() => rm(directory, { recursive: true, force: true }));

const event = (scope: string): AuditEvent => ({
  principal: 'token:a',
  address: '127.0.0.1:5',
  rpc: 'TopicService/ApplyTopic',
  scope,
  outcome: 'ok',
});

async function written(scopes: readonly string[]): Promise<void> {
  const audit = await AuditLog.open({ path, clock, log: silentLog });
  for (const scope of scopes) audit.done(event(scope));
  await audit.close();
}

const lines = async (): Promise<string[]> => (await readFile(path, 'utf8')).trimEnd().split('\n');

describe('the audit log', () => {
  it('is one chain over restarts', async () => {
    await written(['a', 'b']);
    await written(['c']);
    expect((await lines()).map((line) => (JSON.parse(line) as { scope: string }).scope)).toEqual([
      'a',
      'b',
      'c',
    ]);
    expect(await checkAuditLog(path)).toEqual({ lines: 3, files: 1, broken: undefined });
  });

  it('shows a line that was changed, taken out or put in', async () => {
    await written(['a', 'b', 'c']);
    const [a = '', b = '', c = ''] = await lines();
    const changes: readonly (readonly [string[], number | undefined])[] = [
      [[a, b.replace('"b"', '"x"'), c], 3],
      [[a, c], 2],
      [[a, b, b, c], 3],
      [[b, a, c], 2],
      [[a, '', b], 2],
      [[a, b, c], undefined],
    ];
    for (const [changed, line] of changes) {
      await writeFile(path, `${changed.join('\n')}\n`);
      expect((await checkAuditLog(path)).broken?.line).toBe(line);
    }
  });

  it('goes on behind a line that a crash cut off', async () => {
    await written(['a']);
    await appendFile(path, '{"time":"2026');
    await written(['b']);
    expect(await checkAuditLog(path)).toEqual({ lines: 2, files: 1, broken: undefined });
  });

  it('is bounded, and one chain over its files', async () => {
    const audit = await AuditLog.open({ path, clock, log: silentLog });
    const scope = 'x'.repeat(64 * 1024);
    const files = (): Promise<string[]> => readdir(directory);
    const perFile = limits.auditFileBytesMax / scope.length;
    for (let i = 0; i < perFile * (limits.auditFilesMax + 2); i++) {
      audit.done(event(scope));
    }
    await audit.close();
    expect(await files()).toHaveLength(limits.auditFilesMax);
    expect((await checkAuditLog(path)).broken).toBeUndefined();
  }, 60_000);

  it('counts a flood of denials instead of writing it down', async () => {
    const audit = await AuditLog.open({ path, clock, log: silentLog });
    for (let i = 0; i < 5_000; i++) audit.denied({ ...event('a'), outcome: 'PERMISSION_DENIED' });
    for (let i = 0; i < 3; i++)
      audit.denied({ ...event('a'), principal: 'token:b', outcome: 'PERMISSION_DENIED' });
    await audit.close();
    const all = (await lines()).map((line) => JSON.parse(line) as AuditEvent & { count?: number });
    expect(all).toHaveLength(limits.auditDenialsPerMinute + 3 + 1);
    expect(all.at(-1)).toMatchObject({
      principal: 'token:a',
      outcome: 'MORE_DENIALS',
      count: 5_000 - limits.auditDenialsPerMinute,
    });
  });
});

describe('denials', () => {
  it('are each a line or counted, whoever calls and however the clock steps', () => {
    const state = new DenialsState();
    let nowMs = 1_000_000;
    let admitted = 0;
    let counted = 0;
    for (let i = 0; i < 50_000; i++) {
      if (i % 1_000 === 0) nowMs += i % 3_000 === 0 ? -10_000 : 61_000;
      for (const { count } of state.take(nowMs)) counted += count;
      if (state.admit(`caller ${i % 7}`, nowMs)) admitted++;
    }
    for (const { count } of state.take(nowMs, true)) counted += count;
    expect(admitted + counted).toBe(50_000);
    expect(counted).toBeGreaterThan(10_000);
  });

  it('of more callers than are counted apart share a count', () => {
    const state = new DenialsState();
    for (let i = 0; i < limits.auditCallersMax; i++) state.admit(`caller ${i}`, 0);
    const admitted = Array.from({ length: 1_000 }, (_, i) => state.admit(`other ${i}`, 0)).filter(
      Boolean,
    );
    expect(admitted).toHaveLength(limits.auditDenialsPerMinute);
  });
});
