// What the broker reaches into grpc-js for, seen from outside: by an HTTP/2 client that looks at what it is offered,
// and sends as long as the windows let it. Fails when another version of grpc-js no longer does it.
import { once } from 'node:events';
import { connect, type ClientHttp2Session, type Settings } from 'node:http2';
import { Duplex, Writable } from 'node:stream';
import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { limits } from '../../broker/core/limits.ts';
import {
  boundStreamBuffers,
  setHttp2Options,
  watchListeners,
} from '../../broker/server/grpc-window.ts';

/** What HTTP/2 and grpc-js give to a stream and a connection by themselves. */
const usualWindowBytes = 65_535;
const path = '/test.Echo/Hold';
const frameBytes = 100_000;

/** A server with one method that reads nothing until it is told to. */
class HoldingServer implements AsyncDisposable {
  readonly server = new Server({ 'grpc.max_receive_message_length': -1 });
  /** The newest call. */
  call: ServerDuplexStream<Buffer, Buffer> | undefined;
  sessionCount = 0;
  port = 0;

  static async start(wide: boolean): Promise<HoldingServer> {
    const holding = new HoldingServer();
    const { server } = holding;
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
          call.on('error', () => {});
          if (wide) boundStreamBuffers(call);
          holding.call = call;
        },
      },
    );
    if (wide) setHttp2Options(server);
    holding.port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
        error === null ? resolve(port) : reject(error),
      );
    });
    if (wide) watchListeners(server, (http2) => http2.on('session', () => holding.sessionCount++));
    return holding;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.forceShutdown();
  }
}

async function withSession(
  wide: boolean,
  look: (session: ClientHttp2Session, holding: HoldingServer) => Promise<void>,
): Promise<void> {
  await using holding = await HoldingServer.start(wide);
  const session = connect(`http://127.0.0.1:${holding.port}`);
  session.on('error', () => {});
  try {
    // Settings first; the window of the connection follows in a frame of its own, before the answer to a ping.
    const [settings] = (await once(session, 'remoteSettings')) as [Settings];
    expect(settings.initialWindowSize ?? usualWindowBytes).toBe(
      wide ? limits.receiveWindowBytes : usualWindowBytes,
    );
    await new Promise<void>((resolve, reject) => {
      session.ping((error) => (error === null ? resolve() : reject(error)));
    });
    await look(session, holding);
  } finally {
    session.destroy();
  }
}

function openStream(session: ClientHttp2Session) {
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.on('error', () => {});
  return stream;
}

/** A gRPC message of `frameBytes`. */
function message(): Buffer {
  const frame = Buffer.alloc(5 + frameBytes);
  frame.writeUInt32BE(frameBytes, 1);
  return frame;
}

describe('the windows that the server offers', () => {
  it('are those of the limits, for each stream and for the connection', async () => {
    await withSession(true, async (session, holding) => {
      expect(session.state.remoteWindowSize).toBe(limits.receiveWindowBytes);
      expect(holding.sessionCount).toBe(1);
    });
  });

  it('without this would be so small that a publisher waits for each batch', async () => {
    await withSession(false, async (session) => {
      expect(session.state.remoteWindowSize).toBe(usualWindowBytes);
    });
  });

  it('let a client send many times the usual window while nobody reads', async () => {
    await withSession(true, async (session, holding) => {
      const stream = openStream(session);
      for (let i = 0; i < 20; i++) stream.write(message());
      await expect.poll(() => holding.call).toBeDefined();
      // Everything is sent: nothing is left in the client's own buffer.
      await expect.poll(() => stream.writableLength).toBe(0);
      expect(session.state.remoteWindowSize).toBeLessThan(limits.receiveWindowBytes);
    });
  });
});

describe('what a stream of the server buffers while it is not read', () => {
  const sent = 8;

  /** After the first message nothing is read until all have been sent. */
  async function buffered(wide: boolean): Promise<number> {
    let count = -1;
    await withSession(wide, async (session, holding) => {
      const stream = openStream(session);
      stream.write(message());
      await expect.poll(() => holding.call).toBeDefined();
      const { call } = holding;
      if (call === undefined) return;
      let received = 0;
      call.on('data', () => {
        received++;
        if (received === 1) call.pause();
      });
      await expect.poll(() => received).toBe(1);
      for (let i = 1; i < sent; i++) stream.write(message());
      await expect.poll(() => call.readableLength).toBeGreaterThan(0);
      await settled(() => call.readableLength);
      count = call.readableLength;
      call.resume();
      await expect.poll(() => received).toBe(sent);
    });
    return count;
  }

  it('is one request message; further ones stay in HTTP/2', async () => {
    expect(await buffered(true)).toBe(1);
  });

  it('without this would be all of them, up to sixteen', async () => {
    expect(await buffered(false)).toBe(sent - 1);
  });
});

/** Resolves when the number has stayed the same for 100 ms. */
async function settled(read: () => number): Promise<void> {
  let last = read();
  let since = performance.now();
  await expect
    .poll(() => {
      if (read() !== last) since = performance.now();
      last = read();
      return performance.now() - since;
    })
    .toBeGreaterThan(100);
}

describe('a grpc-js that has changed', () => {
  it('is refused at start, not found out under load', () => {
    const other = {} as Server;
    expect(() => setHttp2Options(other)).toThrow(/no longer has commonServerOptions/);
    expect(() => watchListeners(other, () => {})).toThrow(/no longer has http2Servers/);
    expect(() => boundStreamBuffers({} as Writable)).toThrow(/no longer has _writableState/);
  });

  it('is the only one refused: streams of Node have what is reached for', () => {
    const duplex = new Duplex({ objectMode: true });
    boundStreamBuffers(duplex);
    expect([duplex.readableHighWaterMark, duplex.writableHighWaterMark]).toEqual([1, 2]);
    const writable = new Writable({ objectMode: true });
    boundStreamBuffers(writable);
    expect(writable.writableHighWaterMark).toBe(2);
  });
});
