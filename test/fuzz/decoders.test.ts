// A million generated inputs over the decoders of frames that clients send and of what the broker stores beside
// batches (those: test/batch/fuzz.test.ts). FUZZ_INPUTS sets another number, FUZZ_SEED repeats a run.
import { randomInt } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { crc32 } from 'node:zlib';
import { create, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import {
  decodeCatalogCheckpoint,
  decodeCatalogEvent,
  encodeCatalogCheckpoint,
  encodeCatalogEvent,
} from '../../broker/catalog/catalog-entries.ts';
import { BrokerError, type ErrorReason } from '../../broker/core/errors.ts';
import {
  decodeGenerationHeader,
  encodeGenerationHeader,
  frameHeaderBytes,
  pageHeaderBytes,
  readFrame,
  readPageHeader,
} from '../../broker/journal/format.ts';
import {
  decodePartitionCheckpoint,
  decodePublisherOpened,
  decodeTrimmed,
  encodePartitionCheckpoint,
  encodePublisherOpened,
  encodeTrimmed,
} from '../../broker/log/entries.ts';
import { decodeConsumeFrame } from '../../broker/server/wire/delivery-codec.ts';
import { decodePublishFrame } from '../../broker/server/wire/publish-codec.ts';
import { decodePublishRequest } from '../../broker/server/wire/publish-request-codec.ts';
import { decodeEntry, encodeEntry } from '../../broker/subscription/entries.ts';
import { decodeQueueCheckpoint } from '../../broker/subscription/queue-checkpoint.ts';
import { StreamState } from '../../broker/subscription/stream-state.ts';
import { AckVerb, ConsumeStreamRequestSchema } from '../../proto/gen/millrace/v1/consume_pb.ts';
import {
  PublishRequestSchema,
  PublishStreamRequestSchema,
} from '../../proto/gen/millrace/v1/publish_pb.ts';
import { SubscriptionKind } from '../../proto/gen/millrace/v1/subscription_pb.ts';
import { fuzz, type FuzzTarget } from '../batch/fuzz.ts';
import {
  catalogCheckpoints,
  catalogEvents,
  pages,
  partitionCheckpoints,
  publisherEntries,
  queueCheckpoints,
  streamCheckpoints,
  subscriptionEntries,
  trimmedEntries,
} from './durable-corpus.ts';

const inputs = Number(process.env['FUZZ_INPUTS'] ?? 1_000_000);
const seed = Number(process.env['FUZZ_SEED'] ?? randomInt(2 ** 31));
const slowMs = 50;

/** What the inputs of each target came to; a target that only refuses, or only accepts, says little. */
const accepted = new Map<string, number>();

/** Decodes; the only thing it may throw is a BrokerError with the given reason. Answers what `check` finds wrong. */
function target<T>(
  name: string,
  corpus: readonly Buffer[],
  reason: ErrorReason,
  decode: (input: Buffer) => T,
  check: (value: T, input: Buffer) => string | undefined,
): FuzzTarget {
  return {
    name,
    corpus,
    run(input) {
      let value: T;
      try {
        value = decode(input);
      } catch (error) {
        if (error instanceof BrokerError && error.reason === reason) return undefined;
        throw error;
      }
      accepted.set(name, (accepted.get(name) ?? 0) + 1);
      return check(value, input);
    },
  };
}

/** Stored bytes that are read are written and read again as the same: no decoder makes what no encoder would take. */
function stored<T>(
  name: string,
  corpus: readonly Buffer[],
  decode: (input: Buffer) => T,
  encode: (value: T) => Uint8Array,
): FuzzTarget {
  return target(name, corpus, 'DATA_LOSS', decode, (value) => {
    const again = decode(Buffer.from(encode(value)));
    return isDeepStrictEqual(again, value) ? undefined : 'it is written as something else';
  });
}

const batch = { records: [{ key: Buffer.from('k'), value: Buffer.alloc(40) }, {}] };
const publishFrames = [
  create(PublishStreamRequestSchema, {
    opens: [{ handle: 1, topic: 'orders', publisher: 'p', publisherEpoch: 3 }],
    appends: [{ handle: 1, partition: 2, sequence: 9n, expectedOffset: 2n ** 40n, batch }],
    closes: [{ handle: 70_000 }],
  }),
  create(PublishStreamRequestSchema, { appends: [{ sequence: 1n, batch }, { batch }] }),
].map((message) => Buffer.from(toBinary(PublishStreamRequestSchema, message)));
const publishRequests = [undefined, 0, 255].map((partition) => {
  const init = { topic: 'acme/shop/orders', batch, ...(partition !== undefined && { partition }) };
  return Buffer.from(toBinary(PublishRequestSchema, create(PublishRequestSchema, init)));
});
const consumeFrames = [
  create(ConsumeStreamRequestSchema, {
    open: { topic: 'orders', subscription: 's', consumer: 'c', kind: SubscriptionKind.QUEUE },
    credit: { records: 1_000, bytes: 1_000_000 },
  }),
  create(ConsumeStreamRequestSchema, {
    acks: [AckVerb.ACK, AckVerb.NACK, AckVerb.EXTEND].map((verb) => ({
      partition: verb,
      firstOffset: 5n,
      lastOffset: 2n ** 40n,
      verb,
      lease: 2n ** 52n,
      delayMs: 100,
    })),
    confirmId: 77n,
  }),
].map((message) => Buffer.from(toBinary(ConsumeStreamRequestSchema, message)));

function isOutside(start: number, end: number, input: Buffer): boolean {
  return start < 0 || start > end || end > input.length;
}

const frameTargets: readonly FuzzTarget[] = [
  target(
    'decodePublishFrame',
    publishFrames,
    'FRAME_MALFORMED',
    decodePublishFrame,
    ({ appends }, input) =>
      appends.some(({ batchStart, batchEnd }) => isOutside(batchStart, batchEnd, input))
        ? 'a batch outside its frame'
        : undefined,
  ),
  target(
    'decodePublishRequest',
    publishRequests,
    'FRAME_MALFORMED',
    decodePublishRequest,
    ({ batchStart, batchEnd }, input) =>
      isOutside(batchStart, batchEnd, input) ? 'a batch outside its frame' : undefined,
  ),
  target(
    'decodeConsumeFrame',
    consumeFrames,
    'FRAME_MALFORMED',
    decodeConsumeFrame,
    ({ acks, creditBytes, creditRecords, confirmId }) => {
      const numbers = [creditBytes, creditRecords, confirmId];
      for (const { partition, firstOffset, lastOffset, verb, lease, delayMs } of acks) {
        numbers.push(partition, firstOffset, lastOffset, verb, lease, delayMs);
      }
      return numbers.every((n) => Number.isSafeInteger(n) && n >= 0) ? undefined : 'no number';
    },
  ),
];

const storedTargets: readonly FuzzTarget[] = [
  stored('decodeCatalogEvent', catalogEvents, decodeCatalogEvent, encodeCatalogEvent),
  stored(
    'decodeCatalogCheckpoint',
    catalogCheckpoints,
    decodeCatalogCheckpoint,
    encodeCatalogCheckpoint,
  ),
  stored('decodePublisherOpened', publisherEntries, decodePublisherOpened, encodePublisherOpened),
  stored('decodeTrimmed', trimmedEntries, decodeTrimmed, encodeTrimmed),
  stored(
    'decodePartitionCheckpoint',
    partitionCheckpoints,
    decodePartitionCheckpoint,
    encodePartitionCheckpoint,
  ),
  target(
    'decodeEntry',
    subscriptionEntries,
    'DATA_LOSS',
    (input) => ({ type: input[0] ?? 0, entry: decodeEntry(input[0] ?? 0, input.subarray(1)) }),
    ({ type, entry }) => {
      const again = decodeEntry(type, encodeEntry(entry));
      return isDeepStrictEqual(again, entry) ? undefined : 'it is written as something else';
    },
  ),
  target(
    'decodeQueueCheckpoint',
    queueCheckpoints,
    'DATA_LOSS',
    decodeQueueCheckpoint,
    ({ fence }) => (Number.isSafeInteger(fence) ? undefined : `fence ${fence}`),
  ),
  stored(
    'StreamState.decode',
    streamCheckpoints,
    (input) => StreamState.decode(input),
    (state) => state.encode(),
  ),
];

/** Half of the inputs get a right CRC in their first frame, so that more than the CRC is exercised. */
function frameTarget(): FuzzTarget {
  let turn = 0;
  return {
    name: 'readFrame',
    corpus: pages,
    run(input) {
      if (turn++ % 2 === 0) sealFirstFrame(input);
      for (let at = pageHeaderBytes; ;) {
        const frame = readFrame(input, at);
        if (frame === undefined) return undefined;
        accepted.set('readFrame', (accepted.get('readFrame') ?? 0) + 1);
        const { guardAt, bodyAt, end } = frame;
        if (guardAt > bodyAt || bodyAt > end || end > input.length) return 'it reaches out';
        if (end <= at) return 'it does not go on';
        at = end;
      }
    },
  };
}

function sealFirstFrame(page: Buffer): void {
  const at = pageHeaderBytes;
  if (page.length < at + frameHeaderBytes) return;
  const bodyAt = at + frameHeaderBytes + page.readUInt32LE(at + 8);
  if (bodyAt <= page.length) page.writeUInt32LE(crc32(page.subarray(at + 4, bodyAt)), at);
}

const journalTargets: readonly FuzzTarget[] = [
  frameTarget(),
  {
    name: 'readPageHeader',
    corpus: pages,
    run(input) {
      const header = readPageHeader(input, 42);
      if (header === undefined) return undefined;
      accepted.set('readPageHeader', (accepted.get('readPageHeader') ?? 0) + 1);
      return header.number === 42 && header.usedBytes === input.length ? undefined : 'not its page';
    },
  },
  target(
    'decodeGenerationHeader',
    [
      encodeGenerationHeader({
        shard: '0',
        epoch: 3,
        number: 2,
        firstPage: 100,
        previousChain: 7,
        checkpointPage: 90,
        volumeId: 'v',
      }),
    ],
    'DATA_LOSS',
    (input) => decodeGenerationHeader(input, 'file'),
    // Its CRC is not made right here, so what is read is what was written.
    ({ number, shard }) => (number === 2 && shard === '0' ? undefined : 'another header'),
  ),
];

const targets = [...frameTargets, ...storedTargets, ...journalTargets];

describe('fuzz', () => {
  it(`${inputs} broken inputs have typed outcomes only, each within ${slowMs} ms`, () => {
    console.log(`FUZZ_SEED=${seed} FUZZ_INPUTS=${inputs}`);
    expect(fuzz({ seed, inputs, targets, slowMs })).toBeUndefined();
    const each = inputs / targets.length;
    for (const { name } of targets) {
      const share = (accepted.get(name) ?? 0) / each;
      expect(share, `share of inputs that ${name} accepts`).toBeGreaterThan(0.001);
    }
  }, 60_000);

  it.each(targets.map((one) => [one.name, one] as const))(
    'starts from what %s accepts',
    (name, one) => {
      const before = accepted.get(name) ?? 0;
      for (const input of one.corpus) expect(one.run(Buffer.from(input))).toBeUndefined();
      expect((accepted.get(name) ?? 0) - before).toBeGreaterThanOrEqual(one.corpus.length);
    },
  );
});

describe('a planted fault is found', () => {
  const planted = (one: FuzzTarget) => fuzz({ seed: 1, inputs: 50_000, targets: [one], slowMs });

  it('a decoder that throws something else', () => {
    const one = target('planted', publishFrames, 'FRAME_MALFORMED', decodePublishFrame, (frame) => {
      const handle = frame.closes[0];
      if (handle !== undefined && handle !== 70_000) throw new RangeError('handle');
      return undefined;
    });
    expect(planted(one)?.problem).toBe('threw RangeError: handle');
  });

  it('a decoder that refuses with another reason', () => {
    const one = target('planted', publishFrames, 'DATA_LOSS', decodePublishFrame, () => undefined);
    expect(planted(one)?.problem).toMatch(/^threw BrokerError/);
  });

  it('an encoder that loses a field', () => {
    const one = stored('planted', trimmedEntries, decodeTrimmed, (entry) =>
      encodeTrimmed({ ...entry, startOffset: 0 }),
    );
    expect(planted(one)?.problem).toBe('it is written as something else');
  });
});
