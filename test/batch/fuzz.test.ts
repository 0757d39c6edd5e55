// At least a million generated inputs over everything that reads publishers' and stored bytes by hand. FUZZ_INPUTS sets
// another number, FUZZ_SEED repeats a run.
import { randomInt } from 'node:crypto';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openPlain } from '../../broker/batch/compressed-batch.ts';
import { scanBatch } from '../../broker/batch/scan.ts';
import {
  decodeStoredHeader,
  encodeStoredHeader,
  flagCompressed,
  storedHeaderBytes,
} from '../../broker/batch/stored-header.ts';
import { WireError, WireReader, wireBytes, wireVarint } from '../../proto/wire/reader.ts';
import {
  compressedTree,
  mutationArbitrary,
  plainBatch,
  plainTree,
  record,
  recordsArbitrary,
} from './batch-arbitrary.ts';
import { readByProtobufEs, readByProtobufJs } from './decoders.ts';
import { fuzz, type FuzzTarget } from './fuzz.ts';
import { storedHeaderArbitrary } from './stored-header-arbitrary.ts';
import { encodeFields, mutate } from './wire-tree.ts';

const inputs = Number(process.env['FUZZ_INPUTS'] ?? 1_000_000);
const seed = Number(process.env['FUZZ_SEED'] ?? randomInt(2 ** 31));
const slowMs = 50;
const batchBytesMax = 64 * 1024;

const reasons = new Set<string>([
  'BATCH_EMPTY',
  'BATCH_NOT_CANONICAL',
  'BATCH_TOO_LARGE',
  'BATCH_COUNT_MISMATCH',
  'RECORD_INVALID',
  'COMPRESSION_INVALID',
]);

function scanTarget(corpus: readonly Buffer[], seen: { admitted: number }): FuzzTarget {
  return {
    name: 'scanBatch',
    corpus,
    run(input) {
      const result = scanBatch(input, 0, input.length, batchBytesMax);
      if (!result.ok) return reasons.has(result.reason) ? undefined : `reason ${result.reason}`;
      seen.admitted++;
      const read = readByProtobufEs(input);
      if (read !== readByProtobufJs(input)) return 'two decoders read it differently';
      const plain = result.compressed ? openPlain(input, flagCompressed) : input;
      const [records] = JSON.parse(readByProtobufEs(plain)) as [unknown[]];
      return records.length === result.recordCount ? undefined : 'the count is wrong';
    },
  };
}

/** Half of the inputs get a right CRC, so that more than the CRC is exercised. */
function headerTarget(corpus: readonly Buffer[]): FuzzTarget {
  const again = Buffer.alloc(storedHeaderBytes);
  let turn = 0;
  return {
    name: 'decodeStoredHeader',
    corpus,
    run(input) {
      if (turn++ % 2 === 0 && input.length >= storedHeaderBytes) {
        const head = crc32(input.subarray(0, 4));
        input.writeUInt32LE(crc32(input.subarray(8, storedHeaderBytes), head), 4);
      }
      const header = decodeStoredHeader(input, 0);
      if (header === undefined) return undefined;
      if (!Object.values(header).every((value) => value >= 0)) return 'a field is no number';
      const { baseOffset, sequence, appendTimeMs, deliverAtMs, timeToLiveMs } = header;
      const large = Math.max(baseOffset, sequence, appendTimeMs, deliverAtMs, timeToLiveMs);
      const reserved = input.readUInt32LE(44);
      if (large > Number.MAX_SAFE_INTEGER || reserved !== 0) return undefined;
      encodeStoredHeader(header, again, 0);
      const same = again.equals(input.subarray(0, storedHeaderBytes));
      return same ? undefined : 'it is written differently from what was read';
    },
  };
}

function readerTarget(corpus: readonly Buffer[]): FuzzTarget {
  return {
    name: 'WireReader',
    corpus,
    run(input) {
      const reader = new WireReader(input);
      try {
        for (let turn = 0; !reader.done; turn++) {
          const before = reader.position;
          readField(reader, turn);
          if (reader.position <= before) return 'a field took no bytes';
          if (reader.position > input.length) return 'it read past the end';
        }
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
      }
      return undefined;
    },
  };
}

