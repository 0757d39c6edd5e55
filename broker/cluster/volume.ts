// Who a data directory is: written once at first start, so that journals are never joined with the object store of
// another installation.
//
// Invariants:
// - The identity is durable before anything else is written into the directory.
// - It is made only in a directory without journals: absence beside data means a foreign or damaged volume.
import { mkdir, open, readdir, readFile, rename } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { BrokerError } from '../core/errors.ts';
import type { Random } from '../core/random.ts';

export interface Volume {
  /** Of the installation. */
  readonly clusterId: string;
  /** Of this data directory. */
  readonly volumeId: string;
}

const fileName = 'volume.json';
const format = 1;
/** What a journal's directory has in it. */
const journalFile = /^generations$|\.mdb$/;

/** The identity of the directory, made if it is new. Throws VOLUME_FOREIGN, DATA_LOSS, DATA_DIRECTORY_FAILED. */
export async function openVolume(directory: string, random: Random): Promise<Volume> {
  try {
    const path = join(directory, fileName);
    const bytes = await readFile(path).catch(absent);
    if (bytes !== undefined) return parseVolume(path, bytes);
    const journal = await findJournal(directory);
    if (journal !== undefined) {
      throw new BrokerError(
        'VOLUME_FOREIGN',
        `${path} is missing, but ${journal} holds a journal; restore ${fileName} from a backup, ` +
          'or start with an empty data directory',
        { metadata: { path } },
      );
    }
    const volume = { clusterId: random.hex(16), volumeId: random.hex(16) };
    await writeVolume(path, volume);
    return volume;
  } catch (cause) {
    if (cause instanceof BrokerError || !(cause instanceof Error)) throw cause;
    throw new BrokerError(
      'DATA_DIRECTORY_FAILED',
      `data directory ${directory}: ${cause.message}; check its path and rights`,
      { cause },
    );
  }
}

/** Makes an empty directory a volume of an installation that there is already. Throws DATA_DIRECTORY_FAILED. */
export async function adoptVolume(
  directory: string,
  clusterId: string,
  random: Random,
): Promise<Volume> {
  const volume = { clusterId, volumeId: random.hex(16) };
  try {
    await writeVolume(join(directory, fileName), volume);
    return volume;
  } catch (cause) {
    if (!(cause instanceof Error)) throw cause;
    throw new BrokerError(
      'DATA_DIRECTORY_FAILED',
      `data directory ${directory}: ${cause.message}; check its path and rights`,
      { cause },
    );
  }
}

function parseVolume(path: string, bytes: Buffer): Volume {
  let fields: Readonly<Record<string, unknown>> = {};
  try {
    const parsed: unknown = JSON.parse(bytes.toString());
    if (typeof parsed === 'object' && parsed !== null) fields = { ...parsed };
  } catch {
    // Not JSON: has no fields.
  }
  const { clusterId, volumeId } = fields;
  const idsAreTexts = typeof clusterId === 'string' && typeof volumeId === 'string';
  if (fields['format'] === format && idsAreTexts && clusterId !== '' && volumeId !== '') {
    return { clusterId, volumeId };
  }
  throw new BrokerError(
    'DATA_LOSS',
    `${path} is damaged or of another version; restore it from a backup, or start the version ` +
      'that wrote it',
    { metadata: { path } },
  );
}

/** A directory in the data directory that holds a journal. */
async function findJournal(directory: string): Promise<string | undefined> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(absent);
  for (const entry of entries ?? []) {
    if (!entry.isDirectory()) continue;
    const path = join(directory, entry.name);
    if ((await readdir(path)).some((name) => journalFile.test(name))) return path;
  }
  return undefined;
}

async function writeVolume(path: string, volume: Volume): Promise<void> {
  const directory = resolve(dirname(path));
  await mkdir(directory, { recursive: true });
  const temporary = `${path}.new`;
  const file = await open(temporary, 'w');
  try {
    await file.writeFile(`${JSON.stringify({ format, ...volume })}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  await syncDirectory(directory);
  await syncDirectory(dirname(directory));
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function absent(cause: unknown): undefined {
  if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
  throw cause;
}
