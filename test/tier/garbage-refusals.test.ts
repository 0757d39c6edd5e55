// What cannot be deleted, or cannot be judged, keeps nothing else.
import { beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../broker/core/clock.ts';
import { BrokerError } from '../../broker/core/errors.ts';
import { noFailPoint } from '../../broker/core/fail-point.ts';
import { partitionId, tenantId } from '../../broker/core/ids.ts';
import { seededRandom } from '../../broker/core/random.ts';
import type { DeleteOutcome, ObjectKey } from '../../broker/objects/object-store.ts';
import { Garbage, type SweepFigures } from '../../broker/tier/garbage.ts';
import { ManifestReader, type ColdPartition } from '../../broker/tier/manifest-reader.ts';
import { Manifest } from '../../broker/tier/manifest.ts';
import { tierObjectKey } from '../../broker/tier/object-names.ts';
import { SegmentRows } from '../../broker/tier/segment-rows.ts';
import { SegmentWriter } from '../../broker/tier/segment-writer.ts';
import { TierStore } from '../../broker/tier/tier-store.ts';
import { MemoryObjectStore } from '../support/memory-object-store.ts';

const shard = '0';
const epoch = 2;
const never = new AbortController().signal;

/** Refuses to delete what it is told to. */
class LockingStore extends MemoryObjectStore {
  refuse: (key: string) => 'none' | 'unknown' | undefined = () => undefined;

  override delete(key: ObjectKey, signal: AbortSignal): Promise<DeleteOutcome> {
    const effect = this.refuse(key);
    if (effect === undefined) return super.delete(key, signal);
    return Promise.reject(new BrokerError('STORE_FAILED', `${key} is locked`, { effect }));
  }
}

let objects: LockingStore;
let garbage: Garbage;

beforeEach(() => {
  objects = new LockingStore();
  const clock = systemClock;
  const store = new TierStore({ store: objects, shard, clock, random: seededRandom(1) });
  const source = { read: () => Promise.resolve() };
  const writer = new SegmentWriter({ store, epoch, source, clock, failPoint: noFailPoint });
  const manifests = new ManifestReader(store);
  garbage = new Garbage({ store, writer, manifests, clock, failPoint: noFailPoint });
});

describe('a sweep', () => {
  it('deletes what is left when one object is locked, and says so', async () => {
    const keys = await leftBehind(1, 30);
    objects.refuse = (key) => (key === keys[3] ? 'none' : undefined);
    const figures = await sweep();
    expect(figures).toMatchObject({ deleted: 29, waiting: 1 });
    expect(figures.failure?.reason).toBe('STORE_FAILED');
    objects.refuse = () => undefined;
    expect(await sweep()).toMatchObject({ deleted: 1, waiting: 0, failure: undefined });
  });

  it.each([
    ['refuses everything', 'none', 16],
    ['does not answer', 'unknown', 1],
  ] as const)('asks a store that %s no more than a few times', async (_, effect, times) => {
    await leftBehind(1, 30);
    let asked = 0;
    objects.refuse = () => {
      asked++;
      return effect;
    };
    expect(await sweep()).toMatchObject({ deleted: 0, waiting: 30 });
    expect(asked).toBe(times);
  });

  it('leaves a tenant alone while a page of its manifest is missing, and no other tenant', async () => {
    const [kept = ''] = await leftBehind(1, 1);
    await leftBehind(2, 5);
    const figures = await sweep(0, [partitionWithLostPage(1)]);
    expect(figures.deleted).toBe(5);
    expect(figures.failure?.reason).toBe('DATA_LOSS');
    expect([...objects.objects.keys()]).toEqual([kept]);
  });

  it('counts the grace period from when an object was first left behind, whatever fails since', async () => {
    await leftBehind(1, 2);
    expect(await sweep(50)).toMatchObject({ deleted: 0, waiting: 2 });
    objects.refuse = () => 'unknown';
    await expect
      .poll(async () => (await sweep(50)).failure?.reason, { interval: 5 })
      .toBe('STORE_FAILED');
    objects.refuse = () => undefined;
    expect(await sweep(50)).toMatchObject({ deleted: 2, waiting: 0 });
  });
});

function sweep(graceMs = 0, partitions: readonly ColdPartition[] = []): Promise<SweepFigures> {
  return garbage.sweep(garbage.mark(partitions), graceMs);
}

/** Segments of an earlier epoch that nobody refers to. */
async function leftBehind(tenant: number, count: number): Promise<ObjectKey[]> {
  const keys = Array.from({ length: count }, (_, i) =>
    tierObjectKey({
      kind: 'segment',
      tenant: tenantId(tenant),
      shard,
      epoch: epoch - 1,
      number: tenant * 100 + i,
    }),
  );
  for (const key of keys) await objects.putIfAbsent(key, Buffer.from('left'), never);
  return keys;
}

function partitionWithLostPage(tenant: number): ColdPartition {
  const manifest = new Manifest();
  manifest.tenant = tenantId(tenant);
  const page = {
    object: { epoch: 1, number: 1 },
    firstOffset: 0,
    lastOffset: 9,
    firstTimeMs: 1,
    lastTimeMs: 2,
    rows: 3,
    bytes: 100,
  };
  manifest.restore([page], new SegmentRows(), 10);
  return { id: partitionId(1), manifest };
}
