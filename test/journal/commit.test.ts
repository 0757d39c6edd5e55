// When appends become durable: always, and without waiting for the next one.
import { describe, expect, it } from 'vitest';
import { entryTypes } from '../../broker/core/entry-types.ts';
import { seededRandom } from '../../broker/core/random.ts';
import type { JournalEntry } from '../../broker/journal/page.ts';
import { Journal } from '../../broker/journal/journal.ts';
import { SimulatedDisk, turn } from '../support/simulated-disk.ts';

const generationBytes = 64 * 1024;

function openJournal(): Promise<Journal> {
  return Journal.open(
    {
      storage: new SimulatedDisk(seededRandom(1)).storage(),
      shard: '0',
      epoch: 1,
      volumeId: 'v',
      log: { info: () => {}, warn: () => {}, error: () => {} },
      generationBytes,
      tailCacheBytes: 1_000,
      onFatal: (error) => {
        throw error;
      },
      onCommitted: () => {},
      onRoll: () => {},
    },
    { indexed: () => undefined, replay: () => {} },
  );
}

function batch(offset: number, durable: () => void): JournalEntry {
  const bytes = Buffer.alloc(100, offset);
  return {
    type: entryTypes.batch,
    guardBytes: 0,
    bodyBytes: bytes.length,
    stream: 1,
    firstOffset: offset,
    recordCount: 1,
    appendTimeMs: 1,
    writeTo: (page, at) => void bytes.copy(page, at),
    durable,
  };
}

describe('an append', () => {
  it('in any microtask behind a commit is committed, also when nothing follows it', async () => {
    const journal = await openJournal();
    for (let hops = 0; hops < 12; hops++) {
      await journal.barrier();
      for (let hop = 0; hop < hops; hop++) await Promise.resolve();
      await journal.barrier();
    }
  }, 5_000);
});

describe('a seal on demand', () => {
  it('is done although appends never cease', async () => {
    const journal = await openJournal();
    let offset = 0;
    let isGoing = true;
    const goOn = (): void => {
      if (isGoing) journal.append(batch(offset++, goOn));
    };
    for (let i = 0; i < 10; i++) goOn();
    await journal.barrier();
    const { newest } = journal.index;
    await journal.sealNewest();
    expect(newest.state).toBe('sealed');
    isGoing = false;
    await journal.close();
  }, 5_000);

  it('also waits for a generation that was full and is being sealed', async () => {
    const journal = await openJournal();
    for (let offset = 0; offset < generationBytes / 100; offset++) {
      journal.append(batch(offset, () => {}));
    }
    while (journal.index.count === 1) await turn();
    await journal.sealNewest();
    expect(journal.index.views().map(({ sealed }) => sealed)).toEqual([true, false]);
    await journal.close();
  }, 5_000);
});
