// Opens the object store that the settings name: in its thread, probed, and with a directory locked.
import { mkdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { lockDataDirectory, type DataLock } from './cluster/data-lock.ts';
import { systemClock } from './core/clock.ts';
import type { Log } from './core/log.ts';
import { systemRandom } from './core/random.ts';
import type { ObjectStore } from './objects/object-store.ts';
import { probeStore } from './objects/probe.ts';
import { describeLocation, parseStoreUrl, type StoreLocation } from './objects/store-location.ts';
import type { StoreThreadData } from './objects/store-messages.ts';
import { openStoreInThread } from './objects/store-thread.ts';
import type { Settings } from './settings.ts';
import { untilReachable } from './until-reachable.ts';

export interface OpenedObjects {
  readonly store: ObjectStore;
  /** It is a directory on the data volume: what it takes is missing there. */
  readonly sharesVolume: boolean;
  /** For people, without credentials. */
  readonly description: string;
  readonly close: () => Promise<void>;
}

/** Waits for a store that does not answer. Throws SETTING_INVALID, STORE_UNSUITABLE, DATA_DIRECTORY_IN_USE. */
export async function openObjects(
  settings: Settings,
  log: Log,
  tellWaiting: (why: string) => void,
): Promise<OpenedObjects> {
  const location = locationOf(settings);
  const lock = await lockStore(location, settings.dataDir);
  const { store, close } = await untilReachable({ clock: systemClock, log }, tellWaiting, () =>
    openProbed({ location, variables: settings.storeVariables }, log),
  );
  return {
    store,
    sharesVolume: await sharesVolume(location, settings.dataDir),
    description: describeLocation(location),
    async close() {
      await close();
      await lock?.close();
    },
  };
}

function locationOf({ objectStore, dataDir }: Settings): StoreLocation {
  if (objectStore !== undefined) return parseStoreUrl(objectStore);
  return { kind: 'directory', path: resolve(join(dataDir, 'objects')) };
}

/** Swaps in a directory are atomic within one process only. */
async function lockStore(location: StoreLocation, dataDir: string): Promise<DataLock | undefined> {
  if (location.kind !== 'directory') return undefined;
  // Inside the data directory its lock is enough.
  if (location.path.startsWith(`${resolve(dataDir)}/`)) return undefined;
  return lockDataDirectory(location.path);
}

async function openProbed(data: StoreThreadData, log: Log) {
  const opened = await openStoreInThread(data, log);
  try {
    await probeStore(opened.store, systemRandom);
    return opened;
  } catch (error) {
    await opened.close();
    throw error;
  }
}

async function sharesVolume(location: StoreLocation, dataDir: string): Promise<boolean> {
  if (location.kind !== 'directory') return false;
  await mkdir(location.path, { recursive: true });
  return (await stat(location.path)).dev === (await stat(dataDir)).dev;
}
