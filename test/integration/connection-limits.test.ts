// Each limit of connections, hit from outside: how many, how long silent, how much per call. What may be set is set
// low here; what may not is waited for, all at once.
import { once } from 'node:events';
import {
  connect as connectHttp2,
  constants,
  type ClientHttp2Session,
  type ClientHttp2Stream,
} from 'node:http2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { limits } from '../../broker/core/limits.ts';
import { connect } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import {
  callHeaders,
  endHeaders,
  frame,
  frameTypes,
  framesOf,
  http2Begin,
  http2Preface,
} from '../support/http2-frames.ts';
import { metric } from '../support/metric.ts';
import { itNeeding } from '../support/needs.ts';
import { openRead } from '../support/raw-read.ts';
import { RawTcp } from '../support/raw-tcp.ts';
import { TlsDirectory } from '../support/tls-directory.ts';

const perAddress = 100;
const inAll = 120;
const shortMs = 1_000;
const files = new TlsDirectory();
const notLinux =
  process.platform === 'linux'
    ? undefined
    : 'the whole of 127.0.0.0/8 as own addresses needs Linux';

let broker: BrokerProcess;
let tlsBroker: BrokerProcess;
/** With the times of the defaults. */
let usual: BrokerProcess;

beforeAll(async () => {
  const times = ['--connection-idle-ms', '--keepalive-interval-ms'].flatMap((flag) => [
    flag,
    String(shortMs),
  ]);
  broker = await BrokerProcess.start({
    args: [
      ...times,
      '--connections-max',
      String(inAll),
      '--connections-per-address-max',
      String(perAddress),
    ],
  });
  usual = await BrokerProcess.start();
  tlsBroker = await BrokerProcess.start({
    args: [...files.args, '--connection-age-ms', String(shortMs)],
  });
});

afterAll(async () => {
  await broker[Symbol.asyncDispose]();
  await tlsBroker[Symbol.asyncDispose]();
  await usual[Symbol.asyncDispose]();
  files[Symbol.dispose]();
});

const refused = (cause: string, of = broker): Promise<number> =>
  metric(of, `millrace_connections_refused_total{cause="${cause}"}`);

describe('connections', () => {
  itNeeding(notLinux, 'are refused beyond so many of one address, and in all', async () => {
    const open: RawTcp[] = [];
    const connectFrom = async (address: string): Promise<RawTcp> => {
      const tcp = await RawTcp.open(broker.server, address);
      open.push(tcp);
      return tcp;
    };
    try {
      for (let i = 0; i < perAddress; i++) await connectFrom('127.0.0.2');
      expect(await (await connectFrom('127.0.0.2')).isClosedWithin(1_000)).toBe(true);
      const other = await connectFrom('127.0.0.3');
      expect(await other.isClosedWithin(100)).toBe(false);
      for (let i = perAddress + 1; i < inAll; i++) await connectFrom('127.0.0.3');
      expect(await (await connectFrom('127.0.0.4')).isClosedWithin(1_000)).toBe(true);
      expect(await refused('address')).toBe(1);
      expect(await refused('connections')).toBe(1);
    } finally {
      for (const tcp of open) tcp[Symbol.dispose]();
    }
    await expect.poll(() => metric(broker, 'millrace_connections')).toBe(0);
    using again = await RawTcp.open(broker.server, '127.0.0.2');
    expect(await again.isClosedWithin(100)).toBe(false);
  });
});

