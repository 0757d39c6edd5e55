import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BrokerError } from '../../broker/core/errors.ts';
import { seededRandom } from '../../broker/core/random.ts';
import { AckSet } from '../../broker/subscription/ack-set.ts';

const chunk = 65_536;

/** Everything an AckSet can be asked, answered from a plain Set. */
class PlainAcks {
  floor: number;
  readonly acked = new Set<number>();

  constructor(floor: number) {
    this.floor = floor;
  }

  add(first: number, last: number): number {
    let added = 0;
    for (let offset = first; offset <= last; offset++) {
      if (this.has(offset)) continue;
      this.acked.add(offset);
      added++;
    }
    while (this.acked.delete(this.floor)) this.floor++;
    return added;
  }

  has(offset: number): boolean {
    return offset < this.floor || this.acked.has(offset);
  }

  resetTo(offset: number): void {
    this.floor = offset;
    this.acked.clear();
  }
}

function expectEqual(acks: AckSet, plain: PlainAcks, from: number, to: number): void {
  acks.check();
  expect(acks.floor).toBe(plain.floor);
  expect(acks.ackedAbove).toBe(plain.acked.size);
  expect(acks.end).toBe(Math.max(plain.floor, ...[...plain.acked].map((offset) => offset + 1)));
  let nextUnacked = to;
  while (plain.has(nextUnacked)) nextUnacked++;
  let nextAcked = to;
  let counted = 0;
  for (let offset = to - 1; offset >= from; offset--) {
    const has = plain.has(offset);
    if (has) nextAcked = offset;
    else nextUnacked = offset;
    if (has) counted++;
    if (acks.has(offset) !== has) expect.fail(`has(${offset}) is ${!has}`);
    if (acks.nextUnacked(offset) !== nextUnacked) expect.fail(`nextUnacked(${offset})`);
    if (acks.nextAcked(offset, to) !== nextAcked) expect.fail(`nextAcked(${offset})`);
    if (acks.countAcked(offset, to - 1) !== counted) expect.fail(`countAcked(${offset})`);
  }
}

type Command =
  | { readonly do: 'add'; readonly first: number; readonly length: number }
  | { readonly do: 'comb'; readonly first: number; readonly count: number; readonly step: number }
  | { readonly do: 'reset'; readonly to: number };

