// Who stays while the broker is crowded, on a real gRPC server: a connection is proven by a call that was let in.
import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Server, ServerCredentials, status, type ServerDuplexStream } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../broker/core/clock.ts';
import { limits } from '../../broker/core/limits.ts';
import { silentLog } from '../../broker/core/log.ts';
import { Connections } from '../../broker/server/connections.ts';
import { GrpcPort } from '../../broker/server/grpc-port.ts';
import { setHttp2Options, watchListeners } from '../../broker/server/grpc-window.ts';
import { frame, framesOf, frameTypes, http2Begin } from '../support/http2-frames.ts';
import { RawTcp } from '../support/raw-tcp.ts';

const path = '/test.Guarded/Hold';
const leftWithin = { timeout: 10_000 };
let server: Server;
let connections: Connections;
let port: GrpcPort;
let address: string;
/** Sessions of HTTP/2 that were made. */
let sessionCount: number;

/** A server whose one method takes a stream, or refuses it when the caller has no `good` header. */
beforeEach(async () => {
  server = new Server();
  setHttp2Options(server);
  const bytes = (frame: Buffer): Buffer => frame;
  const method = {
    path,
    requestStream: true,
    responseStream: true,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  };
  server.addService(
    { hold: method },
    {
      hold(call: ServerDuplexStream<Buffer, Buffer>) {
        if (call.metadata.get('good').length > 0) call.on('data', () => call.end());
        else call.emit('error', { code: status.UNAUTHENTICATED, details: 'who are you?' });
      },
    },
  );
  connections = new Connections({
    connectionsMax: 10_000,
    connectionsPerAddressMax: 10_000,
    clock: systemClock,
    log: silentLog,
    isStreaming: (asked) => asked === path,
  });
  port = await GrpcPort.open({
    server,
    credentials: ServerCredentials.createInsecure(),
    connections,
    host: '127.0.0.1',
    port: 0,
  });
  address = `127.0.0.1:${port.port}`;
  sessionCount = 0;
  watchListeners(server, (http2) => http2.on('session', () => sessionCount++));
});

afterEach(() => {
  port.close();
  server.forceShutdown();
});

interface Called {
  readonly session: ClientHttp2Session;
  /** gRPC status, or '' when the call was cut off. */
  readonly ended: Promise<string>;
}

function call(session: ClientHttp2Session, headers: Readonly<Record<string, string>>): Called {
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  let code = '';
  stream.on('response', (answer) => (code = String(answer['grpc-status'] ?? '')));
  stream.on('trailers', (trailers) => (code = String(trailers['grpc-status'] ?? code)));
  stream.on('error', () => {});
  stream.resume();
  // Its own side stays open, as that of who means no good would.
  const ended = new Promise<string>((resolve) => {
    for (const event of ['end', 'close']) stream.on(event, () => resolve(code));
  });
  return { session, ended };
}

function open(): ClientHttp2Session {
  const session = connectHttp2(`http://${address}`);
  session.on('error', () => {});
  return session;
}

describe('a crowd of silent connections', () => {
  it('makes room by its oldest; who has called stays', async () => {
    const caller = open();
    const held = call(caller, { good: 'yes' });
    await expect.poll(() => connections.unprovenCount).toBe(0);
    const crowd: RawTcp[] = [];
    for (let i = 0; i < limits.connectionsUnprovenMax + 50; i++) {
      crowd.push(await RawTcp.open(address));
    }
    await expect.poll(() => connections.refusedCount('crowded')).toBe(50);
    expect(connections.unprovenCount).toBe(limits.connectionsUnprovenMax);
    for (const tcp of crowd.slice(0, 50)) expect(await tcp.isClosedWithin(5_000)).toBe(true);
    expect(caller.destroyed).toBe(false);
    // A newcomer who means it is served.
    const newcomer = open();
    const second = call(newcomer, { good: 'yes' });
    await expect.poll(() => connections.unprovenCount).toBe(limits.connectionsUnprovenMax - 1);
    for (const session of [caller, newcomer]) session.destroy();
    await held.ended;
    await second.ended;
    for (const tcp of crowd) tcp[Symbol.dispose]();
    await expect.poll(() => connections.count, leftWithin).toBe(0);
    expect(connections.unprovenCount).toBe(0);
  });

  it('is forgotten with the calls that it had', async () => {
    const sessions = Array.from({ length: 20 }, () => open());
    const calls = sessions.map((session, i) => call(session, i % 2 === 0 ? { good: 'yes' } : {}));
    await expect.poll(() => connections.count).toBe(20);
    for (const session of sessions) session.destroy();
    await Promise.all(calls.map(({ ended }) => ended));
    await expect.poll(() => connections.count, leftWithin).toBe(0);
    // Streams end after their connection.
    await expect.poll(() => connections.unprovenCount).toBe(0);
  });
});

