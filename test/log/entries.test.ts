// Control entries of a partition: they read back as they were, and damage is damage.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BrokerError } from '../../broker/core/errors.ts';
import { partitionId, publisherId, tenantId } from '../../broker/core/ids.ts';
import {
  decodeCancelled,
  decodeManifestPaged,
  decodeMarksEntry,
  decodePartitionCheckpoint,
  decodePartitionDropped,
  decodePublisherOpened,
  decodeSegmentsAdded,
  decodeTrimmed,
  encodeCancelled,
  encodeManifestPaged,
  encodeMarks,
  encodePartitionCheckpoint,
  encodePartitionDropped,
  encodePublisherOpened,
  encodeSegmentsAdded,
  encodeTrimmed,
  type PartitionCheckpoint,
} from '../../broker/log/entries.ts';
import { encodedMarks } from '../../broker/log/mark-chunk.ts';
import type { ManifestPagePointer } from '../../broker/tier/manifest.ts';
import { SegmentRows, type SegmentRow } from '../../broker/tier/segment-rows.ts';

const u32 = fc.nat(2 ** 32 - 1);
/** Offsets, times, sizes: below 2^53. */
const large = fc.nat(Number.MAX_SAFE_INTEGER);
const name = fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' });
const object = fc.record({ epoch: u32, number: u32 });
const partition = u32.map(partitionId);

const row: fc.Arbitrary<SegmentRow> = fc.record({
  firstOffset: large,
  lastOffset: large,
  firstTimeMs: large,
  lastTimeMs: large,
  object,
  bytes: u32,
  indexAt: u32,
  indexBytes: u32,
  indexCrc: u32,
});

const pointer: fc.Arbitrary<ManifestPagePointer> = fc.record({
  object,
  firstOffset: large,
  lastOffset: large,
  firstTimeMs: large,
  lastTimeMs: large,
  rows: u32,
  bytes: large,
});

const runs = fc
  .uniqueArray(fc.maxSafeNat(), { maxLength: 8 })
  .map((bounds) => bounds.sort((a, b) => a - b))
  .map((bounds) =>
    bounds.flatMap((first, i) => (i % 2 === 0 ? [{ first, last: bounds[i + 1] ?? first }] : [])),
  );
const cancelled = fc.record({ partition, runs });

const checkpoint: fc.Arbitrary<PartitionCheckpoint> = fc.record({
  partition,
  startOffset: large,
  nextOffset: large,
  lastAppendTimeMs: large,
  publishers: fc.array(
    fc.record({
      id: u32.map(publisherId),
      name,
      epoch: large,
      lastSequence: large,
      lastUsedMs: large,
      answers: fc.array(large, { maxLength: 6 }),
      openCount: fc.constant(0),
    }),
    { maxLength: 4 },
  ),
  cancelled: runs,
  manifest: fc.record({
    tenant: u32.map(tenantId),
    endOffset: large,
    pages: fc.array(pointer, { maxLength: 3 }),
    rows: fc.array(row, { maxLength: 4 }).map(rowsOf),
  }),
});

function rowsOf(all: readonly SegmentRow[]): SegmentRows {
  const rows = new SegmentRows();
  for (const one of all) rows.add(one);
  return rows;
}

/** Comparable: rows are columns of bytes. */
function plain({ manifest, ...rest }: PartitionCheckpoint) {
  return { ...rest, manifest: { ...manifest, rows: [...manifest.rows] } };
}

const segmentsAdded = fc.record({
  tenant: u32.map(tenantId),
  segments: fc.array(fc.record({ partition, row }), { maxLength: 5 }),
});
const manifestPaged = fc.record({ partition, page: pointer });
const publisherOpened = fc.record({
  partition,
  id: u32.map(publisherId),
  name,
  epoch: large,
  atMs: large,
});
const marks = fc.record({
  partition,
  marks: fc.array(
    fc.record({ first: fc.nat(), count: u32, deliverAtMs: fc.nat(), priority: fc.nat(9) }),
    { maxLength: 5 },
  ),
});
const trimmed = fc.record({ partition, startOffset: large });

describe('an entry', () => {
  it('of each kind reads back as it was', () => {
    fc.assert(
      fc.property(
        segmentsAdded,
        manifestPaged,
        checkpoint,
        publisherOpened,
        trimmed,
        cancelled,
        marks,
        (segments, paged, state, opened, cut, takenBack, marked) => {
          expect(decodeCancelled(encodeCancelled(takenBack))).toEqual(takenBack);
          marked.marks.sort((a, b) => a.first - b.first);
          const encoded = encodeMarks(marked.partition, encodedMarks(marked.marks));
          expect(decodeMarksEntry(encoded)).toEqual(marked);
          expect(decodeSegmentsAdded(encodeSegmentsAdded(segments))).toEqual(segments);
          expect(decodeManifestPaged(encodeManifestPaged(paged))).toEqual(paged);
          expect(plain(decodePartitionCheckpoint(encodePartitionCheckpoint(state)))).toEqual(
            plain(state),
          );
          expect(decodePublisherOpened(encodePublisherOpened(opened))).toEqual(opened);
          expect(decodeTrimmed(encodeTrimmed(cut))).toEqual(cut);
          const dropped = encodePartitionDropped(cut.partition);
          expect(decodePartitionDropped(dropped)).toBe(cut.partition);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('keeps nothing of the buffer that it was read from', () => {
    fc.assert(
      fc.property(checkpoint, (state) => {
        const bytes = encodePartitionCheckpoint(state);
        const read = decodePartitionCheckpoint(bytes);
        bytes.fill(255);
        expect(plain(read)).toEqual(plain(state));
      }),
    );
  });

  it('with bytes changed, cut or made up is read as something or refused as damage, nothing else', () => {
    const decoders = [
      decodeSegmentsAdded,
      decodeManifestPaged,
      decodePartitionCheckpoint,
      decodePublisherOpened,
      decodeTrimmed,
      decodeCancelled,
      decodeMarksEntry,
    ];
    const valid = fc.oneof(
      segmentsAdded.map(encodeSegmentsAdded),
      manifestPaged.map(encodeManifestPaged),
      checkpoint.map(encodePartitionCheckpoint),
      publisherOpened.map(encodePublisherOpened),
      trimmed.map(encodeTrimmed),
      cancelled.map(encodeCancelled),
      marks.map((entry) => encodeMarks(entry.partition, encodedMarks(entry.marks))),
    );
    const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 });
    fc.assert(
      fc.property(valid, changes, fc.nat(), (bytes, changed, cut) => {
        const wrong = Buffer.from(bytes);
        for (const [at, value] of changed) if (wrong.length > 0) wrong[at % wrong.length] = value;
        const shorter = wrong.subarray(0, cut % (wrong.length + 1));
        for (const decode of decoders) {
          for (const candidate of [wrong, shorter]) {
            try {
              decode(candidate);
            } catch (error) {
              expect(error).toBeInstanceOf(BrokerError);
              expect((error as BrokerError).reason).toBe('DATA_LOSS');
            }
          }
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
