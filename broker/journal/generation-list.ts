// The small file that says which generations are live, oldest first. Written before a generation takes pages, and
// without it before its file is unlinked.
import { BrokerError } from '../core/errors.ts';
import { readSumJson, sumJson } from './format.ts';
import type { JournalStorage } from './storage.ts';

export function encodeGenerationList(names: readonly string[]): Buffer {
  return sumJson({ generations: names });
}

/** Names oldest first; none when the list was never written. */
export function readGenerationList(bytes: Buffer | undefined): readonly string[] {
  if (bytes === undefined) return [];
  const names = readSumJson(bytes)?.['generations'];
  if (!Array.isArray(names) || !names.every((name) => typeof name === 'string')) {
    throw new BrokerError(
      'DATA_LOSS',
      'the list of live generations is damaged; restore the file "generations" from a backup',
    );
  }
  return names;
}

/** Epoch in which the newest live generation was begun; 0 when there is none. */
export async function newestEpoch(storage: JournalStorage): Promise<number> {
  const newest = readGenerationList(await storage.readList()).at(-1);
  return newest === undefined ? 0 : Number(newest.split('-')[0]);
}
