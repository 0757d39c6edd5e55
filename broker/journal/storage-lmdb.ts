// Generation files as LMDB environments, one file each, and the list of live ones beside them.
//
// Invariants:
// - Rows are only added: the file grows, its free list stays tiny, and lmdb's page reuse is never exercised.
// - `overlappingSync: false`: a put resolves after fdatasync, and nothing is visible before.
// - A file shorter than its last page is refused before any page of it is touched: reading past the end of the
//   mapping would kill the process (SIGBUS).
// - No read transaction outlives a turn of the event loop: lmdb-js resets its one read transaction per turn, and
//   no iterator is left open.
import { open as openFile, mkdir, readdir, readFile, rename, stat, unlink } from 'node:fs/promises';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { open, type RootDatabase } from 'lmdb';
import { BrokerError } from '../core/errors.ts';
import { decodeKeyNumber, encodeKey, type KeyKind } from './format.ts';
import type { GenerationFile, JournalStorage, Row } from './storage.ts';

const listName = 'generations';
const suffix = '.mdb';
/** Smallest file that LMDB can open: its two meta pages. */
const metaBytes = 8192;

/** Storage in one directory. `mapBytes` bounds a generation file; it costs address space only. */
export function lmdbStorage(directory: string, mapBytes: number): JournalStorage {
  return {
    async create(name) {
      await mkdir(directory, { recursive: true });
      const file = openLmdb(directory, name, mapBytes);
      await syncDirectory(directory);
      return file;
    },
    async open(name) {
      const path = join(directory, name + suffix);
      const size = await stat(path).then(
        (s) => s.size,
        () => undefined,
      );
      if (size === undefined) throw damaged(path, 'is missing');
      if (size < metaBytes) throw damaged(path, `has only ${size} bytes`);
      const file = openLmdb(directory, name, Math.max(mapBytes, size * 2));
      if (file.promisedBytes() > size) {
        await file.close();
        throw damaged(path, `has ${size} bytes of ${file.promisedBytes()}`);
      }
      return file;
    },
    async remove(name) {
      await unlink(join(directory, name + suffix));
      await unlink(join(directory, `${name}${suffix}-lock`)).catch(() => {});
      await syncDirectory(directory);
    },
    async existing() {
      const names = await unlessMissing(readdir(directory));
      return (names ?? [])
        .filter((name) => name.endsWith(suffix))
        .map((name) => name.slice(0, -suffix.length));
    },
    async readList() {
      return unlessMissing(readFile(join(directory, listName)));
    },
    async writeList(bytes) {
      await mkdir(directory, { recursive: true });
      const path = join(directory, listName);
      const handle = await openFile(`${path}.new`, 'w', 0o600);
      try {
        await handle.writeFile(bytes);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(`${path}.new`, path);
      await syncDirectory(directory);
    },
  };
}

class LmdbGeneration implements GenerationFile {
  readonly name: string;
  private readonly path: string;
  private readonly database: RootDatabase<Buffer, Buffer>;
  private promised = 0;

  constructor(name: string, path: string, database: RootDatabase<Buffer, Buffer>) {
    this.name = name;
    this.path = path;
    this.database = database;
  }

  async write(rows: readonly Row[]): Promise<void> {
    // Puts of one turn of the event loop share one transaction; awaiting all of them is awaiting its fsync.
    const puts = rows.map((row) => this.database.put(row.key, row.value));
    try {
      await Promise.all(puts);
    } catch (thrown) {
      throw await commitFailure(thrown);
    }
  }

  read(key: Buffer, allocate: (bytes: number) => Buffer = allocateUnpooled): Buffer | undefined {
    // A view of lmdb's own buffer, good until the next read of any store: copied at once.
    const value = this.database.getBinaryFast(key);
    if (value === undefined) return undefined;
    const bytes = value.length;
    const copy = allocate(bytes);
    // lmdb shadows the `length` of its buffer, which is longer than the value.
    copy.set(value.subarray(0, bytes));
    return copy.length === bytes ? copy : copy.subarray(0, bytes);
  }

  async prefetch(keys: readonly Buffer[]): Promise<void> {
    await this.database.prefetch([...keys]);
  }

  numbers(kind: KeyKind): number[] {
    const range = { start: encodeKey(kind, 0), end: encodeKey((kind + 1) as KeyKind, 0) };
    return [...this.database.getKeys(range)].map(decodeKeyNumber);
  }

  bytes(): number {
    return statSync(this.path).size;
  }

  /** Bytes that the file must have for every page it refers to; read once, at open. */
  promisedBytes(): number {
    if (this.promised === 0) {
      const { lastPageNumber, pageSize } = this.database.getStats() as {
        lastPageNumber: number;
        pageSize: number;
      };
      this.promised = (lastPageNumber + 1) * pageSize;
    }
    return this.promised;
  }

  async close(): Promise<void> {
    await this.database.close();
  }
}

function openLmdb(directory: string, name: string, mapBytes: number): LmdbGeneration {
  const path = join(directory, name + suffix);
  const database = open<Buffer, Buffer>({
    path,
    noSubdir: true,
    encoding: 'binary',
    keyEncoding: 'binary',
    overlappingSync: false,
    noMemInit: true,
    mapSize: mapBytes,
    maxDbs: 1,
    maxReaders: 16,
  });
  return new LmdbGeneration(name, path, database);
}

/** lmdb's "Commit failed (see commitError for details)" with the details: what the operating system said. */
async function commitFailure(thrown: unknown): Promise<Error> {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  if (!('commitError' in error)) return error;
  const details = await Promise.resolve(error.commitError).catch((reason: unknown) => reason);
  return new Error(details instanceof Error ? details.message : error.message, { cause: error });
}

function damaged(file: string, what: string): BrokerError {
  return new BrokerError(
    'DATA_LOSS',
    `generation file ${file} ${what}; restore the volume from a backup, the broker does not start without it`,
    { metadata: { file } },
  );
}

/** Undefined when there is no such file or directory; any other failure is thrown: absence must be certain. */
async function unlessMissing<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw cause;
  }
}

/** Outside Node's pool: a page that is kept must not hold the pool's slab. */
function allocateUnpooled(bytes: number): Buffer {
  return Buffer.allocUnsafeSlow(bytes);
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await openFile(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
