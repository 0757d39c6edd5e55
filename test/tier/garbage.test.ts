// Garbage: exactly what nobody refers to and nobody else may own goes, and not before its time.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { noFailPoint } from '../../broker/core/fail-point.ts';
import { partitionId, tenantId, type TenantId } from '../../broker/core/ids.ts';
import { seededRandom } from '../../broker/core/random.ts';
import { Garbage } from '../../broker/tier/garbage.ts';
import { encodeManifestPage } from '../../broker/tier/manifest-page.ts';
import { ManifestReader, type ColdPartition } from '../../broker/tier/manifest-reader.ts';
import { Manifest, pagePointer } from '../../broker/tier/manifest.ts';
import { tierObjectKey, type ObjectId } from '../../broker/tier/object-names.ts';
import { SegmentRows, type SegmentRow } from '../../broker/tier/segment-rows.ts';
import { SegmentWriter } from '../../broker/tier/segment-writer.ts';
import { TierStore } from '../../broker/tier/tier-store.ts';
import { MemoryObjectStore } from '../support/memory-object-store.ts';
import { bytesOf, storedBatches } from '../support/stored-batches.ts';
import { turn } from '../support/simulated-disk.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const epoch = 5;
const graceMs = 1_000;
const stored = storedBatches(3, 0, [10]);
const run = { partition: partitionId(3), firstOffset: 0, lastOffset: 0, bytes: bytesOf(stored) };

/** What became of an object. */
const fates = [
  'referred to by a row',
  'referred to by a row in a page',
  'in flight',
  'given up',
  'of an earlier epoch',
  'of a later epoch',
  'of another shard',
  'not yet numbered',
  'not ours',
] as const;
type Fate = (typeof fates)[number];
const goes: readonly Fate[] = ['given up', 'of an earlier epoch'];

class Fixture {
  readonly objects = new MemoryObjectStore();
  readonly clock = new VirtualClock();
  readonly store = new TierStore({
    store: this.objects,
    shard: '0',
    clock: this.clock,
    random: seededRandom(1),
  });
  readonly writer = new SegmentWriter({
    store: this.store,
    epoch,
    source: {
      read: async (_runs, each) => {
        for (const { header, bytes } of stored) each(header, bytes);
      },
    },
    clock: this.clock,
    failPoint: noFailPoint,
  });
  readonly garbage = new Garbage({
    store: this.store,
    writer: this.writer,
    manifests: new ManifestReader(this.store),
    clock: this.clock,
    failPoint: noFailPoint,
  });
  /** One partition per tenant. */
  readonly partitions = new Map<TenantId, ColdPartition>();
  /** Lets go of what is in flight. */
  readonly land: (() => void)[] = [];
  private foreignCount = 0;

  /** Makes the object; answers its key. */
  async make(fate: Fate, tenant: TenantId): Promise<string> {
    const other = { kind: 'segment', tenant, shard: '0', epoch, number: 1_000 } as const;
    const number = 1_000 + ++this.foreignCount;
    switch (fate) {
      case 'referred to by a row':
        return this.write(tenant, async (row) => this.manifest(tenant).add(row));
      case 'referred to by a row in a page':
        return this.write(tenant, async (row) => {
          this.manifest(tenant).add(row);
          await this.page(tenant);
        });
      case 'in flight':
        return this.inFlight(tenant);
      case 'given up':
        return this.write(tenant, async () => {});
      case 'of an earlier epoch':
        return this.put(tierObjectKey({ ...other, epoch: epoch - 1, number }));
      case 'of a later epoch':
        return this.put(tierObjectKey({ ...other, epoch: epoch + 1, number }));
      case 'of another shard':
        return this.put(tierObjectKey({ ...other, shard: '1', epoch: 1, number }));
      case 'not yet numbered':
        return this.put(tierObjectKey({ ...other, number }));
      case 'not ours':
        return this.put(`tenants/${tenant}/notes/${number}`);
    }
  }

  async sweep(grace = 0) {
    return this.garbage.sweep(this.garbage.mark(this.partitions.values()), grace);
  }

  private put(key: string): string {
    this.objects.objects.set(key, { bytes: Buffer.from('x'), tag: 'tag' as never });
    return key;
  }

  private manifest(tenant: TenantId): Manifest {
    const known = this.partitions.get(tenant);
    if (known !== undefined) return known.manifest;
    const manifest = new Manifest();
    manifest.tenant = tenant;
    this.partitions.set(tenant, { id: partitionId(3), manifest });
    return manifest;
  }