describe('a connection', () => {
  it('is a socket and no more until its greeting is whole, however it comes', async () => {
    using tcp = await RawTcp.open(address);
    for (const byte of http2Begin.subarray(0, -1)) {
      tcp.write(Buffer.from([byte]));
      await nextTurn();
    }
    const others = await Promise.all(Array.from({ length: 20 }, () => RawTcp.open(address)));
    await expect.poll(() => connections.count).toBe(21);
    expect(sessionCount).toBe(0);
    expect(tcp.received).toHaveLength(0);
    tcp.write(http2Begin.subarray(-1));
    // The settings of the server, and its answer to those of the client.
    await expect.poll(() => framesOf(tcp.received).map(({ type }) => type)).toContain(4);
    expect(sessionCount).toBe(1);
    for (const other of others) other[Symbol.dispose]();
    await expect.poll(() => connections.count, leftWithin).toBe(1);
  });

  it('that does not greet as a client of HTTP/2 is closed at its first bytes', async () => {
    using tcp = await RawTcp.open(address);
    tcp.write('GET / HTTP/1.1\r\n\r\n');
    expect(await tcp.isClosedWithin(5_000)).toBe(true);
    expect(connections.refusedCount('protocol')).toBe(1);
    expect(sessionCount).toBe(0);
  });

  it('that floods in the breath of its greeting ends alone, however much it sent while it waited', async () => {
    const pings = Buffer.concat(
      Array.from({ length: 8_000 }, () => frame(frameTypes.ping, Buffer.alloc(8))),
    );
    const flooders = await Promise.all(Array.from({ length: 40 }, () => RawTcp.open(address)));
    for (const tcp of flooders) tcp.write(http2Begin).write(pings);
    for (const tcp of flooders) {
      expect(await tcp.isClosedWithin(10_000)).toBe(true);
      tcp[Symbol.dispose]();
    }
    expect(connections.refusedCount('pings')).toBe(40);
  });

  it('may be gone before its turn has come', async () => {
    for (let i = 0; i < 50; i++) {
      using tcp = await RawTcp.open(address);
      tcp.write(http2Begin);
    }
    await expect.poll(() => connections.count, leftWithin).toBe(0);
  });
});

describe('a connection whose calls are all refused as unauthenticated', () => {
  it('counts as silent, and is closed after a few', async () => {
    const session = open();
    for (let i = 1; i < limits.unauthenticatedCallsMax; i++) {
      expect(await call(session, {}).ended).toBe(String(status.UNAUTHENTICATED));
    }
    expect(connections.unprovenCount).toBe(1);
    await call(session, {}).ended;
    await expect.poll(() => session.destroyed).toBe(true);
    expect(connections.refusedCount('unauthenticated')).toBe(1);
  });

  it('is another matter once one call was let in', async () => {
    const session = open();
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      good: 'yes',
    });
    stream.end(Buffer.alloc(5));
    stream.resume();
    await new Promise((resolve) => stream.on('close', resolve));
    for (let i = 0; i < 2 * limits.unauthenticatedCallsMax; i++) {
      expect(await call(session, {}).ended).toBe(String(status.UNAUTHENTICATED));
    }
    expect(connections.unprovenCount).toBe(0);
    session.destroy();
  });
});
