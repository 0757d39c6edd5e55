// Opens the object store that the settings name.
import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Log } from './core/log.ts';
import { DirectoryObjectStore } from './objects/directory.ts';
import type { ObjectStore } from './objects/object-store.ts';
import type { Settings } from './settings.ts';

export interface OpenedObjects {
  readonly store: ObjectStore;
  /** It is a directory on the data volume: what it takes is missing there. */
  readonly sharesVolume: boolean;
  /** For people, without credentials. */
  readonly description: string;
  close(): Promise<void>;
}

export async function openObjects(
  settings: Settings,
  _log: Log,
  _tellWaiting: (why: string) => void,
): Promise<OpenedObjects> {
  const path = join(settings.dataDir, 'objects');
  const url = settings.objectStore ?? pathToFileURL(resolve(path)).href;
  const directory = new URL(url).pathname;
  const store = await DirectoryObjectStore.open(directory);
  const sharesVolume = (await stat(directory)).dev === (await stat(settings.dataDir)).dev;
  return { store, sharesVolume, description: url, close: () => Promise.resolve() };
}
