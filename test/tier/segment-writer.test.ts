// Writing an object to a store that loses calls, answers and bytes: what is recorded is there, and right.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BrokerError } from '../../broker/core/errors.ts';
import { noFailPoint } from '../../broker/core/fail-point.ts';
import { partitionId, tenantId } from '../../broker/core/ids.ts';
import { seededRandom } from '../../broker/core/random.ts';
import type { ObjectKey } from '../../broker/objects/object-store.ts';
import { checkSegment } from '../../broker/tier/segment-check.ts';
import {
  SegmentWriter,
  type SealedBatches,
  type WrittenSegment,
} from '../../broker/tier/segment-writer.ts';
import { TierStore } from '../../broker/tier/tier-store.ts';
import { MemoryObjectStore, type Fault, type Verb } from '../support/memory-object-store.ts';
import { rejectionOf } from '../support/reason-of.ts';
import { turn } from '../support/simulated-disk.ts';
import { bytesOf, storedBatches } from '../support/stored-batches.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const tenant = tenantId(7);
const epoch = 4;

type Trouble = Fault | 'wrong bytes' | 'bytes not kept' | 'cut short';

/** What the store does to its next calls of a verb, in turn; afterwards all goes well. */
class TroubledStore extends MemoryObjectStore {
  readonly putKeys: string[] = [];
  private readonly troubles = new Map<Verb, Trouble[]>();

  constructor(puts: readonly Trouble[], reads: readonly Trouble[]) {
    super();
    this.troubles.set('putIfAbsent', [...puts]);
    this.troubles.set('getRange', [...reads]);
    this.fault = (verb) => {
      const next = this.troubles.get(verb)?.[0] ?? 'none';
      return next === 'wrong bytes' || next === 'bytes not kept' || next === 'cut short'
        ? 'none'
        : next;
    };
  }

  override async putIfAbsent(key: ObjectKey, bytes: Uint8Array, signal: AbortSignal) {
    this.putKeys.push(key);
    try {
      const answer = await super.putIfAbsent(key, bytes, signal);
      const stored = this.objects.get(key);
      const trouble = this.troubles.get('putIfAbsent')?.[0];
      if (trouble === 'bytes not kept') this.objects.delete(key);
      if (trouble === 'wrong bytes' && stored !== undefined) stored.bytes[50] = 255;
      return answer;
    } finally {
      this.troubles.get('putIfAbsent')?.shift();
    }
  }

  override async getRange(key: ObjectKey, start: number, length: number, signal: AbortSignal) {
    try {
      const got = await super.getRange(key, start, length, signal);
      const trouble = this.troubles.get('getRange')?.[0];
      if (got.outcome === 'missing') return got;
      if (trouble === 'wrong bytes') got.bytes[length >> 1] = (got.bytes[length >> 1] ?? 0) ^ 1;
      if (trouble === 'cut short') return { ...got, bytes: got.bytes.subarray(1) };
      return got;
    } finally {
      this.troubles.get('getRange')?.shift();
    }
  }
}

const stored = storedBatches(3, 0, [100, 2_000, 7]);
const run = { partition: partitionId(3), firstOffset: 0, lastOffset: 5, bytes: bytesOf(stored) };

function writerOn(objects: TroubledStore): { writer: SegmentWriter; clock: VirtualClock } {
  const clock = new VirtualClock();
  const store = new TierStore({ store: objects, shard: '0', clock, random: seededRandom(1) });
  const source: SealedBatches = {
    read: async (_runs, each) => {
      for (const { header, bytes } of stored) each(header, bytes);
    },
  };
  return {
    writer: new SegmentWriter({
      store,
      epoch,
      source,
      clock,
      failPoint: noFailPoint,
    }),
    clock,
  };
}

/** Lets time pass until it settles; deadlines of calls that hang are seconds away. */
async function until<T>(clock: VirtualClock, work: Promise<T>): Promise<T> {
  let isSettled = false;
  const settled = work.finally(() => (isSettled = true));
  settled.catch(() => {});
  while (!isSettled) {
    await turn();
    clock.advance(1_000);
  }
  return settled;
}

const puts = fc.array(
  fc.constantFrom<Trouble>(
    'none',
    'lost before',
    'lost after',
    'hangs',
    'wrong bytes',
    'bytes not kept',
  ),
  { maxLength: 4 },
);
const reads = fc.array(
  fc.constantFrom<Trouble>(
    'none',
    'lost before',
    'lost after',
    'hangs',
    'wrong bytes',
    'cut short',
  ),
  { maxLength: 8 },
);

describe('a segment that is written to a store in trouble', () => {
  it('is recorded only when it is there as a whole, else given up under a number never used again', async () => {
    await fc.assert(
      fc.asyncProperty(puts, reads, async (putTroubles, readTroubles) => {
        const objects = new TroubledStore(putTroubles, readTroubles);
        const { writer, clock } = writerOn(objects);
        let recorded = 0;
        const record = async ({ object }: WrittenSegment): Promise<void> => {
          recorded++;
          expect(writer.pending().inFlight.has(object.number)).toBe(true);
          const key = objects.putKeys.at(-1) ?? '';
          const bytes = objects.objects.get(key)?.bytes ?? Buffer.alloc(0);
          const named = { kind: 'segment', tenant, shard: '0', ...object } as const;
          const { faults } = await checkSegment(
            named,
            bytes.length,
            (at, length) => Promise.resolve(bytes.subarray(at, at + length)),
            false,
          );
          expect(faults).toEqual([]);
        };
        let isWritten = false;
        for (let tries = 1; !isWritten; tries++) {
          const refusal = await rejectionOf(
            until(clock, writer.writeSegment(tenant, [run], record)),
          );
          isWritten = refusal === undefined;
          expect(refusal?.reason ?? 'STORE_FAILED').toBe('STORE_FAILED');
          expect(recorded).toBe(isWritten ? 1 : 0);
          expect(writer.pending()).toEqual({ lastNumber: tries, inFlight: new Set() });
        }
        expect(new Set(objects.putKeys).size).toBe(objects.putKeys.length);
      }),
      { numRuns: 200 },
    );
  });

  it('is no longer in flight when its record fails, and its number is not given again', async () => {
    const objects = new TroubledStore([], []);
    const { writer, clock } = writerOn(objects);
    const failing = writer.writeSegment(tenant, [run], () =>
      Promise.reject(new BrokerError('JOURNAL_FAILED', 'the disk is gone')),
    );
    expect((await rejectionOf(until(clock, failing)))?.reason).toBe('JOURNAL_FAILED');
    expect(writer.pending()).toEqual({ lastNumber: 1, inFlight: new Set() });
    const page = writer.writeManifestPage(
      tenant,
      Buffer.from('rows'),
      async ({ number }) => number,
    );
    expect(await until(clock, page)).toBe(2);
  });

  it('is given up when its batches cannot be read, and the store is not touched', async () => {
    const objects = new TroubledStore([], []);
    const clock = new VirtualClock();
    const store = new TierStore({ store: objects, shard: '0', clock, random: seededRandom(1) });
    const source = { read: () => Promise.reject(new BrokerError('DATA_LOSS', 'a flipped bit')) };
    const writer = new SegmentWriter({
      store,
      epoch,
      source,
      clock,
      failPoint: noFailPoint,
    });
    const refusal = await rejectionOf(writer.writeSegment(tenant, [run], async () => {}));
    expect(refusal?.reason).toBe('DATA_LOSS');
    expect(objects.putKeys).toEqual([]);
    expect(writer.pending().inFlight.size).toBe(0);
  });
});
