// The index of a generation, open in memory and sealed in its file, against a plain list of batches.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OpenIndex } from '../../broker/journal/open-index.ts';
import { encodeIndexPages, encodeSeal, SealedIndex } from '../../broker/journal/sealed-index.ts';
import { decodeKeyNumber } from '../../broker/journal/format.ts';
import type { GenerationFile } from '../../broker/journal/storage.ts';

interface Batch {
  readonly stream: number;
  readonly first: number;
  readonly count: number;
  readonly timeMs: number;
  readonly page: number;
  readonly at: number;
  readonly bytes: number;
}

const firstPage = 1_000;

/** Batches as a journal takes them: dense offsets and rising times per stream, pages in order. */
const batchesArbitrary = fc
  .array(
    fc.record({
      stream: fc.integer({ min: 1, max: 4 }),
      count: fc.integer({ min: 1, max: 50 }),
      laterMs: fc.integer({ min: 0, max: 20 }),
      bytes: fc.integer({ min: 1, max: 500 }),
    }),
    { maxLength: 3_000, size: 'max' },
  )
  .map((drafts) => {
    const next = new Map<number, number>();
    let timeMs = 1_000;
    return drafts.map(({ stream, count, laterMs, bytes }, i): Batch => {
      const first = next.get(stream) ?? stream * 100;
      next.set(stream, first + count);
      timeMs += laterMs;
      const page = firstPage + Math.floor(i / 7);
      return { stream, first, count, timeMs, page, at: 16 + (i % 7) * 600, bytes };
    });
  });

function build(batches: readonly Batch[]): { open: OpenIndex; sealed: SealedIndex } {
  const open = new OpenIndex(firstPage);
  for (const { stream, first, count, timeMs, page, at, bytes } of batches) {
    open.add(stream, first, count, timeMs, page, at, bytes);
  }
  const pages = [...encodeIndexPages(open)].map(({ value }) => value);
  const file = { name: 'g', read: (key: Buffer) => pages[decodeKeyNumber(key)] };
  const seal = encodeSeal(open, { lastPage: firstPage + 99, chain: 7 });
  return { open, sealed: new SealedIndex(file as unknown as GenerationFile, firstPage, seal) };
}

describe('the index of a generation', () => {
  it('answers the same open and sealed, and as a search through all batches would', () => {
    fc.assert(
      fc.property(batchesArbitrary, fc.integer({ min: 0, max: 4_000 }), (batches, probe) => {
        const { open, sealed } = build(batches);
        for (let stream = 1; stream <= 5; stream++) {
          const own = batches.filter((batch) => batch.stream === stream);
          const offset = (own[0]?.first ?? 0) + probe;
          const held = own.find(({ first, count }) => offset >= first && offset < first + count);
          const place = (batch: Batch | undefined) =>
            batch === undefined
              ? undefined
              : {
                  page: batch.page,
                  at: batch.at,
                  firstOffset: batch.first,
                  timeMs: batch.timeMs,
                };
          const later = own.find(({ timeMs }) => timeMs >= 1_000 + probe);
          const total = own.reduce((sum, { bytes }) => sum + bytes, 0);
          let before = 0;
          const tail = own.find(({ bytes }) => {
            const fits = total - before <= probe;
            before += bytes;
            return fits;
          });
          for (const index of [open, sealed]) {
            expect(index.find(stream, offset)).toEqual(place(held));
            expect(index.findTime(stream, 1_000 + probe)).toEqual(place(later));
            expect(index.findTailOfBytes(stream, probe)).toEqual(place(tail));
          }
          expect(sealed.summary(stream)).toEqual(open.summary(stream));
          expect(sealed.bytesFrom(stream, offset)).toBe(open.bytesFrom(stream, offset));
          expect(sealed.pagesFrom(stream, offset, 3)).toEqual(open.pagesFrom(stream, offset, 3));
        }
      }),
      { numRuns: 40 },
    );
  });

  it('sealed, cuts a run of batches and names its pages as a walk through all batches would', () => {
    const probes = fc.tuple(fc.nat(4_000), fc.nat(4_000), fc.nat(3_000));
    fc.assert(
      fc.property(batchesArbitrary, probes, (batches, [from, length, bytesMax]) => {
        const { sealed } = build(batches);
        for (let stream = 1; stream <= 5; stream++) {
          const own = batches.filter((batch) => batch.stream === stream);
          const offset = (own[0]?.first ?? 0) + from;
          const behind = own.filter(({ first, count }) => first + count > offset);
          let bytes = 0;
          const run = behind.filter((batch, i) => {
            bytes += batch.bytes;
            return i === 0 || bytes <= bytesMax;
          });
          const last = run.at(-1);
          expect(sealed.runFrom(stream, offset, bytesMax)).toEqual(
            last && {
              lastOffset: last.first + last.count - 1,
              bytes: run.reduce((sum, batch) => sum + batch.bytes, 0),
              batches: run.length,
            },
          );
          const end = offset + length;
          const between = own.filter(({ first, count }) => first <= end && first + count > offset);
          expect([...sealed.pagesBetween(stream, offset, end)]).toEqual([
            ...new Set(between.map(({ page }) => page)),
          ]);
        }
      }),
      { numRuns: 40 },
    );
  });

  it('refuses a seal with any bit flipped', () => {
    const { open } = build([
      { stream: 1, first: 0, count: 3, timeMs: 1, page: firstPage, at: 16, bytes: 10 },
    ]);
    const seal = encodeSeal(open, { lastPage: firstPage, chain: 7 });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: seal.length * 8 - 1 }), (bit) => {
        const damaged = Buffer.from(seal);
        damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        const file = { name: 'g' } as unknown as GenerationFile;
        expect(() => new SealedIndex(file, firstPage, damaged)).toThrow(/damaged/);
      }),
    );
  });
});