describe.concurrent('a connection that makes no call is closed in time', () => {
  const { firstCallMs, tlsHandshakeMs } = limits;
  const unary = callHeaders('PublishService/Publish');
  const cases: readonly (readonly [string, () => BrokerProcess, number, Buffer, Buffer])[] = [
    ['silent', () => usual, firstCallMs, Buffer.alloc(0), Buffer.alloc(0)],
    ['after the preface', () => usual, firstCallMs, http2Begin, Buffer.alloc(0)],
    [
      'in the middle of its headers',
      () => usual,
      firstCallMs,
      Buffer.concat([http2Begin, frame(frameTypes.headers, unary.subarray(0, 9), 0, 1)]),
      Buffer.alloc(0),
    ],
    [
      'in the middle of its request',
      () => usual,
      firstCallMs,
      Buffer.concat([http2Begin, frame(frameTypes.headers, unary, endHeaders, 1)]),
      Buffer.alloc(0),
    ],
    ['with a byte a second', () => usual, firstCallMs, Buffer.alloc(0), http2Begin],
    ['before TLS', () => tlsBroker, tlsHandshakeMs, Buffer.alloc(0), Buffer.alloc(0)],
    [
      'in the middle of a hello',
      () => tlsBroker,
      tlsHandshakeMs,
      Buffer.from('1603010200', 'hex'),
      Buffer.alloc(0),
    ],
    ['with plain text where TLS is spoken', () => tlsBroker, 0, http2Preface, Buffer.alloc(0)],
  ];
  it.each(cases)('%s', async (_, of, withinMs, first, slowly) => {
    using tcp = await RawTcp.open(of().server);
    const startMs = performance.now();
    tcp.write(first);
    let isClosed = false;
    for (let i = 0; !isClosed && performance.now() - startMs < 20_000; i++) {
      if (i < slowly.length) tcp.write(slowly.subarray(i, i + 1));
      isClosed = await tcp.isClosedWithin(1_000);
    }
    const tookMs = performance.now() - startMs;
    expect(isClosed).toBe(true);
    expect(tookMs).toBeGreaterThan(withinMs * 0.95);
    expect(tookMs).toBeLessThan(withinMs + 5_000);
  });

  it('of the HTTP port, too', async () => {
    for (const first of ['', 'GET /livez HTTP/1.1\r\n']) {
      using tcp = await RawTcp.open(broker.http);
      tcp.write(first);
      expect(await tcp.isClosedWithin(10_000)).toBe(true);
    }
  });

  it('that answers no ping, once it has called', async () => {
    using tcp = await RawTcp.open(broker.server);
    tcp.write(
      Buffer.concat([
        http2Begin,
        frame(frameTypes.headers, callHeaders('No/Method'), endHeaders + 1, 1),
      ]),
    );
    const stream = frame(
      frameTypes.headers,
      callHeaders('ConsumeService/ConsumeStream'),
      endHeaders,
      3,
    );
    tcp.write(stream);
    // A stream is open, so it is not idle; the pings of the broker are never answered.
    const withinMs = shortMs + limits.keepaliveTimeoutMs;
    expect(await tcp.isClosedWithin(withinMs - 500)).toBe(false);
    expect(await tcp.isClosedWithin(withinMs + 5_000)).toBe(true);
  });
});

describe('a connection is told to go', () => {
  it('when it has made no call for a while, and comes back with the next', async () => {
    await using client = connect({ server: broker.server });
    await client.cluster();
    expect(await metric(broker, 'millrace_connections')).toBe(1);
    await expect.poll(() => metric(broker, 'millrace_connections'), { timeout: 5_000 }).toBe(0);
    await client.cluster();
    expect(await metric(broker, 'millrace_connections')).toBe(1);
  });

  it('when it is old; its streams go on, and the next call is on a new one', async () => {
    const tls = { ca: files.ca.cert };
    await using client = connect({ server: tlsBroker.server, tls });
    const publisher = client.publisher('old');
    await client.topics.apply('old');
    const offsets: number[] = [];
    const startMs = performance.now();
    while (performance.now() - startMs < 2.5 * shortMs) {
      offsets.push((await publisher.publish({ value: 'x' })).offset);
      await client.cluster();
    }
    expect(offsets).toEqual(offsets.map((_, i) => i));
    // The publisher's stream holds the first one; calls moved on to younger ones.
    expect(await metric(tlsBroker, 'millrace_connections')).toBeGreaterThan(1);
  });
});

