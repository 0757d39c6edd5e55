// The least versions of Node.js, and a broker that is started on another.
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkNodeVersion } from '../../broker/node-version.ts';
import { reasonOf } from '../support/reason-of.ts';
import { runMillrace } from '../support/run-millrace.ts';

describe('a version of Node.js', () => {
  it.each([
    'v22.23.2',
    'v22.24.0',
    'v24.18.1',
    'v24.19.0',
    'v26.5.1',
    'v26.10.0',
    'v27.0.0-nightly',
  ])('%s is taken', (version) => {
    expect(() => checkNodeVersion(version)).not.toThrow();
  });

  it.each([
    'v18.20.8',
    'v20.20.2',
    'v22.23.1',
    'v22.9.9',
    'v23.11.1',
    'v24.18.0',
    'v25.9.0',
    'v26.5.0',
  ])('%s is refused', (version) => {
    expect(reasonOf(() => checkNodeVersion(version))).toBe('NODE_UNSAFE');
  });

  it('is looked at before anything is written', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'millrace-test-'));
    try {
      const older = "Object.defineProperty(process, 'version', { value: 'v24.18.0' })";
      const args = ['start', '--listen', '127.0.0.1:0', '--http-listen', '127.0.0.1:0'];
      const { code, stderr } = await runMillrace('', [...args, '--data-dir', directory], '', {
        NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(older)}`,
      });
      expect(code).not.toBe(0);
      expect(stderr).toMatch(/v24\.18\.0 .*22\.23\.2, 24\.18\.1, 26\.5\.1 or newer.*NODE_UNSAFE/);
      expect(await readdir(directory)).toEqual([]);
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
