// Parts of an uploaded checkpoint: every entry comes back whole and in turn; a part that is not what it was is refused.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  checkpointKey,
  CheckpointWriter,
  readCheckpointPart,
  type CheckpointEntry,
} from '../../broker/shard/checkpoint-object.ts';
import { reasonOf } from '../support/reason-of.ts';

const key = checkpointKey('0', { epoch: 3, number: 1 }, 0);
const MiB = 1024 * 1024;

const entries: fc.Arbitrary<CheckpointEntry[]> = fc.array(
  fc.record({ type: fc.integer({ min: 0, max: 255 }), payload: fc.uint8Array({ maxLength: 300 }) }),
  { maxLength: 20 },
);

function partsOf(all: readonly CheckpointEntry[]): Buffer[] {
  const writer = new CheckpointWriter();
  const full = all.flatMap((entry) => writer.add(entry) ?? []);
  return [...full, writer.finish()];
}

function entriesOf(parts: readonly Buffer[]): { type: number; payload: Buffer }[] {
  return parts.flatMap((part) =>
    readCheckpointPart(key, part).map(({ type, payload }) => ({
      type,
      payload: Buffer.from(payload),
    })),
  );
}

function plain(all: readonly CheckpointEntry[]): { type: number; payload: Buffer }[] {
  return all.map(({ type, payload }) => ({ type, payload: Buffer.from(payload) }));
}

describe('a checkpoint in parts', () => {
  it('gives back its entries', () => {
    fc.assert(
      fc.property(entries, (all) => {
        const parts = partsOf(all);
        expect(parts).toHaveLength(1);
        expect(entriesOf(parts)).toEqual(plain(all));
      }),
    );
  });

  it('has each entry whole in one part, and parts of at most 16 MiB unless one entry is larger', () => {
    const sizes = [7 * MiB, 8 * MiB, 2 * MiB, 20 * MiB, 0, 15 * MiB, 1];
    const all = sizes.map((size, type) => ({ type, payload: Buffer.alloc(size, type) }));
    const parts = partsOf(all);
    const perPart = parts.map((part) => readCheckpointPart(key, part).map(({ type }) => type));
    expect(perPart).toEqual([[0, 1], [2], [3], [4, 5, 6]]);
    const back = entriesOf(parts);
    for (const [i, { payload }] of all.entries()) {
      expect(back[i]?.payload.equals(payload)).toBe(true);
    }
  });

  it('refuses a part with a flipped bit, or one that is cut or longer', () => {
    fc.assert(
      fc.property(entries, fc.nat(), fc.nat(), (all, place, cut) => {
        const part = partsOf(all)[0] ?? Buffer.alloc(0);
        const bit = place % (part.length * 8);
        const flipped = Buffer.from(part);
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(reasonOf(() => readCheckpointPart(key, flipped))).toBe('DATA_LOSS');
        const shorter = part.subarray(0, cut % part.length);
        expect(reasonOf(() => readCheckpointPart(key, shorter))).toBe('DATA_LOSS');
        const longer = Buffer.concat([part, Buffer.alloc(1)]);
        expect(reasonOf(() => readCheckpointPart(key, longer))).toBe('DATA_LOSS');
      }),
      { numRuns: 300 },
    );
  });

  it('keys name shard, checkpoint and part, each its own', () => {
    const id = fc.record({
      shard: fc.constantFrom('0', '1', '0-1', 'system'),
      epoch: fc.integer({ min: 1, max: 30 }),
      number: fc.integer({ min: 1, max: 30 }),
      part: fc.nat(30),
    });
    fc.assert(
      fc.property(id, id, (a, b) => {
        const isSame = JSON.stringify(a) === JSON.stringify(b);
        const keys = [a, b].map((one) => checkpointKey(one.shard, one, one.part));
        expect(keys[0] === keys[1]).toBe(isSame);
      }),
      { numRuns: 1_000 },
    );
  });
});
