// One log over journal and store against a plain list of batches: what is read, found by time and size, and counted.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { storedHeaderBytes } from '../../broker/batch/stored-header.ts';
import { partitionId } from '../../broker/core/ids.ts';
import { frameHeaderBytes } from '../../broker/journal/format.ts';
import { decodePartitionCheckpoint } from '../../broker/log/entries.ts';
import type { PartitionLog } from '../../broker/log/partition-log.ts';
import { TieredShard } from '../support/tiered-shard.ts';

interface Batch {
  readonly first: number;
  readonly last: number;
  readonly timeMs: number;
  readonly body: Buffer;
  /** Header and body. */
  readonly bytes: number;
}

type Step =
  | {
      readonly do: 'publish';
      readonly count: number;
      readonly records: number;
      readonly bytes: number;
    }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'offload' }
  | { readonly do: 'cool' }
  | { readonly do: 'trim'; readonly share: number }
  | { readonly do: 'restart' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('publish' as const),
      count: fc.integer({ min: 1, max: 6 }),
      records: fc.integer({ min: 1, max: 4 }),
      bytes: fc.nat(350),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat(30) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('offload' as const) }) },
  fc.record({ do: fc.constant('cool' as const) }),
  fc.record({
    do: fc.constant('trim' as const),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
  }),
  fc.record({ do: fc.constant('restart' as const) }),
);

class Model {
  batches: Batch[] = [];
  start = 0;

  get end(): number {
    return (this.batches.at(-1)?.last ?? -1) + 1;
  }

  get kept(): Batch[] {
    return this.batches.filter(({ last }) => last >= this.start);
  }

  /** First offset of the batches that together have at most so many bytes, counted with so many more for each. */
  tail(bytes: number, extra: number): number {
    let left = bytes;
    let first = this.end;
    for (const batch of [...this.kept].reverse()) {
      left -= batch.bytes + extra;
      if (left < 0) break;
      ({ first } = batch);
    }
    return Math.max(first, this.start);
  }
}

async function take(tiered: TieredShard, model: Model, action: Step): Promise<void> {
  const log = tiered.log();
  switch (action.do) {
    case 'publish':
      for (let i = 0; i < action.count; i++) {
        const body = Buffer.alloc(action.bytes, model.batches.length);
        const first = log.endOffset;
        await tiered.publish(body, action.records);
        const last = first + action.records - 1;
        const timeMs = log.lastAppendTimeMs;
        const bytes = storedHeaderBytes + body.length;
        model.batches.push({ first, last, timeMs, body, bytes });
      }
      break;
    case 'wait':
      tiered.clock.advance(action.ms);
      break;
    case 'offload':
      await tiered.until(tiered.shard.tier.offloader.offloadNow([log.id]));
      break;
    case 'cool':
      await tiered.cool();
      break;
    case 'trim': {
      const { kept } = model;
      const from = kept[Math.floor(action.share * (kept.length + 0.99))]?.first ?? model.end;
      await tiered.until(log.trim(from));
      model.start = Math.max(model.start, from);
      break;
    }
    case 'restart':
      await tiered.restart();
      break;
  }
}

/** The first offset of the segment that holds the given one, as far as the log has it; the offset when none does. */
async function segmentStart(
  tiered: TieredShard,
  log: PartitionLog,
  offset: number,
): Promise<number> {
  const { cold } = tiered.shard.tier;
  const partition = { id: log.id, manifest: log.manifest };
  const row = await tiered.until(cold.manifests.rowOf(partition, offset));
  return Math.max(log.startOffset, row?.firstOffset ?? offset);
}

