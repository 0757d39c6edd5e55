// Cold reads against what was stored: the right batch or the truth about why not, within the cache and the slots.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { storedHeaderBytes } from '../../broker/batch/stored-header.ts';
import { partitionId, tenantId, type PartitionId } from '../../broker/core/ids.ts';
import { silentMetrics } from '../../broker/core/metrics.ts';
import { seededRandom } from '../../broker/core/random.ts';
import { BlockCache } from '../../broker/tier/block-cache.ts';
import { ColdReader } from '../../broker/tier/cold-reader.ts';
import type { ColdPartition } from '../../broker/tier/manifest-reader.ts';
import { Manifest } from '../../broker/tier/manifest.ts';
import type { SegmentRow } from '../../broker/tier/segment-rows.ts';
import { Slots } from '../../broker/tier/slots.ts';
import { TierStore } from '../../broker/tier/tier-store.ts';
import { MemoryObjectStore } from '../support/memory-object-store.ts';
import { errorOf, rejectionOf } from '../support/reason-of.ts';
import {
  buildSegment,
  segmentIdentity,
  storedBatches,
  type Stored,
} from '../support/stored-batches.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const tenant = tenantId(7);
const slotCount = 2;
const blockBytes = 500;
const cacheBytes = 3_000;
const damageKeptMs = 10_000;

/** Partitions whose segments share objects, and who reads them. */
class Fixture {
  readonly objects = new MemoryObjectStore();
  readonly clock = new VirtualClock();
  readonly blocks = new BlockCache(cacheBytes);
  readonly stored = new Map<PartitionId, Stored[]>();
  readonly partitions = new Map<PartitionId, ColdPartition>();
  readonly rows: { readonly id: PartitionId; readonly row: SegmentRow; readonly key: string }[] =
    [];
  readonly cold: ColdReader;
  private readonly store: TierStore;
  private number = 0;

  constructor() {
    const { objects, clock } = this;
    this.store = new TierStore({ store: objects, shard: '0', clock, random: seededRandom(1) });
    this.cold = new ColdReader({
      store: this.store,
      memory: { blocks: this.blocks, slots: new Slots(slotCount) },
      clock,
      latency: silentMetrics.histogram('', '', []),
      sizes: { extentBytes: 3 * blockBytes },
    });
  }

  partition(id: PartitionId): ColdPartition {
    const known = this.partitions.get(id);
    if (known !== undefined) return known;
    const made = { id, manifest: new Manifest() };
    made.manifest.tenant = tenant;
    this.partitions.set(id, made);
    this.stored.set(id, []);
    return made;
  }

  /** One object with batches of these sizes per partition. */
  addObject(parts: ReadonlyMap<PartitionId, readonly number[]>): void {
    const object = { epoch: 1, number: ++this.number };
    const batches = new Map<PartitionId, Stored[]>();
    for (const [id, sizes] of parts) {
      batches.set(id, storedBatches(id, this.partition(id).manifest.endOffset, sizes));
    }
    const identity = { ...segmentIdentity, ...object };
    const { bytes, rows } = buildSegment(batches, () => 0, identity, blockBytes);
    const key = this.store.key('segment', tenant, object);
    this.objects.objects.set(key, { bytes, tag: 'tag' as never });
    for (const [id, row] of rows) {
      this.partition(id).manifest.add(row);
      this.stored.get(id)?.push(...(batches.get(id) ?? []));
      this.rows.push({ id, row, key });
    }
  }

  /** As the log reads: looks, loads when it is not there, looks again. */
  async read(id: PartitionId, offset: number): Promise<void> {
    const partition = this.partition(id);
    for (let looks = 0; this.cold.find(partition, offset) === undefined; looks++) {
      // Others may drop it again from the small cache before this one looks, but not for ever.
      if (looks === 50) throw new Error(`offset ${offset} is never found`);
      await this.cold.load(partition, offset);
    }
    const found = this.cold.find(partition, offset);
    const expected = this.stored.get(id)?.find(({ header: { baseOffset, recordCount } }) => {
      return baseOffset <= offset && offset < baseOffset + recordCount;
    });
    expect(found?.header).toEqual(expected?.header);
    const { bodyAt = 0, bytes = Buffer.alloc(0) } = found ?? {};
    const end = bodyAt + (expected?.header.bodyBytes ?? 0);
    const whole = bytes.subarray(bodyAt - storedHeaderBytes, end);
    expect(whole.equals(expected?.bytes ?? Buffer.from('none'))).toBe(true);
  }
}

const ids = [3, 4, 5].map(partitionId);
const sizes = fc.array(fc.nat(400), { minLength: 1, maxLength: 12 });
const objects = fc.array(
  fc.uniqueArray(fc.tuple(fc.constantFrom(...ids), sizes), {
    minLength: 1,
    selector: ([id]) => id,
  }),
  { minLength: 1, maxLength: 5 },
);
const probes = fc.array(
  fc.record({ id: fc.nat(), from: fc.nat(), count: fc.integer({ min: 1, max: 30 }) }),
  { minLength: 1, maxLength: 4 },
);

