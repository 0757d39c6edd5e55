import { describe, expect, it } from 'vitest';
import { BrokerError } from '../../broker/core/errors.ts';
import { seededRandom } from '../../broker/core/random.ts';
import type { ObjectStore } from '../../broker/objects/object-store.ts';
import { probeStore } from '../../broker/objects/probe.ts';
import { MemoryObjectStore } from '../support/memory-object-store.ts';

type Spoiled = Partial<ObjectStore> & ThisType<MemoryObjectStore>;

function spoiled(methods: Spoiled): MemoryObjectStore {
  return Object.assign(new MemoryObjectStore(), methods);
}

describe('the probe at start', () => {
  it('passes a store that keeps its conditions, and leaves nothing behind', async () => {
    const store = new MemoryObjectStore();
    await probeStore(store, seededRandom(1));
    expect(store.objects.size).toBe(0);
  });

  const faults: readonly (readonly [string, () => ObjectStore])[] = [
    [
      'overwrites on create',
      () =>
        spoiled({
          putIfAbsent(key, bytes, signal) {
            this.objects.delete(key);
            return MemoryObjectStore.prototype.putIfAbsent.call(this, key, bytes, signal);
          },
        }),
    ],
    [
      'swaps whatever the tag',
      () =>
        spoiled({
          async compareAndSwap(key, _tag, bytes, signal) {
            const got = await this.get(key, signal);
            if (got.outcome === 'missing') return got;
            return MemoryObjectStore.prototype.compareAndSwap.call(
              this,
              key,
              got.tag,
              bytes,
              signal,
            );
          },
        }),
    ],
    [
      'creates on swap',
      () =>
        spoiled({
          async compareAndSwap(key, tag, bytes, signal) {
            const put = await this.putIfAbsent(key, bytes, signal);
            if (put.outcome === 'written') return { outcome: 'swapped', tag: put.tag };
            return MemoryObjectStore.prototype.compareAndSwap.call(this, key, tag, bytes, signal);
          },
        }),
    ],
    ['does not list what was written', () => spoiled({ async *list() {} })],
    [
      'looks before it writes, too early',
      () =>
        spoiled({
          async putIfAbsent(key, bytes, signal) {
            const isThere = this.objects.has(key);
            await new Promise((resolve) => setTimeout(resolve, 5));
            if (isThere) return { outcome: 'exists' };
            this.objects.delete(key);
            return MemoryObjectStore.prototype.putIfAbsent.call(this, key, bytes, signal);
          },
        }),
    ],
  ];

  it.each(faults)('refuses a store that %s', async (_fault, store) => {
    await expect(probeStore(store(), seededRandom(1))).rejects.toMatchObject({
      reason: 'STORE_UNSUITABLE',
    });
  });

  it.each(['NotImplemented', 'MethodNotAllowed'])(
    'refuses a store that answers a condition with %s: waiting would not help',
    async (code) => {
      const store = spoiled({
        putIfAbsent: () =>
          Promise.reject(new BrokerError('STORE_FAILED', 'no', { metadata: { code } })),
      });
      await expect(probeStore(store, seededRandom(1))).rejects.toMatchObject({
        reason: 'STORE_UNSUITABLE',
      });
    },
  );

  it('leaves a store that is away to be tried again, and leaves nothing behind', async () => {
    const store = spoiled({
      compareAndSwap: () => Promise.reject(new BrokerError('STORE_FAILED', 'away')),
    });
    await expect(probeStore(store, seededRandom(1))).rejects.toMatchObject({
      reason: 'STORE_FAILED',
    });
    expect(store.objects.size).toBe(0);
  });
});