async function expectFinds(tiered: TieredShard, model: Model, probe: number): Promise<void> {
  const log = tiered.log();
  const { kept, start, end } = model;
  expect([log.startOffset, log.endOffset]).toEqual([start, end]);
  const timeMs = (model.batches[0]?.timeMs ?? 0) - 5 + (probe % 200);
  const ofTime = Math.max(start, kept.find((batch) => batch.timeMs >= timeMs)?.first ?? end);
  expect(await tiered.until(log.offsetAtTime(timeMs))).toBe(ofTime);
  const keptFromTime = await tiered.until(log.keptFromTime(timeMs));
  expect([ofTime, await segmentStart(tiered, log, ofTime)]).toContain(keptFromTime);

  const bytes = probe * 3;
  const keptFromBytes = await tiered.until(log.keptFromBytes(bytes));
  // The journal counts its frames too, so that a little less may fit where it is asked.
  expect(keptFromBytes).toBeLessThanOrEqual(model.tail(bytes, frameHeaderBytes));
  const least = model.tail(bytes, 0);
  expect(keptFromBytes).toBeGreaterThanOrEqual(
    await segmentStart(tiered, log, Math.max(start, least - 1)),
  );

  const offset = start + (probe % (end - start + 1));
  const holding = kept.find(({ first, last }) => first <= offset && offset <= last);
  const keptFromOffset = await tiered.until(log.keptFromOffset(offset));
  const batchStart = Math.max(start, holding?.first ?? end);
  expect([batchStart, await segmentStart(tiered, log, batchStart)]).toContain(keptFromOffset);
}

function expectCounts(log: PartitionLog, model: Model): void {
  const { kept, start, end } = model;
  const stored = kept.reduce((sum, batch) => sum + batch.bytes, 0);
  const inStore = kept.filter(({ last }) => last < log.manifest.endOffset);
  const frames = (kept.length - inStore.length) * frameHeaderBytes;
  // A segment that is partly expired, or a page of them, counts as a whole.
  const partly = log.manifest.bytes - inStore.reduce((sum, batch) => sum + batch.bytes, 0);
  expect(partly).toBeGreaterThanOrEqual(0);
  if (log.manifest.firstOffset >= start) expect(partly).toBe(0);
  expect(log.storedBytes()).toBe(start < end ? stored + frames + partly : 0);
  expect(log.hotStartOffset).toBeGreaterThanOrEqual(start);
  expect(log.hotStartOffset).toBeLessThanOrEqual(Math.max(start, log.offloadedEnd));
  const hot = kept.filter(({ first }) => first >= log.hotStartOffset);
  const hotBytes = hot.reduce((sum, batch) => sum + batch.bytes + frameHeaderBytes, 0);
  expect(log.hotBytes()).toBe(start < end ? hotBytes : 0);
}

it('a log over journal and store reads, finds and counts what a plain list does', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 40, size: 'max' }),
      fc.nat(2_000),
      async (steps, probe) => {
        const tiered = await TieredShard.open();
        const model = new Model();
        for (const action of steps) await take(tiered, model, action);
        const log = tiered.log();
        expectCounts(log, model);
        for (let i = 0; i < 4; i++) await expectFinds(tiered, model, probe * (i + 1));
        for (const { first, last, body, timeMs } of model.kept) {
          for (const offset of [first, last]) {
            const batch = await tiered.read(offset);
            expect([batch.baseOffset, batch.lastOffset]).toEqual([first, last]);
            expect(batch.header.appendTimeMs).toBe(timeMs);
            expect(batch.body.equals(body)).toBe(true);
          }
        }
      },
    ),
    { numRuns: 200 },
  );
}, 30_000);

it('a checkpoint made while a trim is under way refers to no segment that the trim lets go', async () => {
  const tiered = await TieredShard.open();
  for (let i = 0; i < 12; i++) await tiered.publish(Buffer.alloc(300, i));
  await tiered.until(tiered.shard.tier.offloader.offloadNow([partitionId(1)]));
  const log = tiered.log();
  const trimming = log.trim(log.endOffset);
  const entry = decodePartitionCheckpoint(log.checkpoint());
  await tiered.until(trimming);
  const restored = tiered.log(partitionId(2));
  restored.restore({ ...entry, partition: partitionId(2) });
  expect(log.manifest.isEmpty).toBe(true);
  expect(restored.manifest.isEmpty).toBe(true);
  expect(restored.manifest.endOffset).toBe(log.manifest.endOffset);
});
