// A partition's segments as they are found over rows in memory and pages in the store, against a plain list.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defined } from '../../broker/core/assert.ts';
import { partitionId, tenantId } from '../../broker/core/ids.ts';
import { seededRandom } from '../../broker/core/random.ts';
import { encodeManifestPage } from '../../broker/tier/manifest-page.ts';
import { ManifestReader, type ColdPartition } from '../../broker/tier/manifest-reader.ts';
import { Manifest, pagePointer } from '../../broker/tier/manifest.ts';
import { SegmentRows, type SegmentRow } from '../../broker/tier/segment-rows.ts';
import { TierStore } from '../../broker/tier/tier-store.ts';
import { MemoryObjectStore } from '../support/memory-object-store.ts';
import { rejectionOf } from '../support/reason-of.ts';
import { buildSegment, segmentIdentity, storedBatches } from '../support/stored-batches.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const tenant = tenantId(7);
const id = partitionId(3);
const never = new AbortController().signal;

class Fixture {
  readonly objects = new MemoryObjectStore();
  readonly clock = new VirtualClock();
  readonly store = new TierStore({
    store: this.objects,
    shard: '0',
    clock: this.clock,
    random: seededRandom(1),
  });
  readonly reader = new ManifestReader(this.store);
  readonly partition: ColdPartition = { id, manifest: new Manifest() };
  private number = 0;

  constructor() {
    this.partition.manifest.tenant = tenant;
  }

  nextObject() {
    return { epoch: 1, number: ++this.number };
  }

  /** Moves so many of the oldest rows into a page. */
  async page(count: number): Promise<string> {
    const { manifest } = this.partition;
    const rows = new SegmentRows(Buffer.from(manifest.rows.encodedFirst(count)));
    const object = this.nextObject();
    const key = this.store.key('manifest', tenant, object);
    const bytes = encodeManifestPage({ tenant, partition: id, rows });
    await this.objects.putIfAbsent(key, bytes, never);
    manifest.page(pagePointer(object, rows));
    return key;
  }
}

function flipped(bytes: Buffer, at: number): Buffer {
  const wrong = Buffer.from(bytes);
  wrong[at] = (wrong[at] ?? 0) ^ 1;
  return wrong;
}

function rowFrom(fixture: Fixture, firstOffset: number, records: number, ms: number): SegmentRow {
  return {
    firstOffset,
    lastOffset: firstOffset + records - 1,
    firstTimeMs: ms,
    lastTimeMs: ms + (records % 3),
    object: fixture.nextObject(),
    bytes: 10 * records,
    indexAt: 1,
    indexBytes: 56,
    indexCrc: 5,
  };
}

const steps = fc.array(
  fc.record({
    records: fc.integer({ min: 1, max: 20 }),
    laterMs: fc.nat(4),
    paged: fc.nat(5),
    trimmed: fc.double({ min: 0, max: 1.1, noNaN: true }),
    isTrimmed: fc.boolean(),
  }),
  { minLength: 1, maxLength: 25 },
);

describe('a manifest over memory and store', () => {
  it('finds by offset, by time and by size what a plain list finds', async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.nat(400), async (all, probe) => {
        const fixture = new Fixture();
        const { reader, partition } = fixture;
        const { manifest } = partition;
        let model: SegmentRow[] = [];
        let start = 0;
        let timeMs = 1_000;
        for (const { records, laterMs, paged, trimmed, isTrimmed } of all) {
          // What expired before it was offloaded leaves a hole between two segments.
          const first = Math.max(manifest.endOffset, start);
          const row = rowFrom(fixture, first, records, timeMs);
          timeMs = row.lastTimeMs + laterMs;
          manifest.add(row);
          model.push(row);
          if (paged > 0 && manifest.rows.count >= paged) await fixture.page(paged);
          if (!isTrimmed) continue;
          start = Math.max(start, Math.floor(manifest.endOffset * trimmed));
          manifest.trim(start);
          model = model.filter(({ lastOffset }) => lastOffset >= start);
        }
        const offset = start + probe;
        const holding = await reader.rowOf(partition, offset);
        const isInHole = holding !== undefined && holding.firstOffset > offset;
        expect(isInHole ? undefined : holding).toEqual(
          model.find((row) => row.firstOffset <= offset && offset <= row.lastOffset),
        );
        // A page that is only partly expired still has what is: times and sizes count over all it has.
        const kept = [...manifest.rows];
        for (const pointer of [...manifest.pages].reverse()) {
          kept.unshift(...(await reader.page(partition, pointer)));
        }
        const time = 1_000 + (probe >> 1);
        expect(await reader.rowOfTime(partition, time)).toEqual(
          kept.find((row) => row.lastTimeMs >= time),
        );
        // The oldest segment of which something is among the newest so many bytes.
        const behind = (row: SegmentRow) =>
          kept.slice(kept.indexOf(row) + 1).reduce((sum, { bytes }) => sum + bytes, 0);
        const bytes = probe * 3;
        expect(await reader.tailOfBytes(partition, bytes)).toBe(
          kept.find((row) => behind(row) < bytes)?.firstOffset,
        );
      }),
      { numRuns: 400 },
    );
  });
});

