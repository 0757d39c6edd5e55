import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openVolume } from '../../broker/cluster/volume.ts';
import { systemRandom } from '../../broker/core/random.ts';
import { rejectionOf } from '../support/reason-of.ts';
import { withTemporaryDirectory } from '../support/temporary-directory.ts';

it('gives a new directory an identity and keeps it', () =>
  withTemporaryDirectory(async (directory) => {
    const first = await openVolume(directory, systemRandom);
    expect(first.clusterId).toMatch(/^[0-9a-f]{32}$/);
    expect(first.volumeId).not.toBe(first.clusterId);
    expect(await openVolume(directory, systemRandom)).toEqual(first);
    const text = await readFile(join(directory, 'volume.json'), 'utf8');
    expect(JSON.parse(text)).toEqual({ format: 1, ...first });
  }));

it('makes the directory when it is not there', () =>
  withTemporaryDirectory(async (directory) => {
    const volume = await openVolume(join(directory, 'new', 'data'), systemRandom);
    expect(await openVolume(join(directory, 'new', 'data'), systemRandom)).toEqual(volume);
  }));

it('begins anew when a crash left the file half written under its temporary name', () =>
  withTemporaryDirectory(async (directory) => {
    await writeFile(join(directory, 'volume.json.new'), '{"form');
    const volume = await openVolume(directory, systemRandom);
    expect(await openVolume(directory, systemRandom)).toEqual(volume);
  }));

it.each(['1-0.mdb', 'generations'])(
  'refuses to name a directory that has journals already: %s',
  (file) =>
    withTemporaryDirectory(async (directory) => {
      await openVolume(directory, systemRandom);
      await mkdir(join(directory, 'system'));
      await writeFile(join(directory, 'system', file), '');
      await rm(join(directory, 'volume.json'));
      const error = await rejectionOf(openVolume(directory, systemRandom));
      expect(error?.reason).toBe('VOLUME_FOREIGN');
    }),
);

it.each(['', '{', 'null', '{"format":2,"clusterId":"a","volumeId":"b"}', '{"format":1}'])(
  'says DATA_LOSS for a damaged identity: %j',
  (text) =>
    withTemporaryDirectory(async (directory) => {
      await writeFile(join(directory, 'volume.json'), text);
      const error = await rejectionOf(openVolume(directory, systemRandom));
      expect(error?.reason).toBe('DATA_LOSS');
    }),
);

it('names the directory that cannot be written', () =>
  withTemporaryDirectory(async (directory) => {
    const path = join(directory, 'file');
    await writeFile(path, '');
    const error = await rejectionOf(openVolume(path, systemRandom));
    expect(error?.reason).toBe('DATA_DIRECTORY_FAILED');
    expect(error?.message).toContain(path);
  }));
