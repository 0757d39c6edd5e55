// One broker per data directory. The lock is a listening unix socket named after the directory's device and inode: the
// kernel lets one process have it and takes it back when that process dies, however it dies.
//
// Invariants:
// - Two processes that see the same directory, under whatever path, compete for one name.
// - On Linux the name is abstract: there is no file that a killed process could leave behind. Elsewhere it is a file
//   in the temporary directory, and one that nobody answers on is taken over.
//
// Bounds: abstract names are per network namespace; two containers that mount one volume are kept apart by
// ReadWriteOncePod and by the root's epoch, not by this lock. Two processes that take over one dead socket file within
// the same millisecond may both succeed.
import { mkdir, stat, unlink } from 'node:fs/promises';
import { createConnection, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BrokerError } from '../core/errors.ts';

export interface DataLock extends AsyncDisposable {
  close(): Promise<void>;
}

export interface DataLockPlace {
  readonly platform: NodeJS.Platform;
  /** For socket files. */
  readonly temporaryDirectory: string;
}

/**
 * Creates the directory if it is not there, and takes its lock; the process may end without giving it back.
 * Throws DATA_DIRECTORY_IN_USE, DATA_DIRECTORY_FAILED.
 */
export async function lockDataDirectory(
  directory: string,
  place: DataLockPlace = { platform: process.platform, temporaryDirectory: tmpdir() },
): Promise<DataLock> {
  try {
    await mkdir(directory, { recursive: true });
    const { dev, ino } = await stat(directory, { bigint: true });
    const name = `millrace-${dev}-${ino}`;
    const server =
      place.platform === 'linux'
        ? await listen(`\0${name}`)
        : await listenOnFile(join(place.temporaryDirectory, `${name}.sock`));
    if (server === undefined) throw inUse(directory);
    const close = (): Promise<void> => new Promise((resolve) => server.close(() => resolve()));
    return { close, [Symbol.asyncDispose]: close };
  } catch (cause) {
    if (cause instanceof BrokerError || !(cause instanceof Error)) throw cause;
    throw new BrokerError(
      'DATA_DIRECTORY_FAILED',
      `data directory ${directory}: ${cause.message}; check its path and rights`,
      { cause },
    );
  }
}

/** Undefined: another process has the file and answers. */
async function listenOnFile(path: string): Promise<Server | undefined> {
  const server = await listen(path);
  if (server !== undefined || (await answers(path))) return server;
  await unlink(path);
  return listen(path);
}

/** Undefined: the name is taken. */
function listen(path: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (cause: NodeJS.ErrnoException) => {
      if (cause.code === 'EADDRINUSE') resolve(undefined);
      else reject(cause);
    });
    // Exclusive: a worker of node:cluster would otherwise share the lock of its parent.
    server.listen({ path, exclusive: true }, () => {
      server.unref();
      resolve(server);
    });
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (cause: NodeJS.ErrnoException) => {
      // Anything but a clear "nobody listens" must not cost a running broker its lock.
      resolve(cause.code !== 'ECONNREFUSED');
    });
  });
}

function inUse(directory: string): BrokerError {
  return new BrokerError(
    'DATA_DIRECTORY_IN_USE',
    `another process uses the directory ${directory}; stop it, or start this one with another --data-dir ` +
      'or --object-store',
    { metadata: { directory } },
  );
}
