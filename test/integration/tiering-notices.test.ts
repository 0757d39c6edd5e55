// What consumers and readers are told while cold records cannot be read, and when it is over.
import { fromBinary } from '@bufbuild/protobuf';
import { writeFile, readFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  ConsumeStreamRequestSchema,
  ConsumeStreamResponseSchema,
} from '../../proto/gen/millrace/v1/consume_pb.ts';
import { ReadRequestSchema, ReadResponseSchema } from '../../proto/gen/millrace/v1/read_pb.ts';
import {
  BlockReason,
  Edge,
  NoticeKind,
  type Notice,
} from '../../proto/gen/millrace/v1/stream_pb.ts';
import { encode, RawGrpc, type RawStream } from '../support/raw-grpc.ts';
import { TieredBroker } from '../support/tiered-broker.ts';

const count = 1_500;
const kinds = ['stream', 'queue'] as const;

let tiered: TieredBroker;
let grpc: RawGrpc;

beforeEach(async () => {
  tiered = await TieredBroker.start();
  grpc = new RawGrpc(tiered.broker.grpcAddress);
  await tiered.publishCold('t', count);
  for (const kind of kinds) {
    await tiered.client.subscriptions.apply('t', kind, { kind, start: 'earliest' });
  }
});

afterEach(async () => {
  grpc[Symbol.dispose]();
  await tiered[Symbol.asyncDispose]();
});

describe.each(kinds)('a consumer of a %s', (kind) => {
  it('is told that cold reads fail, also when it comes later, and that they go on', async () => {
    tiered.store.fault = 'away';
    const first = consume(kind);
    expect(await noticed(first)).toEqual(blockedBy(BlockReason.COLD_READ_FAILING));
    first.cancel();
    const second = consume(kind);
    expect(await noticed(second)).toEqual(blockedBy(BlockReason.COLD_READ_FAILING));
    expect(await reasonsOf(kind)).toContain('cold read failing');
    tiered.store.fault = 'none';
    expect(await noticed(second)).toEqual(unblocked);
    expect(await deliveredFrom(second)).toBe(0);
    expect(await reasonsOf(kind)).not.toContain('cold read failing');
    second.cancel();
  });

  it('is told of damage, and goes on when it is sought past', async () => {
    const [path = ''] = await tiered.segmentPaths();
    const bytes = await readFile(path);
    bytes[1_000] = (bytes[1_000] ?? 0) ^ 1;
    await writeFile(path, bytes);
    const consumer = consume(kind);
    expect(await noticed(consumer)).toEqual(blockedBy(BlockReason.DATA_LOSS));
    expect(await reasonsOf(kind)).toContain('data loss');
    const lost = /offsets 0 to (\d+)/.exec((await tiered.partition('t')).damage)?.[1];
    const next = Number(lost) + 1;
    const to = [{ partition: 0, position: { offset: next } }];
    await tiered.client.subscriptions.seek('t', kind, { to });
    expect(await noticed(consumer)).toEqual(unblocked);
    expect(await deliveredFrom(consumer)).toBe(next);
    expect(await reasonsOf(kind)).not.toContain('data loss');
    consumer.cancel();
  });
});

describe('a reader', () => {
  it('is told that cold reads fail, once for all partitions, and that they go on', async () => {
    await tiered.client.topics.apply('many', { partitions: 3 });
    await tiered.publishCold('many', 900);
    tiered.store.fault = 'away';
    const request = encode(ReadRequestSchema, {
      topic: 'many',
      fromAll: { at: { case: 'edge', value: Edge.EARLIEST } },
      stopAtEnd: true,
    });
    const stream = grpc.serverStream('ReadService/Read', request);
    const notices: Notice[] = [];
    let records = 0;
    while (records < 900) {
      const { notice, deliveries } = fromBinary(ReadResponseSchema, await stream.next());
      for (const { batch } of deliveries) records += batch?.records.length ?? 0;
      if (notice === undefined) continue;
      notices.push(notice);
      const tries = triesSoFar();
      if (notices.length === 1) await expect.poll(triesSoFar).toBeGreaterThan(tries + 9);
      tiered.store.fault = 'none';
    }
    expect(notices.map(essence)).toEqual([blockedBy(BlockReason.COLD_READ_FAILING), unblocked]);
    stream.cancel();
  });
});

const unblocked = { kind: NoticeKind.UNBLOCKED, reasons: [] };

function blockedBy(reason: BlockReason) {
  return { kind: NoticeKind.BLOCKED, reasons: [reason] };
}

function essence({ kind, blockReasons }: Notice) {
  return { kind, reasons: blockReasons };
}

function triesSoFar(): number {
  return tiered.store.calls.get('getRange') ?? 0;
}

function consume(subscription: string): RawStream {
  const stream = grpc.duplex('ConsumeService/ConsumeStream');
  const credit = { records: 10_000, bytes: 10_000_000 };
  return stream.write(
    encode(ConsumeStreamRequestSchema, { open: { topic: 't', subscription }, credit }),
  );
}

/** The next notice. */
async function noticed(stream: RawStream) {
  for (;;) {
    const { notice } = fromBinary(ConsumeStreamResponseSchema, await stream.next());
    if (notice !== undefined) return essence(notice);
  }
}

/** First offset of the next delivery. */
async function deliveredFrom(stream: RawStream): Promise<number> {
  for (;;) {
    const { deliveries } = fromBinary(ConsumeStreamResponseSchema, await stream.next());
    const [first] = deliveries;
    if (first !== undefined) return Number(first.baseOffset);
  }
}

async function reasonsOf(subscription: string): Promise<readonly string[]> {
  const { partitions } = await tiered.client.subscriptions.get('t', subscription);
  return partitions[0]?.blockReasons ?? [];
}