describe('one connection', () => {
  it('has so many streams; more are refused', async () => {
    using tcp = await RawTcp.open(broker.server);
    const headers = callHeaders('ConsumeService/ConsumeStream');
    const { streamsPerConnectionMax } = limits;
    const streams = Array.from({ length: streamsPerConnectionMax + 1 }, (_, i) =>
      frame(frameTypes.headers, headers, endHeaders, 1 + 2 * i),
    );
    tcp.write(Buffer.concat([http2Begin, ...streams]));
    const resets = (): number[] =>
      framesOf(tcp.received)
        .filter(({ type }) => type === frameTypes.reset)
        .map(({ stream }) => stream);
    await expect.poll(resets).toEqual([1 + 2 * streamsPerConnectionMax]);
  });

  it('has so much memory for what its client does not take; new streams are refused meanwhile', async () => {
    await using client = connect({ server: usual.server });
    await client.topics.apply('untaken', { partitions: 1 });
    const recordBytes = 1_000_000;
    await using publisher = client.publisher('untaken');
    await publisher.publish({ value: Buffer.alloc(recordBytes, 1) });
    const heldMax = (limits.sessionMemoryMiB * 1024 * 1024) / recordBytes;
    const session = connectHttp2(`http://${usual.server}`);
    session.on('error', () => {});
    const untaken: ClientHttp2Stream[] = [];
    // It is answered, and what is read is left to lie.
    const isTaken = async (): Promise<boolean> => {
      const stream = openRead(session, 'untaken');
      const taken = await new Promise<boolean>((resolve) => {
        stream.once('response', () => resolve(true));
        stream.once('close', () => resolve(false));
      });
      if (taken) untaken.push(stream);
      else expect(stream.rstCode).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM);
      return taken;
    };
    try {
      await expect.poll(isTaken, { timeout: 20_000, interval: 5 }).toBe(false);
      expect(untaken.length).toBeGreaterThan(heldMax / 2);
      expect(untaken.length).toBeLessThan(heldMax * 1.5);
      // Others have their own.
      expect((await client.cluster()).clusterId).not.toBe('');
    } finally {
      session.destroy();
    }
  });

  it('is told to go when many of its streams left before all was sent, and loses none', async () => {
    await using client = connect({ server: usual.server });
    await client.topics.apply('left', { partitions: 1 });
    await using publisher = client.publisher('left');
    await publisher.publish({ value: Buffer.alloc(1_000_000, 1) });
    const session = connectHttp2(`http://${usual.server}`);
    session.on('error', () => {});
    let goneCount = 0;
    session.once('goaway', () => goneCount++);
    const kept = openRead(session, 'left');
    try {
      const enough = Math.ceil(limits.sessionUnsentBytes / 1_000_000) + 5;
      const left = Array.from({ length: enough }, () => openRead(session, 'left'));
      await Promise.all(left.map((stream) => once(stream, 'response')));
      expect(goneCount).toBe(0);
      for (const stream of left) stream.close(constants.NGHTTP2_CANCEL);
      await expect.poll(() => goneCount).toBe(1);
      // What is open goes on to its end.
      let receivedBytes = 0;
      kept.on('data', (chunk: Buffer) => (receivedBytes += chunk.length));
      await expect.poll(() => receivedBytes).toBeGreaterThan(1_000_000);
    } finally {
      session.destroy();
    }
  });

  it.each([
    ['bytes', { x: 'y'.repeat(limits.headerListBytesMax) }],
    [
      'number',
      Object.fromEntries(
        Array.from({ length: limits.headerListPairsMax }, (_, i) => [`x-${i}`, 'y']),
      ),
    ],
  ])('has headers up to a limit of %s', async (_, headers) => {
    const session = connectHttp2(`http://${broker.server}`, { maxHeaderListPairs: 1_000 });
    session.on('error', () => {});
    try {
      await expect(call(session, {})).resolves.toMatch(/^200/);
      await expect(call(session, headers)).resolves.not.toMatch(/^200/);
      expect(session.remoteSettings.maxHeaderListSize).toBe(limits.headerListBytesMax);
      expect(session.remoteSettings.maxConcurrentStreams).toBe(limits.streamsPerConnectionMax);
    } finally {
      session.destroy();
    }
  });
});

/** HTTP status of a call, or the code that its stream was reset with. */
function call(
  session: ClientHttp2Session,
  headers: Readonly<Record<string, string>>,
): Promise<string> {
  const stream = session.request({
    ':method': 'POST',
    ':path': '/millrace.v1.ClusterService/GetCluster',
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  stream.end(Buffer.alloc(5));
  stream.resume();
  return new Promise((resolve) => {
    stream.on('response', (answer) => resolve(String(answer[':status'])));
    stream.on('error', () => {});
    stream.on('close', () =>
      resolve(stream.rstCode === constants.NGHTTP2_NO_ERROR ? 'ended' : `reset ${stream.rstCode}`),
    );
  });
}