describe('a manifest page in the store', () => {
  async function paged(): Promise<{ fixture: Fixture; key: string }> {
    const fixture = new Fixture();
    for (let i = 0; i < 3; i++) {
      fixture.partition.manifest.add(rowFrom(fixture, i * 10, 10, 1_000));
    }
    return { fixture, key: await fixture.page(2) };
  }

  it('that reads wrong once is read again', async () => {
    const { fixture } = await paged();
    const get = fixture.objects.get.bind(fixture.objects);
    let reads = 0;
    fixture.objects.get = async (...args) => {
      const got = await get(...args);
      const isWrong = got.outcome === 'found' && reads++ === 0;
      return isWrong ? { ...got, bytes: flipped(got.bytes, 40) } : got;
    };
    expect((await fixture.reader.rowOf(fixture.partition, 15))?.firstOffset).toBe(10);
    expect(reads).toBe(2);
  });

  it('that is damaged or gone is data loss of exactly its offsets, told again until it is mended', async () => {
    for (const spoilt of ['damaged', 'gone'] as const) {
      const { fixture, key } = await paged();
      const { objects } = fixture.objects;
      const { bytes: whole, tag } = defined(objects.get(key), 'the page');
      if (spoilt === 'gone') objects.delete(key);
      else objects.set(key, { bytes: flipped(whole, 60), tag });
      for (let again = 0; again < 2; again++) {
        const error = await rejectionOf(fixture.reader.rowOf(fixture.partition, 15));
        expect(error?.reason).toBe('DATA_LOSS');
        expect(error?.metadata).toMatchObject({
          first_offset: '0',
          last_offset: '19',
          object: key,
        });
      }
      // What is not in that page is found.
      expect((await fixture.reader.rowOf(fixture.partition, 25))?.firstOffset).toBe(20);
      fixture.objects.objects.set(key, { bytes: whole, tag });
      expect((await fixture.reader.rowOf(fixture.partition, 15))?.firstOffset).toBe(10);
    }
  });

  it('of another partition is damage, never its own', async () => {
    const { fixture, key } = await paged();
    const { rows } = fixture.partition.manifest;
    const other = encodeManifestPage({ tenant, partition: partitionId(4), rows });
    const { objects } = fixture.objects;
    const { tag } = defined(objects.get(key), 'the page');
    objects.set(key, { bytes: other, tag });
    const error = await rejectionOf(fixture.reader.rowOf(fixture.partition, 15));
    expect(error?.reason).toBe('DATA_LOSS');
  });
});

describe("a segment's part of an object's index", () => {
  it('is checked against its row, and against the partition that it is for', async () => {
    const fixture = new Fixture();
    const { reader, partition, objects, store } = fixture;
    const built = buildSegment(
      new Map([
        [3, storedBatches(3, 0, [10, 20])],
        [4, storedBatches(4, 0, [10])],
      ]),
    );
    const key = store.key('segment', tenant, segmentIdentity);
    await objects.putIfAbsent(key, built.bytes, never);
    const own = built.rows.get(id) as SegmentRow;
    const foreign = built.rows.get(partitionId(4)) as SegmentRow;
    expect((await reader.section(partition, own)).length).toBe(own.indexBytes);
    expect((await rejectionOf(reader.section(partition, foreign)))?.reason).toBe('DATA_LOSS');
    const other = { ...own, indexAt: foreign.indexAt };
    expect((await rejectionOf(reader.section(partition, other)))?.reason).toBe('DATA_LOSS');
    const beyond = { ...own, indexAt: built.bytes.length - 10 };
    expect((await rejectionOf(reader.section(partition, beyond)))?.reason).toBe('DATA_LOSS');
  });
});
