import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { lockDataDirectory, type DataLockPlace } from '../../broker/cluster/data-lock.ts';
import { itNeeding } from '../support/needs.ts';
import { rejectionOf } from '../support/reason-of.ts';
import { withTemporaryDirectory } from '../support/temporary-directory.ts';

const modulePath = new URL('../../broker/cluster/data-lock.ts', import.meta.url).href;

/** A process of its own that holds the lock until it is killed. */
async function holder(directory: string, place: DataLockPlace): Promise<ChildProcess> {
  const script =
    `import { lockDataDirectory } from ${JSON.stringify(modulePath)};` +
    `await lockDataDirectory(${JSON.stringify(directory)}, ${JSON.stringify(place)});` +
    'process.stdout.write("held"); setInterval(() => {}, 1000);';
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return child;
}

describe.each(['linux', 'darwin'] as const)('the lock of a data directory (%s)', (platform) => {
  const missing =
    platform === 'linux' && process.platform !== 'linux' ? 'sockets as Linux has them' : undefined;
  const inPlace = (
    work: (directory: string, place: DataLockPlace, root: string) => Promise<void>,
  ): Promise<void> =>
    withTemporaryDirectory((root) =>
      work(join(root, 'data'), { platform, temporaryDirectory: root }, root),
    );

  itNeeding(missing, 'is held by one at a time, under whatever path, and free after close', () =>
    inPlace(async (directory, place, root) => {
      const lock = await lockDataDirectory(directory, place);
      await symlink(directory, join(root, 'alias'));
      for (const path of [directory, `${directory}/../data/`, join(root, 'alias')]) {
        const error = await rejectionOf(lockDataDirectory(path, place));
        expect(error?.reason).toBe('DATA_DIRECTORY_IN_USE');
      }
      const other = await lockDataDirectory(join(root, 'other'), place);
      await other.close();
      await lock.close();
      const again = await lockDataDirectory(directory, place);
      await again.close();
    }),
  );

  itNeeding(missing, 'is free again as soon as its holder was killed', () =>
    inPlace(async (directory, place) => {
      const child = await holder(directory, place);
      const error = await rejectionOf(lockDataDirectory(directory, place));
      child.kill('SIGKILL');
      await once(child, 'exit');
      expect(error?.reason).toBe('DATA_DIRECTORY_IN_USE');
      const lock = await lockDataDirectory(directory, place);
      await lock.close();
    }),
  );

  it('names a directory that cannot be made', () =>
    inPlace(async (directory, place) => {
      await writeFile(directory, '');
      const error = await rejectionOf(lockDataDirectory(join(directory, 'x'), place));
      expect(error?.reason).toBe('DATA_DIRECTORY_FAILED');
    }));
});

it('does not keep its process alive', async () => {
  await withTemporaryDirectory(async (directory) => {
    const script =
      `import { lockDataDirectory } from ${JSON.stringify(modulePath)};` +
      `await lockDataDirectory(${JSON.stringify(directory)});`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script]);
    const [code] = await once(child, 'exit');
    expect(code).toBe(0);
  });
});
