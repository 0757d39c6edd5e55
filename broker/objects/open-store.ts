// Opens the adapter of a location in this thread.
import { DirectoryObjectStore } from './directory.ts';
import type { ObjectStore } from './object-store.ts';
import { credentialsOf, type Environment } from './s3-credentials.ts';
import { S3ObjectStore } from './s3.ts';
import type { StoreLocation } from './store-location.ts';

export interface OpenStore {
  readonly store: ObjectStore;
  readonly close: () => Promise<void>;
}

/** `existing`: for tools that look at a store, also beside a broker that uses it. Throws STORE_FAILED. */
export async function openStore(
  location: StoreLocation,
  environment: Environment,
  { existing = false }: { readonly existing?: boolean } = {},
): Promise<OpenStore> {
  if (location.kind === 'directory') {
    const store = existing
      ? await DirectoryObjectStore.openExisting(location.path)
      : await DirectoryObjectStore.open(location.path);
    return { store, close: () => Promise.resolve() };
  }
  const store = new S3ObjectStore(location, await credentialsOf(environment));
  return {
    store,
    close() {
      store.close();
      return Promise.resolve();
    },
  };
}