  private async write(
    tenant: TenantId,
    record: (row: SegmentRow) => Promise<unknown>,
  ): Promise<string> {
    let key = '';
    await this.writer.writeSegment(tenant, [run], async ({ object, rows }) => {
      key = this.store.key('segment', tenant, object);
      const row = rows.get(partitionId(3)) as SegmentRow;
      const first = this.manifest(tenant).endOffset;
      await record({ ...row, firstOffset: first, lastOffset: first });
    });
    return key;
  }

  private inFlight(tenant: TenantId): Promise<string> {
    return new Promise((resolve) => {
      void this.writer.writeSegment(tenant, [run], ({ object }) => {
        resolve(this.store.key('segment', tenant, object));
        return new Promise<void>((landed) => this.land.push(landed));
      });
    });
  }

  private async page(tenant: TenantId): Promise<void> {
    const manifest = this.manifest(tenant);
    const rows = new SegmentRows(Buffer.from(manifest.rows.encoded()));
    const bytes = encodeManifestPage({ tenant, partition: partitionId(3), rows });
    await this.writer.writeManifestPage(tenant, bytes, async (object: ObjectId) => {
      manifest.page(pagePointer(object, rows));
    });
  }
}

const population = fc.array(
  fc.record({
    fate: fc.constantFrom(...fates),
    tenant: fc.integer({ min: 1, max: 3 }).map(tenantId),
  }),
  { maxLength: 30 },
);

describe('a sweep', () => {
  it('deletes what nobody refers to, and nothing that is or may be of use', async () => {
    await fc.assert(
      fc.asyncProperty(population, async (all) => {
        const fixture = new Fixture();
        const made: { readonly key: string; readonly fate: Fate }[] = [];
        for (const { fate, tenant } of all)
          made.push({ key: await fixture.make(fate, tenant), fate });
        const before = new Set(fixture.objects.objects.keys());
        const gone = new Set(made.filter(({ fate }) => goes.includes(fate)).map(({ key }) => key));
        const { deleted } = await fixture.sweep();
        expect(deleted).toBe(gone.size);
        const kept = [...before].filter((key) => !gone.has(key));
        expect([...fixture.objects.objects.keys()].sort()).toEqual(kept.sort());
      }),
    );
  });

  it('deletes nothing that was under way when it began, whatever becomes of it meanwhile', async () => {
    const fixture = new Fixture();
    const key = await fixture.make('in flight', tenantId(1));
    const mark = fixture.garbage.mark(fixture.partitions.values());
    for (const land of fixture.land) land();
    await fixture.make('given up', tenantId(1));
    expect((await fixture.garbage.sweep(mark, 0)).deleted).toBe(0);
    // It was recorded by nobody: the next sweep knows.
    expect((await fixture.sweep()).deleted).toBe(2);
    expect(fixture.objects.objects.has(key)).toBe(false);
  });

  it('spares what it has not seen for the whole grace period', async () => {
    const fixture = new Fixture();
    await fixture.make('given up', tenantId(1));
    expect(await fixture.sweep(graceMs)).toMatchObject({ deleted: 0, waiting: 1 });
    fixture.clock.advance(graceMs - 1);
    await fixture.make('given up', tenantId(1));
    expect(await fixture.sweep(graceMs)).toMatchObject({ deleted: 0, waiting: 2 });
    fixture.clock.advance(1);
    expect(await fixture.sweep(graceMs)).toMatchObject({ deleted: 1, waiting: 1 });
    fixture.clock.advance(graceMs);
    expect(await fixture.sweep(graceMs)).toMatchObject({ deleted: 1, waiting: 0 });
  });

  it.each(['is damaged', 'cannot be read now'])(
    'deletes nothing of a tenant one of whose manifest pages %s',
    async (trouble) => {
      const fixture = new Fixture();
      const { objects } = fixture.objects;
      await fixture.make('referred to by a row in a page', tenantId(1));
      await fixture.make('given up', tenantId(1));
      const before = objects.size;
      for (const [key, page] of objects) {
        if (!key.endsWith('.man') || trouble !== 'is damaged') continue;
        page.bytes[30] = (page.bytes[30] ?? 0) ^ 1;
      }
      if (trouble !== 'is damaged') {
        fixture.objects.fault = (verb) => (verb === 'get' ? 'lost before' : 'none');
      }
      // Whether it is told by a figure or thrown is of no matter here.
      let isDone = false;
      void fixture
        .sweep()
        .catch(() => {})
        .then(() => (isDone = true));
      while (!isDone) {
        await turn();
        fixture.clock.advance(1_000);
      }
      expect(objects.size).toBe(before);
    },
  );
});
