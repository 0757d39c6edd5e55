// Runs of a stream over several generations, some sealed, against a walk through all batches.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { GenerationSet } from '../../broker/journal/generation-set.ts';
import { Generation } from '../../broker/journal/generation.ts';
import type { GenerationFile, Row } from '../../broker/journal/storage.ts';

/** One generation's file in memory. */
function fileInMemory(name: string): GenerationFile {
  const rows = new Map<string, Buffer>();
  return {
    name,
    write: async (added: readonly Row[]) => {
      for (const { key, value } of added) rows.set(key.toString('hex'), Buffer.from(value));
    },
    read: (key) => rows.get(key.toString('hex')),
    prefetch: async () => {},
    numbers: () => [],
    bytes: () => 0,
    close: async () => {},
  };
}

interface Batch {
  readonly stream: number;
  readonly first: number;
  readonly count: number;
  readonly bytes: number;
}

const streams = [1, 2, 3];
const batches = fc.array(
  fc.record({
    stream: fc.constantFrom(...streams),
    count: fc.integer({ min: 1, max: 9 }),
    bytes: fc.integer({ min: 1, max: 100 }),
  }),
  { maxLength: 25 },
);
const generations = fc.array(batches, { minLength: 1, maxLength: 5 });

async function build(drafts: readonly (readonly Batch[])[], sealedCount: number) {
  const all: Generation[] = [];
  for (const [i, own] of drafts.entries()) {
    const header = {
      shard: '0',
      epoch: 1,
      number: i + 1,
      firstPage: i * 100,
      previousChain: 0,
      checkpointPage: 0,
      volumeId: 'v',
    };
    const generation = new Generation(header, fileInMemory(`1-${i + 1}`));
    for (const [k, { stream, first, count, bytes }] of own.entries()) {
      generation.openIndex.add(stream, first, count, 1_000 + i * 100 + k, i * 100 + k, 16, bytes);
    }
    generation.lastPage = i * 100 + 99;
    if (i < sealedCount) {
      generation.state = 'sealing';
      await generation.seal();
    }
    all.push(generation);
  }
  return new GenerationSet(all);
}

/** Gives the drafts their offsets; each batch a millisecond and a page later than the one before it. */
function placedIn(drafts: readonly (readonly Omit<Batch, 'first'>[])[]): Batch[][] {
  const next = new Map<number, number>();
  return drafts.map((own) =>
    own.map(({ stream, count, bytes }) => {
      const first = next.get(stream) ?? 10 * stream;
      next.set(stream, first + count);
      return { stream, first, count, bytes };
    }),
  );
}

it('a sealed run goes on over generations, up to its bytes, and ends where they are not sealed', async () => {
  await fc.assert(
    fc.asyncProperty(
      generations,
      fc.nat(5),
      fc.nat(150),
      fc.nat(700),
      async (drafts, sealed, from, bytesMax) => {
        const placed = placedIn(drafts);
        const sealedCount = Math.min(sealed, placed.length);
        const set = await build(placed, sealedCount);
        for (const stream of streams) {
          const offset = 10 * stream + from;
          const isOf = (batch: Batch) =>
            batch.stream === stream && batch.first + batch.count > offset;
          // The first generation that is not sealed and has some of it ends the run.
          const open = placed.findIndex((own, i) => i >= sealedCount && own.some(isOf));
          const behind = placed
            .slice(0, open < 0 ? placed.length : open)
            .flat()
            .filter(isOf);
          let bytes = 0;
          const run: Batch[] = [];
          for (const batch of behind) {
            bytes += batch.bytes;
            if (run.length > 0 && bytes > bytesMax) break;
            run.push(batch);
          }
          const last = run.at(-1);
          expect(set.sealedRun(stream, offset, bytesMax)).toEqual(
            last && {
              lastOffset: last.first + last.count - 1,
              bytes: run.reduce((sum, batch) => sum + batch.bytes, 0),
              batches: run.length,
            },
          );
        }
      },
    ),
    { numRuns: 500 },
  );
});

it('a stream is found by offset, time and size over generations as a walk through all batches would', async () => {
  await fc.assert(
    fc.asyncProperty(generations, fc.nat(5), fc.nat(700), async (drafts, sealed, probe) => {
      const placed = placedIn(drafts);
      const set = await build(placed, Math.min(sealed, placed.length));
      for (const stream of streams) {
        const own = placed.flatMap((all, i) =>
          all.flatMap((batch, k) =>
            batch.stream === stream ? [{ ...batch, page: i * 100 + k }] : [],
          ),
        );
        const place = (batch: (typeof own)[number] | undefined) =>
          batch && {
            page: batch.page,
            at: 16,
            firstOffset: batch.first,
            timeMs: 1_000 + batch.page,
          };
        const offset = 10 * stream + (probe >> 2);
        const holds = ({ first, count }: Batch) => first <= offset && offset < first + count;
        expect(set.find(stream, offset)).toEqual(place(own.find(holds)));
        expect(set.findTime(stream, 1_000 + probe)).toEqual(
          place(own.find(({ page }) => page >= probe)),
        );
        const from = (index: number) => own.slice(index).reduce((sum, { bytes }) => sum + bytes, 0);
        expect(set.findTailOfBytes(stream, probe)).toEqual(
          place(own.find((_, index) => from(index) <= probe)),
        );
        const behind = own.findIndex(({ first, count }) => first + count > offset);
        expect(set.bytesFrom(stream, offset)).toBe(behind < 0 ? 0 : from(behind));
        expect(set.firstOffset(stream)).toBe(own[0]?.first);
      }
    }),
    { numRuns: 500 },
  );
});