describe('cold reads', () => {
  it('give each reader exactly what was stored, in a small cache and few GETs at once', async () => {
    await fc.assert(
      fc.asyncProperty(objects, probes, async (all, readers) => {
        const fixture = new Fixture();
        for (const parts of all) fixture.addObject(new Map(parts));
        let running = 0;
        const getRange = fixture.objects.getRange.bind(fixture.objects);
        const segments = new Set(fixture.rows.map(({ key }) => key));
        const indexes = new Set(fixture.rows.map(({ key, row }) => `${key}:${row.indexAt}`));
        fixture.objects.getRange = async (key, start, ...rest) => {
          const isBlock = segments.has(key) && !indexes.has(`${key}:${start}`);
          if (isBlock) expect(++running).toBeLessThanOrEqual(slotCount);
          const got = await getRange(key, start, ...rest);
          if (isBlock) running--;
          return got;
        };
        await Promise.all(
          readers.map(async ({ id, from, count }) => {
            const known = [...fixture.partitions.keys()];
            const partition = known[id % known.length] as PartitionId;
            const end = fixture.partition(partition).manifest.endOffset;
            const first = from % end;
            for (let offset = first; offset < Math.min(end, first + count); offset++) {
              await fixture.read(partition, offset);
              expect(fixture.blocks.usedBytes).toBeLessThanOrEqual(cacheBytes);
            }
          }),
        );
      }),
      { numRuns: 120 },
    );
  });

  it('find the first record of a time as a search through all of them would', async () => {
    await fc.assert(
      fc.asyncProperty(objects, fc.integer({ min: 990, max: 1_020 }), async (all, timeMs) => {
        const fixture = new Fixture();
        // The clock of these batches begins anew with each object: one object only.
        fixture.addObject(new Map(all[0]));
        for (const [id, stored] of fixture.stored) {
          const first = stored.find(({ header }) => header.appendTimeMs >= timeMs);
          const found = await fixture.cold.offsetAtTime(fixture.partition(id), timeMs);
          expect(found).toBe(first?.header.baseOffset);
        }
      }),
      { numRuns: 100 },
    );
  });

  it('of a damaged batch are refused for exactly its offsets, and heal when the object does', async () => {
    await fc.assert(
      fc.asyncProperty(objects, fc.nat(), fc.nat(), async (all, which, place) => {
        const fixture = new Fixture();
        for (const parts of all) fixture.addObject(new Map(parts));
        const { id, row, key } = fixture.rows[which % fixture.rows.length] ?? {
          id: partitionId(0),
          row: undefined,
          key: '',
        };
        const object = fixture.objects.objects.get(key)?.bytes ?? Buffer.alloc(0);
        const own = (fixture.stored.get(id) ?? []).filter(
          ({ header: { baseOffset } }) =>
            baseOffset >= (row?.firstOffset ?? 0) && baseOffset <= (row?.lastOffset ?? 0),
        );
        const { header, bytes } = own[place % own.length] as Stored;
        fc.pre(header.bodyBytes > 0);
        const at = object.indexOf(bytes) + storedHeaderBytes;
        object[at] = (object[at] ?? 0) ^ 1;
        const last = header.baseOffset + header.recordCount - 1;
        for (const [other, stored] of fixture.stored) {
          for (const { header: one } of stored) {
            if (other === id && one.baseOffset === header.baseOffset) {
              const partition = fixture.partition(id);
              await fixture.cold.load(partition, one.baseOffset);
              const refusal = errorOf(() => fixture.cold.find(partition, one.baseOffset));
              expect(refusal?.reason).toBe('DATA_LOSS');
              expect(refusal?.metadata).toMatchObject({
                first_offset: String(header.baseOffset),
                last_offset: String(last),
              });
            } else await fixture.read(other, one.baseOffset);
          }
        }
        object[at] = (object[at] ?? 0) ^ 1;
        fixture.clock.advance(damageKeptMs);
        await fixture.read(id, header.baseOffset);
      }),
      { numRuns: 120 },
    );
  });

  it('of an object that is gone are data loss of its offsets; what stands in others is read', async () => {
    const fixture = new Fixture();
    const [id = partitionId(3)] = ids;
    for (let i = 0; i < 3; i++) fixture.addObject(new Map([[id, [100, 100]]]));
    const lost = fixture.rows[1];
    const { objects: held } = fixture.objects;
    const object = held.get(lost?.key ?? '');
    held.delete(lost?.key ?? '');
    await fixture.read(id, 0);
    await fixture.read(id, 6);
    const partition = fixture.partition(id);
    const refusal = await rejectionOf(fixture.cold.load(partition, 4));
    expect(refusal?.reason).toBe('DATA_LOSS');
    expect(refusal?.metadata).toMatchObject({ first_offset: '3', last_offset: '5' });
    if (object !== undefined) held.set(lost?.key ?? '', object);
    await fixture.read(id, 4);
  });

  it('of offsets that no segment has, though its neighbours do, are data loss, never a gap', async () => {
    const fixture = new Fixture();
    const [id = partitionId(3)] = ids;
    for (let i = 0; i < 3; i++) fixture.addObject(new Map([[id, [100, 100]]]));
    const holed = { id, manifest: new Manifest() };
    holed.manifest.tenant = tenant;
    for (const { row } of fixture.rows) if (row.firstOffset !== 3) holed.manifest.add(row);
    expect((await rejectionOf(fixture.cold.load(holed, 4)))?.reason).toBe('DATA_LOSS');
  });

  it('of bytes that came wrong once are right', async () => {
    const fixture = new Fixture();
    const [id = partitionId(3)] = ids;
    fixture.addObject(new Map([[id, [100, 100, 300]]]));
    const getRange = fixture.objects.getRange.bind(fixture.objects);
    const seen = new Set<string>();
    fixture.objects.getRange = async (key, start, ...rest) => {
      const got = await getRange(key, start, ...rest);
      if (got.outcome === 'found' && !seen.has(`${key}:${start}`)) got.bytes[0] = 0;
      seen.add(`${key}:${start}`);
      return got;
    };
    for (let offset = 0; offset < 6; offset++) await fixture.read(id, offset);
  });
});
