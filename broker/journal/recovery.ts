// Opens the generations of a journal and reads back what came after its newest complete checkpoint.
//
// Invariants:
// - Absence never means deletion: a listed file that is missing, a page that is missing inside a generation, or a
//   broken chain between pages or generations refuses to start (DATA_LOSS).
// - A file that is not listed was being created (above the listed numbers, and then it has no pages) or being
//   removed (below them); only those two are removed.
// - Pages that already are behind the checkpoint and in a sealed generation are not read.
import { BrokerError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import {
  decodeGenerationHeader,
  encodeKey,
  keyKinds,
  nextChain,
  pageHeaderBytes,
  readFrame,
  readPageHeader,
  type Frame,
} from './format.ts';
import { Generation } from './generation.ts';
import { readGenerationList } from './generation-list.ts';
import type { JournalStorage } from './storage.ts';

/** Where a batch belongs; read from the guard of its frame by the owner of the journal. */
export interface IndexedRow {
  readonly stream: number;
  readonly firstOffset: number;
  readonly recordCount: number;
  readonly appendTimeMs: number;
}

/** What the owner of a journal does with its content at start. */
export interface Recovery {
  /** Where a frame belongs; undefined for control entries. `page` is valid during the call only. */
  indexed(page: Buffer, frame: Frame): IndexedRow | undefined;
  /** One entry after the checkpoint, in journal order. `page` is valid during the call only. */
  replay(page: Buffer, frame: Frame): void;
}

export interface RecoverySource {
  readonly storage: JournalStorage;
  readonly shard: string;
  readonly volumeId: string;
  readonly log: Log;
}

/** Pages read between two turns of the event loop, so that health checks are answered during a long start. */
const pagesPerTurn = 64;

export async function recoverGenerations(
  source: RecoverySource,
  recovery: Recovery,
): Promise<Generation[]> {
  const { storage, log } = source;
  const listed = readGenerationList(await storage.readList());
  await removeLeftovers(storage, listed, log);
  const generations: Generation[] = [];
  for (const name of listed) {
    const file = await storage.open(name);
    const header = decodeGenerationHeader(file.read(encodeKey(keyKinds.header, 0)), name);
    if (header.shard !== source.shard || header.volumeId !== source.volumeId) {
      throw new BrokerError(
        'VOLUME_FOREIGN',
        `generation ${name} belongs to shard ${header.shard} of volume ${header.volumeId}, not to shard ` +
          `${source.shard} of volume ${source.volumeId}; mount the right volume`,
      );
    }
    const generation = new Generation(header, file);
    generation.loadSeal();
    generations.push(generation);
  }
  const replayFrom = generations.at(-1)?.header.checkpointPage ?? 0;
  for (const [i, generation] of generations.entries()) {
    const previous = generations[i - 1];
    if (previous !== undefined) checkContinues(previous, generation);
    await readPages(generation, replayFrom, recovery);
  }
  return generations;
}

/** Reads the pages of a generation that are needed: all when it is not sealed, else those to be replayed. */
async function readPages(
  generation: Generation,
  replayFrom: number,
  recovery: Recovery,
): Promise<void> {
  const sealed = generation.state === 'sealed';
  if (sealed && generation.lastPage < replayFrom) return;
  const { file, header } = generation;
  const first = sealed ? Math.max(header.firstPage, replayFrom) : header.firstPage;
  const last = sealed ? generation.lastPage : lastStoredPage(generation);
  let chain = first === header.firstPage ? header.previousChain : undefined;
  for (let number = first; number <= last; number++) {
    if ((number - first) % pagesPerTurn === 0) {
      const ahead = Math.min(pagesPerTurn, last - number + 1);
      await file.prefetch(
        Array.from({ length: ahead }, (_, i) => encodeKey(keyKinds.page, number + i)),
      );
    }
    const page = file.read(encodeKey(keyKinds.page, number));
    chain = readPage(generation, number, page, chain, number >= replayFrom, recovery);
  }
  if (sealed) return;
  generation.lastPage = last;
  generation.chain = chain ?? header.previousChain;
}

/** Indexes and replays one page. Answers the chain after it. */
function readPage(
  generation: Generation,
  number: number,
  page: Buffer | undefined,
  chain: number | undefined,
  replayed: boolean,
  recovery: Recovery,
): number {
  if (page === undefined) throw damagedPage(generation, number, 'is missing');
  const header = readPageHeader(page, number);
  if (header === undefined) throw damagedPage(generation, number, 'has a wrong header');
  const indexing = generation.state !== 'sealed';
  let lastCrc = 0;
  for (let at = pageHeaderBytes; at < page.length;) {
    const frame = readFrame(page, at);
    if (frame === undefined) throw damagedPage(generation, number, `is damaged at byte ${at}`);
    const row = indexing ? recovery.indexed(page, frame) : undefined;
    if (row !== undefined) {
      const { stream, firstOffset, recordCount, appendTimeMs } = row;
      const bytes = frame.end - at;
      generation.openIndex.add(stream, firstOffset, recordCount, appendTimeMs, number, at, bytes);
    }
    if (replayed) recovery.replay(page, frame);
    lastCrc = frame.crc;
    at = frame.end;
  }
  if (indexing) generation.pageBytes += page.length;
  const after = nextChain(chain ?? 0, number, page.length, lastCrc);
  if (chain !== undefined && after !== header.chain) {
    throw damagedPage(generation, number, 'does not continue the page before it');
  }
  return header.chain;
}

function lastStoredPage(generation: Generation): number {
  const numbers = generation.file.numbers(keyKinds.page);
  return numbers.at(-1) ?? generation.header.firstPage - 1;
}

function checkContinues(previous: Generation, generation: Generation): void {
  const { header } = generation;
  if (header.firstPage === previous.lastPage + 1 && header.previousChain === previous.chain) return;
  throw new BrokerError(
    'DATA_LOSS',
    `generation ${header.number} begins after page ${header.firstPage - 1}, but generation ` +
      `${previous.header.number} ends with page ${previous.lastPage}; restore the volume from a backup`,
  );
}

async function removeLeftovers(
  storage: JournalStorage,
  listed: readonly string[],
  log: Log,
): Promise<void> {
  const existing = await storage.existing();
  const leftovers = existing.filter((name) => !listed.includes(name));
  for (const name of leftovers) {
    if (listed.length === 0 || numberOf(name) > numberOf(listed.at(-1) ?? '')) {
      const file = await storage.open(name);
      const pages = file.numbers(keyKinds.page).length;
      await file.close();
      if (pages > 0) {
        throw new BrokerError(
          'DATA_LOSS',
          `generation ${name} has ${pages} pages but is not in the list of live generations; restore the ` +
            'file "generations" of this directory from a backup',
        );
      }
    } else if (numberOf(name) >= numberOf(listed[0] ?? '')) {
      throw new BrokerError(
        'DATA_LOSS',
        `generation ${name} stands between the listed ones; restore the file "generations" from a backup`,
      );
    }
    log.info('removed an unlisted generation', { generation: name });
    await storage.remove(name);
  }
}

function numberOf(name: string): number {
  return Number(name.split('-')[1] ?? Number.NaN);
}

function damagedPage(generation: Generation, page: number, what: string): BrokerError {
  const { name } = generation.file;
  return new BrokerError(
    'DATA_LOSS',
    `page ${page} of generation ${name} ${what}; restore the volume from a backup`,
    { metadata: { generation: name, page: String(page) } },
  );
}
