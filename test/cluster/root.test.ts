import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { claimRoot, type Root, type RootClaim } from '../../broker/cluster/root.ts';
import { seededRandom } from '../../broker/core/random.ts';
import { objectKey } from '../../broker/objects/object-store.ts';
import { MemoryObjectStore, type Fault } from '../support/memory-object-store.ts';
import { rejectionOf } from '../support/reason-of.ts';

const key = objectKey('shards', '0', 'root.json');
const random = seededRandom(1);
const volume = { clusterId: 'cluster', volumeId: 'volume' };

function claim(store: MemoryObjectStore, changes: Partial<RootClaim> = {}): Promise<Root> {
  const { signal } = new AbortController();
  return claimRoot(store, '0', { owner: 'broker-1', volume, random, signal, ...changes });
}

function storeWith(root: unknown): MemoryObjectStore {
  const store = new MemoryObjectStore();
  const text = typeof root === 'string' ? root : JSON.stringify(root);
  void store.putIfAbsent(key, Buffer.from(text), new AbortController().signal);
  return store;
}

describe('claiming a root', () => {
  it('gives epoch 1, then one more at every start', async () => {
    const store = new MemoryObjectStore();
    const first = await claim(store);
    expect(first).toMatchObject({ shard: '0', epoch: 1, owner: 'broker-1', ...volume });
    expect((await claim(store, { owner: 'broker-2' })).epoch).toBe(2);
    expect((await claim(store)).epoch).toBe(3);
    expect((await claimRootOf(store, '1')).epoch).toBe(1);
  });

  it('gives every one of many claims at once an epoch of its own', async () => {
    const store = new MemoryObjectStore();
    const settled = await Promise.allSettled(Array.from({ length: 5 }, () => claim(store)));
    const epochs = settled.flatMap((s) => (s.status === 'fulfilled' ? [s.value.epoch] : []));
    expect(new Set(epochs).size).toBe(epochs.length);
    expect(epochs.length).toBeGreaterThan(0);
  });

  it.each(['putIfAbsent', 'compareAndSwap'] as const)(
    'knows its own root again when the answer of %s was lost',
    async (verb) => {
      const store = new MemoryObjectStore();
      const before = verb === 'compareAndSwap' ? (await claim(store)).epoch : 0;
      store.fault = once(verb, 'lost after');
      const root = await claim(store);
      expect(root.epoch).toBe(before + 1);
      store.fault = once(verb, 'lost before');
      expect((await claim(store)).epoch).toBe(root.epoch + 1);
    },
  );

  it('reads back after a call that hangs beyond its deadline', async () => {
    const store = new MemoryObjectStore();
    store.fault = once('putIfAbsent', 'hangs');
    expect((await claim(store, { callMs: 20 })).epoch).toBe(1);
  });

  it('never gives an epoch twice, whatever answers are lost', async () => {
    const fault = fc.constantFrom<Fault>('none', 'none', 'lost before', 'lost after');
    await fc.assert(
      fc.asyncProperty(fc.infiniteStream(fault), fc.nat(3), async (faults, others) => {
        const store = new MemoryObjectStore();
        store.fault = () => faults.next().value ?? 'none';
        const epochs: number[] = [];
        for (let round = 0; round < 4; round++) {
          const settled = await Promise.allSettled(
            Array.from({ length: others + 1 }, () => claim(store)),
          );
          for (const one of settled) if (one.status === 'fulfilled') epochs.push(one.value.epoch);
        }
        expect(new Set(epochs).size).toBe(epochs.length);
      }),
    );
  });

  it('says STORE_FAILED with an unknown effect when no answer ever comes', async () => {
    const store = new MemoryObjectStore();
    store.fault = (verb) => (verb === 'get' ? 'none' : 'lost before');
    const error = await rejectionOf(claim(store));
    expect(error?.reason).toBe('STORE_FAILED');
    expect(error?.effect).toBe('unknown');
  });

  it('stops when the caller gives up', async () => {
    const error = await rejectionOf(
      claim(new MemoryObjectStore(), { signal: AbortSignal.abort() }),
    );
    expect(error?.reason).toBe('CANCELLED');
  });
});

describe('a root that is not ours', () => {
  it.each([
    [{ clusterId: 'other', volumeId: 'volume' }],
    [{ clusterId: 'cluster', volumeId: 'other' }],
  ])('is refused and left alone: %j', async (other) => {
    const store = new MemoryObjectStore();
    await claim(store, { volume: other });
    const before = store.objects.get(key);
    expect((await rejectionOf(claim(store)))?.reason).toBe('VOLUME_FOREIGN');
    expect(store.objects.get(key)).toBe(before);
  });

  it('is refused when it is older than the journal, or gone', async () => {
    const store = new MemoryObjectStore();
    expect((await rejectionOf(claim(store, { epochSeen: 1 })))?.reason).toBe('DATA_LOSS');
    await claim(store);
    expect((await rejectionOf(claim(store, { epochSeen: 2 })))?.reason).toBe('DATA_LOSS');
    expect((await claim(store, { epochSeen: 1 })).epoch).toBe(2);
  });

  const whole = { format: 1, shard: '0', epoch: 1, owner: 'o', ...volume, nonce: 'n' };
  it.each([
    '',
    '{',
    '[]',
    'null',
    {},
    { ...whole, format: 2 },
    { ...whole, shard: '1' },
    { ...whole, epoch: 0 },
    { ...whole, epoch: 1.5 },
    { ...whole, epoch: 2 ** 32 },
    { ...whole, epoch: '1' },
    { ...whole, owner: '' },
    { ...whole, nonce: 7 },
    { ...whole, volumeId: undefined },
  ])('is DATA_LOSS when damaged: %j', async (root) => {
    expect((await rejectionOf(claim(storeWith(root))))?.reason).toBe('DATA_LOSS');
  });
});

function claimRootOf(store: MemoryObjectStore, shard: string): Promise<Root> {
  const { signal } = new AbortController();
  return claimRoot(store, shard, { owner: 'broker-1', volume, random, signal });
}

function once(verb: string, fault: Fault): MemoryObjectStore['fault'] {
  let left = 1;
  return (called) => (called === verb && left-- > 0 ? fault : 'none');
}
