// Bytes that are no HTTP/2, no gRPC, or no message, against a real broker. What is well-formed and still wrong:
// garbage.test.ts.
import { connect as connectHttp2 } from 'node:http2';
import { gzipSync } from 'node:zlib';
import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { limits } from '../../broker/core/limits.ts';
import { seededRandom } from '../../broker/core/random.ts';
import { plainBatch, record } from '../batch/batch-arbitrary.ts';
import {
  callHeaders,
  endHeaders,
  frame,
  frameOfLength,
  frameTypes,
  http2Begin,
  http2Preface,
  uint32,
} from '../support/http2-frames.ts';
import { append, openPublisher } from '../support/raw-publisher.ts';
import { RawTcp } from '../support/raw-tcp.ts';
import { describeAfterwards, mistreatBroker } from './mistreated-broker.ts';

const topic = 'noise';
const closedWithinMs = 10_000;
const plain = plainBatch([record({ value: Buffer.from('x') })]);
const get = mistreatBroker(topic);

describe('bytes that are no HTTP/2', () => {
  const random = seededRandom(7);
  const noise = (bytes: number): Buffer =>
    Buffer.from(Array.from({ length: bytes }, () => Math.floor(random.next() * 256)));
  it.each([
    ['noise', noise(4_096)],
    ['an HTTP/1 request', Buffer.from('GET / HTTP/1.1\r\nhost: broker\r\n\r\n')],
    [
      'an HTTP/1 upgrade',
      Buffer.from('GET / HTTP/1.1\r\nupgrade: h2c\r\nhttp2-settings: \r\n\r\n'),
    ],
    ['a TLS hello', Buffer.from('16030102000100', 'hex')],
    ['noise after the preface', Buffer.concat([http2Preface, noise(4_096)])],
    ['a frame of 16 MiB', Buffer.concat([http2Begin, frameOfLength(0xffffff, 0, noise(64))])],
    ['headers that do not decompress', Buffer.concat([http2Begin, frame(1, noise(64))])],
    ['data of a stream that is not open', Buffer.concat([http2Begin, frame(0, noise(4))])],
    ['settings of a wrong length', Buffer.concat([http2Begin, frame(4, noise(5))])],
  ])('%s: the connection is closed', async (_, bytes) => {
    using tcp = await RawTcp.open(get().broker.server);
    tcp.write(bytes);
    expect(await tcp.isClosedWithin(closedWithinMs)).toBe(true);
  });

  it('a hundred connections of noise, of silence, and of one byte at a time harm nobody', async () => {
    const connections: RawTcp[] = [];
    for (let i = 0; i < 100; i++) {
      const tcp = await RawTcp.open(get().broker.server);
      connections.push(tcp);
      if (i % 3 === 0) tcp.write(noise(200));
      if (i % 3 === 1) tcp.write(http2Preface.subarray(0, 1 + (i % http2Preface.length)));
    }
    for (const byte of http2Begin.subarray(0, 30)) {
      for (const [i, tcp] of connections.entries()) if (i % 3 === 2) tcp.write(Buffer.from([byte]));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    for (const tcp of connections) tcp[Symbol.dispose]();
  });
});

describe('the HTTP port', () => {
  it('answers what it does not have with 404, other methods with 405, and closes on noise', async () => {
    expect((await fetch(`http://${get().broker.http}/../../etc/passwd`)).status).toBe(404);
    expect((await fetch(`http://${get().broker.http}/metrics`, { method: 'POST' })).status).toBe(
      405,
    );
    for (const bytes of [Buffer.from('\x00\x01\x02\r\n\r\n'), http2Preface]) {
      using tcp = await RawTcp.open(get().broker.http);
      tcp.write(bytes);
      expect(await tcp.isClosedWithin(closedWithinMs)).toBe(true);
    }
    const long = Buffer.from(`GET / HTTP/1.1\r\nhost: b\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`);
    using tcp = await RawTcp.open(get().broker.http);
    tcp.write(long);
    expect(await tcp.isClosedWithin(closedWithinMs)).toBe(true);
    expect(tcp.received.toString()).toMatch(/^HTTP\/1.1 431 /);
  });
});

describe('gRPC frames', () => {
  const tooLarge = Buffer.alloc(limits.requestBytesMax + 1);

  it('over the limit are refused, on calls and on streams', async () => {
    const { code } = await get().grpc.refusal('PublishService/Publish', tooLarge);
    expect(code).toBe(status.RESOURCE_EXHAUSTED);
    const stream = get().grpc.duplex('PublishService/PublishStream').write(tooLarge);
    expect((await stream.end()).code).toBe(status.RESOURCE_EXHAUSTED);
  });

  const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024));
  const prefixed = (flag: number, length: number, bytes: Buffer): Buffer => {
    const head = Buffer.alloc(5);
    head[0] = flag;
    head.writeUInt32BE(length, 1);
    return Buffer.concat([head, bytes]);
  };
  it.each([
    ['a length of 4 GiB', prefixed(0, 2 ** 32 - 1, Buffer.alloc(10)), undefined],
    ['a gzip bomb of 64 MiB', prefixed(1, bomb.length, bomb), 'gzip'],
    ['what is not gzip', prefixed(1, 4, Buffer.from('junk')), 'gzip'],
    ['an encoding that there is not', prefixed(1, 4, Buffer.from('junk')), 'lzma'],
    ['less than its length', prefixed(0, 100, Buffer.alloc(10)), undefined],
  ])('with %s end their call with an error', async (_, bytes, encoding) => {
    const answer = await postRaw(bytes, encoding);
    expect(answer).toMatch(/^200 [1-9]/);
  });

  it('to a method that there is not are UNIMPLEMENTED', async () => {
    for (const path of ['PublishService/Steal', 'NoService/Publish', '../PublishService/Publish']) {
      expect((await get().grpc.refusal(path, plain)).code).toBe(status.UNIMPLEMENTED);
    }
  });

  it.each([
    'PublishService/Publish',
    'TopicService/ApplyTopic',
    'TopicService/GetTopic',
    'SubscriptionService/ApplySubscription',
    'SubscriptionService/SeekSubscription',
    'ClusterService/GetCluster',
  ])('that are not the message of %s are FRAME_MALFORMED', async (path) => {
    for (const hex of ['0a05', '0b', 'ffffffffffffffffffffff', '00']) {
      const end = await get().grpc.refusal(path, Buffer.from(hex, 'hex'));
      expect(end).toMatchObject({ code: status.INVALID_ARGUMENT, reason: 'FRAME_MALFORMED' });
    }
  });

  it.each(['PublishService/PublishStream', 'ConsumeService/ConsumeStream'])(
    'that are not the message of %s are FRAME_MALFORMED and end that stream only',
    async (path) => {
      const other = await openPublisher(get().grpc, topic);
      const stream = get().grpc.duplex(path).write(Buffer.from('0a05', 'hex'));
      expect(await stream.end()).toMatchObject({ reason: 'FRAME_MALFORMED' });
      expect(await append(other, plain)).toBe('stored');
      other.cancel();
    },
  );
});