function readField(reader: WireReader, turn: number): void {
  const tag = reader.tag();
  const type = tag & 7;
  if (type === wireVarint && turn % 2 === 0) reader.varint();
  else if (type === wireBytes && turn % 3 === 0) reader.view();
  else if (type === wireBytes && turn % 3 === 1) reader.text();
  else reader.skip(type);
}

function sampled<T>(arbitrary: fc.Arbitrary<T>, numRuns: number): T[] {
  return fc.sample(arbitrary, { seed, numRuns });
}

function batchCorpus(): readonly Buffer[] {
  const plain = sampled(recordsArbitrary, 300);
  const mutations = sampled(mutationArbitrary, 600);
  const compressed = sampled(recordsArbitrary, 60);
  const tree = (i: number) =>
    compressedTree(compressed[i % compressed.length] ?? [], {
      compression: i % 2 === 0 ? 'gzip' : 'zstd',
    });
  const large = Array.from({ length: 600 }, () => record({ value: Buffer.alloc(100) }));
  return [
    ...plain.map(plainBatch),
    ...mutations.map((mutation, i) =>
      encodeFields(mutate(plainTree(plain[i % plain.length] ?? []), mutation)),
    ),
    ...compressed.map((_, i) => encodeFields(tree(i))),
    ...mutations.slice(0, 60).map((mutation, i) => encodeFields(mutate(tree(i), mutation))),
    plainBatch(large),
  ];
}

function headerCorpus(): readonly Buffer[] {
  return sampled(storedHeaderArbitrary, 200).map((header) => {
    const bytes = Buffer.alloc(storedHeaderBytes);
    encodeStoredHeader(header, bytes, 0);
    return bytes;
  });
}

describe('fuzz', () => {
  it(`${inputs} broken inputs have typed outcomes only, each within ${slowMs} ms`, () => {
    console.log(`FUZZ_SEED=${seed} FUZZ_INPUTS=${inputs}`);
    const batches = batchCorpus();
    const seen = { admitted: 0 };
    const scan = scanTarget(batches, seen);
    const targets = [scan, headerTarget(headerCorpus()), scan, readerTarget(batches)];
    expect(fuzz({ seed, inputs, targets, slowMs })).toBeUndefined();
    // Neither all refused nor all admitted: otherwise the inputs say little.
    expect(seen.admitted).toBeGreaterThan(inputs / 200);
    expect(seen.admitted).toBeLessThan(inputs / 3);
  }, 120_000);
});

describe('a planted fault is found', () => {
  const corpus = sampled(recordsArbitrary, 20).map(plainBatch);
  const planted = (run: FuzzTarget['run']) =>
    fuzz({ seed: 1, inputs: 20_000, targets: [{ name: 'planted', corpus, run }], slowMs: 5 });

  it('a scan that throws', () => {
    const fault = planted((input) => {
      if (input.length > 3 && input[3] === 0xff) throw new RangeError('out of range');
      return undefined;
    });
    expect(fault).toMatchObject({ target: 'planted', problem: 'threw RangeError: out of range' });
    expect(fault?.inputHex.slice(6, 8)).toBe('ff');
  });

  it('a scan that looks at the first byte only', () => {
    const fault = planted((input) => {
      if (input[0] !== 0x0a) return undefined;
      return readByProtobufEs(input) === readByProtobufJs(input) ? undefined : 'read differently';
    });
    expect(fault).toBeDefined();
  });

  it('a scan that is slow each time, and not one that is slow once', () => {
    const waitMs = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
    let slow = 0;
    expect(planted((input) => void (input.length === 0 && waitMs(7)))?.problem).toMatch(/^took/);
    const once = planted((input) => void (input.length === 0 && slow++ === 0 && waitMs(7)));
    expect(once).toBeUndefined();
  });

  it('by its seed: the same one finds the same input', () => {
    const run: FuzzTarget['run'] = (input) => (input.length === 17 ? 'seventeen' : undefined);
    expect(planted(run)).toEqual(planted(run));
  });
});
