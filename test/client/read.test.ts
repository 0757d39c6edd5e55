// Readers against a real broker and against one that says what is rare: every record once, in order, over anything.
import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  connect,
  type Client,
  type GapRange,
  type ReceivedRecord,
} from '../../client/src/index.ts';
import { Compression } from '../../proto/gen/millrace/v1/record_pb.ts';
import { GapReason, NoticeKind } from '../../proto/gen/millrace/v1/stream_pb.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { FakeBroker, type FakeRead } from './fake-broker.ts';
import { until } from './until.ts';

describe('a reader of a real topic', () => {
  let broker: BrokerProcess;
  let proxy: TcpProxy;
  let client: Client;
  /** Past the proxy: a change that a lost connection hits is not repeated. */
  let admin: Client;

  beforeAll(async () => {
    broker = await BrokerProcess.start();
    proxy = await TcpProxy.start(broker.server);
    client = connect({ server: proxy.address });
    admin = connect({ server: broker.server });
  });

  afterAll(async () => {
    await client.close();
    await admin.close();
    await proxy[Symbol.asyncDispose]();
    await broker[Symbol.asyncDispose]();
  });

  /** Values '0', '1', ..., round robin over the partitions. */
  async function topicWith(name: string, recordCount: number, partitions = 1): Promise<void> {
    await admin.topics.apply(name, { partitions });
    const publisher = client.publisher(name, { batchBytes: 2_000 });
    for (let i = 0; i < recordCount; i++) {
      publisher.send({ value: String(i), partition: i % partitions });
    }
    await publisher.close();
  }

  it('sees every record once and in order, over lost connections', async () => {
    await topicWith('cut', 20_000, 3);
    const next = [0, 0, 0];
    let seen = 0;
    for await (const record of client.reader('cut', { from: 'earliest', stopAtEnd: true })) {
      expect(record.offset).toBe(next[record.partition]);
      next[record.partition] = record.offset + 1;
      expect(record.text()).toBe(String(record.offset * 3 + record.partition));
      if (++seen % 4_000 === 0) proxy.cut();
    }
    expect(seen).toBe(20_000);
  });

  it('follows the end, over a restart of the broker', async () => {
    await topicWith('followed', 10);
    const reader = client.reader('followed', { from: 'earliest' });
    const records = reader[Symbol.asyncIterator]();
    await takeMany(records, 10);
    await broker.kill('SIGKILL');
    await broker.restart();
    const publisher = client.publisher('followed');
    await publisher.publish({ value: 'after' });
    expect((await takeMany(records, 1)).map((r) => [r.offset, r.text()])).toEqual([[10, 'after']]);
    await Promise.all([reader.close(), publisher.close()]);
  });

  it('starts where it is told: an offset, a time, the end, each partition by itself', async () => {
    await topicWith('starts', 100);
    const [middle] = await collect(
      client.reader('starts', { from: { offset: 50 }, recordsMax: 1 }),
    );
    expect(middle?.offset).toBe(50);
    await new Promise((resolve) => setTimeout(resolve, 5));
    const timeMs = Date.now();
    await topicWith('starts', 5);
    const later = await collect(client.reader('starts', { from: { timeMs }, stopAtEnd: true }));
    expect(later.map(({ offset }) => offset)).toEqual([100, 101, 102, 103, 104]);
    expect(await collect(client.reader('starts', { stopAtEnd: true }))).toEqual([]);
    await topicWith('two', 20, 2);
    const only = await collect(
      client.reader('two', { fromPartitions: new Map([[1, { offset: 8 }]]), stopAtEnd: true }),
    );
    expect(only.map(({ partition, offset }) => [partition, offset])).toEqual([
      [1, 8],
      [1, 9],
    ]);
  });

  it('reads compressed batches, from the middle of one too', async () => {
    for (const compression of ['gzip', 'zstd'] as const) {
      await admin.topics.apply(compression);
      const publisher = client.publisher(compression, { compression });
      const records = Array.from({ length: 200 }, (_, i) => ({
        key: `k${i}`,
        value: `v${i}`.repeat(20),
        headers: { n: String(i) },
        timestampMs: 1_000 + i,
      }));
      await publisher.publishBatch(records);
      const read = await collect(
        client.reader(compression, { from: { offset: 120 }, stopAtEnd: true }),
      );
      expect(read.map(({ offset }) => offset)).toEqual(
        Array.from({ length: 80 }, (_, i) => 120 + i),
      );
      expect(read[3]).toMatchObject({ offset: 123, timestampMs: 1_123 });
      expect(read[3]?.key.toString()).toBe('k123');
      expect(read[3]?.headers.map(([name, value]) => [name, value.toString()])).toEqual([
        ['n', '123'],
      ]);
      expect(read[3]?.text()).toBe('v123'.repeat(20));
      await publisher.close();
    }
  });

  it('gives whole batches with what they hold', async () => {
    await topicWith('batches', 1_000);
    let records = 0;
    for await (const batch of client
      .reader('batches', { from: 'earliest', stopAtEnd: true })
      .batches()) {
      expect(batch.firstOffset).toBe(records);
      records += batch.recordCount;
      expect([...batch.records()]).toHaveLength(batch.recordCount);
      expect(batch.lastOffset).toBe(records - 1);
    }
    expect(records).toBe(1_000);
  });

  it('holds the broker back while the application is slow', async () => {
    await admin.topics.apply('large');
    const publisher = client.publisher('large');
    const value = randomBytes(512 * 1024);
    for (let i = 0; i < 120; i++) {
      publisher.send({ value });
      await publisher.ready();
    }
    await publisher.close();
    global.gc?.();
    const before = process.memoryUsage().arrayBuffers;
    const reader = client.reader('large', { from: 'earliest', stopAtEnd: true });
    const records = reader[Symbol.asyncIterator]();
    await takeMany(records, 1);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    // 60 MiB are there; 4 wait here, 8 in the HTTP/2 window, and frames are on the way between.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(40 * 1024 * 1024);
    expect(await takeMany(records, 119)).toHaveLength(119);
    expect((await records.next()).done).toBe(true);
  });

  it('reads partitions that the topic gets later, once it is connected again', async () => {
    await topicWith('grows', 4, 1);
    const reader = client.reader('grows', { from: 'earliest' });
    const records = reader[Symbol.asyncIterator]();
    await takeMany(records, 4);
    await admin.topics.apply('grows', { partitions: 2 });
    const publisher = client.publisher('grows');
    await publisher.publish({ value: 'new', partition: 1 });
    proxy.cut();
    const [record] = await takeMany(records, 1);
    expect([record?.partition, record?.offset, record?.text()]).toEqual([1, 0, 'new']);
    await Promise.all([reader.close(), publisher.close()]);
  });

  it('ends with a typed error when the topic or the offset is not there', async () => {
    await expect(collect(client.reader('nowhere'))).rejects.toMatchObject({
      kind: 'missing',
      reason: 'TOPIC_NOT_FOUND',
    });
    await topicWith('short', 3);
    await expect(collect(client.reader('short', { from: { offset: 4 } }))).rejects.toMatchObject({
      kind: 'invalid',
      reason: 'OFFSET_OUT_OF_RANGE',
    });
    for (const recordsMax of [0, -1, 1.5]) {
      expect(() => client.reader('short', { recordsMax })).toThrow(
        expect.objectContaining({ reason: 'ARGUMENT_INVALID' }),
      );
    }
  });
});

