// Feeds broken copies of valid inputs to decoders. Which, and how they are broken, follows from the seed alone.
//
// Invariants:
// - A fault names the input; running the same seed again finds it again.
// - Slow means slow every time: a pause of the machine or of the collector is not a fault.
import { performance } from 'node:perf_hooks';
import { seededRandom, type Random } from '../../broker/core/random.ts';

export interface FuzzTarget {
  readonly name: string;
  readonly corpus: readonly Buffer[];
  /** Answers what is wrong; throws only when it is. */
  run(input: Buffer): string | undefined;
}

export interface FuzzFault {
  readonly target: string;
  readonly problem: string;
  readonly inputHex: string;
  /** Of this input, from 0. */
  readonly index: number;
}

export interface FuzzOptions {
  readonly seed: number;
  readonly inputs: number;
  readonly targets: readonly FuzzTarget[];
  readonly slowMs: number;
}

/** Longest input, in bytes; what a mutation adds beyond is cut. */
const inputBytesMax = 128 * 1024;
const attemptsBeforeSlow = 4;
/** Bytes at which varints, tags, groups and signs change. */
const interesting = [
  0x00, 0x01, 0x0a, 0x0b, 0x0c, 0x12, 0x18, 0x22, 0x7f, 0x80, 0xff, 0xfe, 0x28, 0x1f,
];

/** The first fault; undefined when there is none. Inputs go to the targets in turn. */
export function fuzz({ seed, inputs, targets, slowMs }: FuzzOptions): FuzzFault | undefined {
  const random = seededRandom(seed);
  const scratch = Buffer.alloc(inputBytesMax);
  for (let index = 0; index < inputs; index++) {
    const target = targets[index % targets.length];
    if (target === undefined) throw new Error('there is no target');
    const input = scratch.subarray(0, breakOne(scratch, target.corpus, random));
    const problem = problemOf(target, input, slowMs);
    if (problem !== undefined) {
      return { target: target.name, problem, inputHex: input.toString('hex'), index };
    }
  }
  return undefined;
}

function problemOf(target: FuzzTarget, input: Buffer, slowMs: number): string | undefined {
  let tookMs = Infinity;
  for (let attempt = 0; attempt < attemptsBeforeSlow && tookMs > slowMs; attempt++) {
    const startMs = performance.now();
    try {
      const problem = target.run(input);
      if (problem !== undefined) return problem;
    } catch (thrown) {
      return `threw ${String(thrown)}`;
    }
    tookMs = performance.now() - startMs;
  }
  return tookMs > slowMs ? `took ${tookMs.toFixed(0)} ms` : undefined;
}

/** Writes a broken copy of one of the corpus into `scratch`; answers its length. */
function breakOne(scratch: Buffer, corpus: readonly Buffer[], random: Random): number {
  const below = (limit: number) => Math.floor(random.next() * limit);
  const pick = () => corpus[below(corpus.length)] ?? Buffer.alloc(0);
  let length = pick().copy(scratch);
  for (let breaks = 1 + below(3); breaks > 0; breaks--) {
    const at = below(length + 1);
    const run = 1 + below(8);
    switch (below(8)) {
      case 0:
        scratch[at] = (scratch[at] ?? 0) ^ (1 << below(8));
        break;
      case 1:
        scratch[at] = interesting[below(interesting.length)] ?? 0;
        break;
      case 2: // Cut out a few bytes.
        if (at + run > length) break;
        scratch.copyWithin(at, at + run, length);
        length -= run;
        break;
      case 3: // Put in a few bytes.
        if (length + run > scratch.length) break;
        scratch.copyWithin(at + run, at, length);
        for (let i = 0; i < run; i++) scratch[at + i] = below(256);
        length += run;
        break;
      case 4: // Cut off the end.
        length = at;
        break;
      case 5: // Repeat what stands here.
        if (length + run > scratch.length || at + run > length) break;
        scratch.copyWithin(at + run, at, length);
        length += run;
        break;
      case 6: // Continue with the end of another.
        length = joinEnd(scratch, at, pick(), below);
        break;
      default: // A number of continuation bytes.
        scratch.fill(0x80 | below(128), at, Math.min(at + run, length));
    }
    length = Math.min(length, scratch.length);
  }
  return length;
}

function joinEnd(scratch: Buffer, at: number, other: Buffer, below: (n: number) => number): number {
  return at + other.copy(scratch, at, below(other.length + 1));
}