describe('streams that come and go', () => {
  it('ten thousand opened and reset in one breath cost their own connection only', async () => {
    const headers = callHeaders('ConsumeService/ConsumeStream');
    const openAndReset = (i: number): Buffer =>
      Buffer.concat([
        frame(frameTypes.headers, headers, endHeaders, 1 + 2 * i),
        frame(frameTypes.reset, uint32(8), 0, 1 + 2 * i),
      ]);
    using tcp = await RawTcp.open(get().broker.server);
    tcp.write(Buffer.concat([http2Begin, openAndReset(0)]));
    // One is nothing wrong.
    expect(await tcp.isClosedWithin(300)).toBe(false);
    tcp.write(Buffer.concat(Array.from({ length: 10_000 }, (_, i) => openAndReset(1 + i))));
    expect(await tcp.isClosedWithin(closedWithinMs)).toBe(true);
  });
});

describeAfterwards(get);

/** Sends the bytes as the body of a unary call; HTTP status and gRPC status of the answer. */
async function postRaw(body: Buffer, encoding: string | undefined): Promise<string> {
  const session = connectHttp2(`http://${get().broker.server}`);
  session.on('error', () => {});
  try {
    return await new Promise<string>((resolve, reject) => {
      const stream = session.request({
        ':method': 'POST',
        ':path': '/millrace.v1.PublishService/Publish',
        'content-type': 'application/grpc',
        te: 'trailers',
        ...(encoding !== undefined && { 'grpc-encoding': encoding }),
      });
      let http = '';
      let code = '';
      stream.on('response', (headers) => {
        http = String(headers[':status']);
        code = String(headers['grpc-status'] ?? '');
      });
      stream.on('trailers', (trailers) => (code = String(trailers['grpc-status'] ?? code)));
      stream.on('error', () => {});
      stream.on('close', () => resolve(`${http} ${code}`));
      stream.resume();
      stream.setTimeout(closedWithinMs, () => reject(new Error('no answer')));
      stream.end(body);
    });
  } finally {
    session.destroy();
  }
}