describe('a reader of a scripted broker', () => {
  it('asks for the position after the last record it got, with the epoch of that record', async () => {
    await using broker = await FakeBroker.start();
    await using client = connect({ server: broker.server });
    broker.onRead = (read, number) => {
      opened(read, number === 0 ? 5 : 7);
      if (number === 0) {
        deliver(read, 5, 3, ['a', 'b']);
        read.send({ notice: { kind: NoticeKind.CLOSING, retryAfterMs: 100 } });
      } else deliver(read, 7, 4, ['c']);
    };
    const reader = client.reader('t', { from: { offset: 5, epoch: 2 } });
    const records = await takeMany(reader[Symbol.asyncIterator](), 3);
    expect(records.map((record) => record.text())).toEqual(['a', 'b', 'c']);
    expect(broker.reads.map(({ request }) => request.from[0]?.position)).toMatchObject([
      undefined,
      { at: { case: 'offset', value: 7n }, epoch: 3 },
    ]);
    expect(broker.reads[0]?.request.fromAll).toMatchObject({
      at: { case: 'offset', value: 5n },
      epoch: 2,
    });
    await reader.close();
  });

  it('ends with POSITION_DIVERGED when records that it saw were lost', async () => {
    await using broker = await FakeBroker.start();
    await using client = connect({ server: broker.server });
    broker.onRead = (read, number) => {
      if (number > 0) return read.fail('POSITION_DIVERGED');
      opened(read, 0);
      deliver(read, 0, 1, ['a']);
      return read.fail('SHUTTING_DOWN');
    };
    const seen: string[] = [];
    const reading = (async () => {
      for await (const record of client.reader('t', { from: 'earliest' })) seen.push(record.text());
    })();
    await expect(reading).rejects.toMatchObject({ kind: 'conflict', reason: 'POSITION_DIVERGED' });
    expect(seen).toEqual(['a']);
  });

  it('tells gaps and goes on behind them', async () => {
    await using broker = await FakeBroker.start();
    await using client = connect({ server: broker.server });
    broker.onRead = (read, number) => {
      opened(read, 0);
      if (number > 0) return;
      read.send({
        gaps: [{ partition: 0, firstOffset: 0n, lastOffset: 9n, reason: GapReason.EXPIRED }],
      });
      read.fail('SHUTTING_DOWN');
    };
    const gaps: GapRange[] = [];
    const reader = client.reader('t', { from: 'earliest', onGap: (gap) => gaps.push(gap) });
    await until(() => broker.reads.length === 2);
    expect(gaps).toEqual([{ partition: 0, firstOffset: 0, lastOffset: 9, reason: 'expired' }]);
    expect(broker.reads[1]?.request.from[0]?.position?.at.value).toBe(10n);
    await reader.close();
  });

  it.each([
    ['cannot be opened', { compressedRecords: Buffer.from('no gzip') }],
    ['is larger than it states', { openedBytes: 3 }],
    ['is smaller than it states', { openedBytes: 99 }],
    ['holds fewer records than it states', { recordCount: 9 }],
  ])('ends with BATCH_DAMAGED at a compressed batch that %s', async (_name, damage) => {
    await using broker = await FakeBroker.start();
    await using client = connect({ server: broker.server });
    const plain = Buffer.from('0a0312016b', 'hex');
    broker.onRead = (read) => {
      opened(read, 0);
      read.send({
        deliveries: [
          {
            baseOffset: 0n,
            batch: {
              compression: Compression.GZIP,
              compressedRecords: gzipSync(plain),
              recordCount: 1,
              openedBytes: plain.length,
              ...damage,
            },
          },
        ],
      });
    };
    await expect(collect(client.reader('t', { from: 'earliest' }))).rejects.toMatchObject({
      kind: 'corrupt',
      reason: 'BATCH_DAMAGED',
    });
  });

  it('ends with RESPONSE_MALFORMED when what comes is no ReadResponse', async () => {
    await using broker = await FakeBroker.start();
    await using client = connect({ server: broker.server });
    broker.onRead = (read) => read.sendBytes(Buffer.from('12ff', 'hex'));
    await expect(collect(client.reader('t', { from: 'earliest' }))).rejects.toMatchObject({
      kind: 'internal',
      reason: 'RESPONSE_MALFORMED',
    });
  });
});

function opened(read: FakeRead, nextOffset: number): void {
  read.send({
    opened: {
      partitionCount: 1,
      partitions: [{ partition: 0, nextOffset: BigInt(nextOffset), endOffset: 100n }],
    },
  });
}

function deliver(read: FakeRead, baseOffset: number, epoch: number, values: string[]): void {
  const records = values.map((value) => ({ value: Buffer.from(value) }));
  read.send({ deliveries: [{ baseOffset: BigInt(baseOffset), epoch, batch: { records } }] });
}

async function collect(records: AsyncIterable<ReceivedRecord>): Promise<ReceivedRecord[]> {
  const collected: ReceivedRecord[] = [];
  for await (const record of records) collected.push(record);
  return collected;
}

async function takeMany<T>(iterator: AsyncIterator<T>, count: number): Promise<T[]> {
  const items: T[] = [];
  while (items.length < count) {
    const next = await iterator.next();
    if (next.done === true) throw new Error(`ended after ${items.length} of ${count}`);
    items.push(next.value);
  }
  return items;
}