/** Offsets that straddle the border of two chunks. */
const near = fc.integer({ min: chunk - 300, max: chunk + 300 });
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('add' as const),
      first: near,
      length: fc.integer({ min: 1, max: 60 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('comb' as const),
      first: near,
      count: fc.integer({ min: 1, max: 100 }),
      step: fc.integer({ min: 1, max: 4 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reset' as const), to: near }) },
);

describe('AckSet', () => {
  test('answers as a plain set does, after any adds and seeks over a chunk border', () => {
    fc.assert(
      fc.property(near, fc.array(command, { maxLength: 30, size: 'max' }), (floor, commands) => {
        const acks = new AckSet(floor);
        const plain = new PlainAcks(floor);
        for (const step of commands) apply(acks, plain, step);
        expectEqual(acks, plain, chunk - 320, chunk + 800);
        expectEqual(AckSet.decode(acks.encode()), plain, chunk - 320, chunk + 800);
      }),
      { numRuns: 300 },
    );
  });

  test('answers as a plain set does while a chunk turns from ranges to a bitmap and back', () => {
    const random = seededRandom(7);
    const acks = new AckSet(0);
    const plain = new PlainAcks(0);
    const offsets = Array.from({ length: 20_000 }, (_, i) => i + 1);
    for (let i = offsets.length - 1; i > 0; i--) {
      const j = Math.floor(random.next() * (i + 1));
      [offsets[i], offsets[j]] = [offsets[j] as number, offsets[i] as number];
    }
    const sizes: number[] = [];
    offsets.forEach((offset, i) => {
      expect(acks.add(offset, offset)).toBe(plain.add(offset, offset));
      if (i % 2500 !== 2499) return;
      sizes.push(acks.bytes);
      expectEqual(acks, plain, 0, 20_100);
      expectEqual(AckSet.decode(acks.encode()), plain, 0, 20_100);
    });
    expect(Math.max(...sizes)).toBeLessThan(17_000);
    expect(sizes.at(-1)).toBeLessThan(8_192);
    expect(acks.add(0, 0)).toBe(1);
    expect(acks.floor).toBe(20_001);
    expect(acks.bytes).toBe(0);
  });

  test('one slow record with a hundred million acked behind it takes under 512 KiB', () => {
    const acks = new AckSet(0);
    for (let first = 1; first < 100_000_000; first += 1_000_000) {
      expect(acks.add(first, first + 999_999)).toBe(1_000_000);
    }
    expect(acks.floor).toBe(0);
    expect(acks.ackedAbove).toBe(100_000_000);
    expect(acks.bytes).toBeLessThan(512 * 1024);
    expect(acks.encode().length).toBeLessThan(12_000);
    expect(acks.add(0, 0)).toBe(1);
    expect(acks.floor).toBe(100_000_001);
    expect(acks.ackedAbove).toBe(0);
  });

  test('a million holes take under 300 KiB in memory and stored, and none is lost', () => {
    const acks = new AckSet(0);
    for (let i = 0; i < 1_000_000; i++) acks.add(2 * i + 1, 2 * i + 1);
    expect(acks.ackedAbove).toBe(1_000_000);
    expect(acks.bytes).toBeLessThan(300 * 1024);
    const stored = acks.encode();
    expect(stored.length).toBeLessThan(300 * 1024);
    const restored = AckSet.decode(stored);
    restored.check();
    expect(restored.ackedAbove).toBe(1_000_000);
    for (let i = 0; i < 1_000_000; i++) {
      if (restored.has(2 * i) || !restored.has(2 * i + 1)) expect.fail(`offset ${2 * i}`);
    }
  });

  test('works at offsets near 2^53', () => {
    const top = Number.MAX_SAFE_INTEGER - 1;
    const acks = new AckSet(top - 100);
    expect(acks.add(top - 50, top)).toBe(51);
    expect(AckSet.decode(acks.encode()).has(top)).toBe(true);
    expect(acks.add(top - 100, top - 51)).toBe(50);
    expect(acks.floor).toBe(top + 1);
  });

  test('encodes equal sets to equal bytes, whatever way they came about', () => {
    const one = new AckSet(0);
    for (let i = 1; i < 9_000; i += 2) one.add(i, i);
    for (let i = 2; i < 8_000; i += 2) one.add(i, i);
    const other = new AckSet(0);
    other.add(1, 7_999);
    for (let i = 8_001; i < 9_000; i += 2) other.add(i, i);
    expect(Buffer.from(one.encode()).equals(other.encode())).toBe(true);
  });

  test.each([
    ['a range that ends before it begins', 5, 4],
    ['a negative offset', -1, 4],
    ['a fraction', 1.5, 4],
    ['an offset that has no successor', 1, Number.MAX_SAFE_INTEGER],
  ])('asserts on %s', (_, first, last) => {
    expect(() => new AckSet(0).add(first, last)).toThrow(/ack range/);
  });
});

describe('AckSet.decode', () => {
  const good = (() => {
    const acks = new AckSet(10);
    acks.add(12, 20);
    acks.add(30, 30);
    for (let i = 0; i < 10_000; i++) acks.add(chunk + 2 * i, chunk + 2 * i);
    return acks.encode();
  })();

  function expectDamaged(bytes: Uint8Array): void {
    expect(() => AckSet.decode(bytes)).toThrow(
      expect.objectContaining({ name: 'BrokerError', reason: 'DATA_LOSS' }),
    );
  }

  test('refuses every truncation and every extension', () => {
    for (let length = 0; length < good.length; length += length < 64 ? 1 : 97) {
      expectDamaged(good.subarray(0, length));
    }
    expectDamaged(Buffer.concat([good, Buffer.from([0])]));
  });

  test.each([
    ['an unknown version', [2, 10, 0]],
    ['a chunk without members', [1, 10, 1, 0, 0]],
    ['a member at the floor', [1, 10, 1, 0, 1, 10, 0]],
    ['a member below the floor', [1, 10, 1, 0, 1, 3, 0]],
    ['ranges that touch', [1, 10, 1, 0, 2, 12, 0, 0, 0]],
    ['a range past its chunk', [1, 10, 1, 0, 1, 12, 0xff, 0xff, 0x03]],
    ['a floor of 2^53', [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f, 0]],
    ['a chunk past 2^53', [1, 10, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 0, 0]],
    ['more ranges than bytes', [1, 10, 1, 0, 0xff, 0xff, 0xff, 0x7f, 12, 0]],
  ])('refuses %s', (_, bytes) => {
    expectDamaged(Uint8Array.from(bytes));
  });

  test('refuses a bitmap with bits below the floor', () => {
    const bitmap = Buffer.alloc(8192);
    bitmap[0] = 1;
    expectDamaged(Buffer.concat([Buffer.from([1, 10, 1, 0, 0]), bitmap]));
    bitmap[0] = 0;
    expectDamaged(Buffer.concat([Buffer.from([1, 10, 1, 0, 0]), bitmap]));
    bitmap[2] = 1;
    expect(AckSet.decode(Buffer.concat([Buffer.from([1, 10, 1, 0, 0]), bitmap])).has(16)).toBe(
      true,
    );
  });

  test('answers random bytes with DATA_LOSS or a sound set, nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.boolean(), (bytes, versioned) => {
        try {
          AckSet.decode(versioned ? Buffer.concat([Buffer.from([1]), bytes]) : bytes).check();
        } catch (thrown) {
          expect(thrown instanceof BrokerError && thrown.reason).toBe('DATA_LOSS');
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

function apply(acks: AckSet, plain: PlainAcks, step: Command): void {
  switch (step.do) {
    case 'add': {
      const last = step.first + step.length - 1;
      expect(acks.add(step.first, last)).toBe(plain.add(step.first, last));
      return;
    }
    case 'comb':
      for (let i = 0; i < step.count; i++) {
        const offset = step.first + i * step.step;
        expect(acks.add(offset, offset)).toBe(plain.add(offset, offset));
      }
      return;
    case 'reset':
      acks.resetTo(step.to);
      plain.resetTo(step.to);
  }
}
