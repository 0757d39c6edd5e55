// Gives the gRPC server larger HTTP/2 receive windows than grpc-js does (it keeps 64 KiB and offers no option:
// grpc/grpc-node #3058), and bounds how many request messages it buffers per stream.
//
// This file reaches into grpc-js 1.14: `Server.commonServerOptions`, `Server.http2Servers` and the highWaterMarks of a
// stream. A test fails when one of them stops working.
import type { Server } from '@grpc/grpc-js';
import type { Http2Server, ServerHttp2Session, ServerOptions } from 'node:http2';
import type { Duplex, Writable } from 'node:stream';
import { BrokerError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';

interface ServerInside {
  readonly commonServerOptions?: ServerOptions;
  readonly http2Servers?: Map<Http2Server, unknown>;
}

interface StreamInside {
  readonly _readableState?: { highWaterMark: number };
  readonly _writableState?: { highWaterMark: number };
}

/** Before binding: the window of every stream. */
export function widenStreamWindows(server: Server): void {
  const options = (server as unknown as ServerInside).commonServerOptions;
  if (options === undefined) throw moved('commonServerOptions');
  options.settings = { ...options.settings, initialWindowSize: limits.receiveWindowBytes };
}

/** After binding: the window of every connection, and a look at each new one. */
export function watchSessions(server: Server, onSession: (session: ServerHttp2Session) => void) {
  const servers = (server as unknown as ServerInside).http2Servers;
  if (servers === undefined) throw moved('http2Servers');
  for (const http2 of servers.keys()) {
    http2.on('session', (session) => {
      session.setLocalWindowSize(limits.receiveWindowBytes);
      onSession(session);
    });
  }
}

/**
 * Lets a stream buffer one request message and one or two responses instead of sixteen of each: a stalled stream then
 * costs its window and a few messages, however large messages are.
 */
export function boundStreamBuffers(call: Duplex | Writable, responses = 2): void {
  const { _readableState, _writableState } = call as unknown as StreamInside;
  if (_writableState === undefined) throw moved('_writableState');
  _writableState.highWaterMark = responses;
  if (_readableState !== undefined) _readableState.highWaterMark = 1;
}

function moved(what: string): BrokerError {
  return new BrokerError(
    'INTERNAL',
    `grpc-js no longer has ${what}; pin the version that the broker was tested with`,
  );
}
