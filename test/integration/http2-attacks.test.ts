// Attacks with frames that HTTP/2 allows, one by one, against a real broker: it lives, goes on serving others, and
// its memory returns. Broken frames, and streams that are opened and reset: noise.test.ts.
import { describe, expect, it } from 'vitest';
import {
  callHeaders,
  endHeaders,
  frame,
  frameTypes,
  http2Begin,
  literalHeader,
  uint32,
} from '../support/http2-frames.ts';
import { metric } from '../support/metric.ts';
import { RawTcp } from '../support/raw-tcp.ts';
import { describeAfterwards, mistreatBroker } from './mistreated-broker.ts';

const get = mistreatBroker('attacks');
const closedWithinMs = 10_000;
const open = frame(frameTypes.headers, callHeaders('ConsumeService/ConsumeStream'), endHeaders, 1);
const times = (bytes: Buffer, count: number): Buffer =>
  Buffer.concat(Array.from({ length: count }, () => bytes));

/** Sends `bytes` up to `count` times after the preface; whether the broker has closed the connection. */
async function attack(bytes: Buffer, count: number): Promise<boolean> {
  using tcp = await RawTcp.open(get().broker.server);
  tcp.write(Buffer.concat([http2Begin, open]));
  await tcp.flood(bytes, count);
  return tcp.isClosedWithin(closedWithinMs);
}

describe('a connection is closed', () => {
  it('that floods with pings', async () => {
    const ping = times(frame(frameTypes.ping, Buffer.alloc(8)), 100);
    expect(await attack(ping, 10_000)).toBe(true);
    const refused = 'millrace_connections_refused_total{cause="pings"}';
    expect(await metric(get().broker, refused)).toBeGreaterThan(0);
  });

  it('that floods with settings', async () => {
    const settings = frame(frameTypes.settings, Buffer.from('000300000064', 'hex'));
    expect(await attack(times(settings, 100), 10_000)).toBe(true);
  });

  it('that never ends its headers', async () => {
    const start = frame(frameTypes.headers, callHeaders('ConsumeService/ConsumeStream'), 0, 3);
    const more = frame(frameTypes.continuation, literalHeader('x', 'y'.repeat(100)), 0, 3);
    using tcp = await RawTcp.open(get().broker.server);
    tcp.write(Buffer.concat([http2Begin, start]));
    await tcp.flood(times(more, 100), 10_000);
    expect(await tcp.isClosedWithin(closedWithinMs)).toBe(true);
  });

  it('that sends data without a byte in it', async () => {
    expect(await attack(times(frame(frameTypes.data, Buffer.alloc(0), 0, 1), 100), 10_000)).toBe(
      true,
    );
  });

  it('that floods with priorities of streams', async () => {
    expect(
      await attack(times(frame(frameTypes.priority, Buffer.alloc(5), 0, 3), 1_000), 1_000),
    ).toBe(true);
  });

  it('that opens its window beyond all bounds', async () => {
    expect(await attack(frame(frameTypes.windowUpdate, uint32(2 ** 31 - 1)), 2)).toBe(true);
  });

  it('that asks for more and more streams over its limit', async () => {
    const headers = callHeaders('ConsumeService/ConsumeStream');
    const streams = Array.from({ length: 5_000 }, (_, i) =>
      frame(frameTypes.headers, headers, endHeaders, 3 + 2 * i),
    );
    expect(await attack(Buffer.concat(streams), 1)).toBe(true);
  });
});

describe('nobody else notices', () => {
  it('a million updates of a window', async () => {
    const update = frame(frameTypes.windowUpdate, uint32(1), 0, 1);
    await attackAndLeave(times(update, 1_000), 1_000);
  });

  it('headers that are small on the wire and huge when they are opened', async () => {
    // 4,000 bytes go into the table of headers once; each later byte stands for all of them.
    const remembered = Buffer.concat([
      Buffer.from([0x40, 1, 'x'.charCodeAt(0), 0x7f, 0xa1, 0x1e]),
      Buffer.alloc(4_000, 'y'),
    ]);
    const bomb = Buffer.concat([
      callHeaders('ConsumeService/ConsumeStream'),
      remembered,
      Buffer.alloc(10_000, 0xbe),
    ]);
    using tcp = await RawTcp.open(get().broker.server);
    tcp.write(http2Begin);
    for (let i = 0; i < 50; i++) {
      tcp.write(frame(frameTypes.headers, bomb, endHeaders, 1 + 2 * i));
    }
    // Each stream is reset, or the whole connection ends: what is opened is never kept.
    await expect.poll(() => isAnsweredBy(tcp)).toBe(true);
  });
});

describeAfterwards(get);

/** Sends it all, and a ping whose answer says that it has all been read. */
async function attackAndLeave(bytes: Buffer, count: number): Promise<void> {
  using tcp = await RawTcp.open(get().broker.server);
  tcp.write(Buffer.concat([http2Begin, open]));
  expect(await tcp.flood(bytes, count)).toBe(count);
  tcp.write(frame(frameTypes.ping, Buffer.from('all read')));
  await expect
    .poll(() => tcp.received.includes('all read'), { timeout: closedWithinMs })
    .toBe(true);
  const served = get().steady.publishedCount;
  await expect.poll(() => get().steady.publishedCount).toBeGreaterThan(served + 5);
}

async function isAnsweredBy(tcp: RawTcp): Promise<boolean> {
  if (await tcp.isClosedWithin(1)) return true;
  const resets = tcp.received.toString('hex').match(/000004030000000[0-9a-f]{3}/g) ?? [];
  return resets.length > 0;
}
