// Gives the gRPC server larger HTTP/2 receive windows than grpc-js does (it keeps 64 KiB and offers no option:
// grpc/grpc-node #3058), bounds how many request messages it buffers per stream, and sets the limits of HTTP/2 itself.
//
// This file reaches into grpc-js 1.14: `Server.commonServerOptions`, `Server.http2Servers` and the highWaterMarks of a
// stream. A test fails when one of them stops working.
import type { Server } from '@grpc/grpc-js';
import type { Http2Server, ServerHttp2Stream, ServerOptions } from 'node:http2';
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

/** Before binding: the window of every stream, and what HTTP/2 takes from a client. */
export function setHttp2Options(server: Server): void {
  const options = (server as unknown as ServerInside).commonServerOptions;
  if (options === undefined) throw moved('commonServerOptions');
  options.settings = {
    ...options.settings,
    initialWindowSize: limits.receiveWindowBytes,
    maxHeaderListSize: limits.headerListBytesMax,
  };
  options.maxHeaderListPairs = limits.headerListPairsMax;
  options.maxSessionInvalidFrames = limits.invalidFramesMax;
  options.maxSessionRejectedStreams = limits.rejectedStreamsMax;
}

/** Before anything is accepted: the window of every connection, and each HTTP/2 server for who watches it. */
export function watchListeners(server: Server, watch: (http2: Http2Server) => void): void {
  const servers = (server as unknown as ServerInside).http2Servers;
  if (servers === undefined) throw moved('http2Servers');
  for (const http2 of servers.keys()) {
    http2.on('session', (session) => session.setLocalWindowSize(limits.receiveWindowBytes));
    watch(http2);
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

/**
 * Tells how many bytes had not been sent of each stream that ends before all are. Node goes on counting them towards
 * the memory of the session, for as long as that lives.
 */
export function watchUnsent(stream: ServerHttp2Stream, tell: (bytes: number) => void): void {
  const destroy = stream._destroy.bind(stream);
  stream._destroy = (error, callback) => {
    const { writableLength } = stream;
    destroy(error, callback);
    if (writableLength > 0) tell(writableLength);
  };
}

function moved(what: string): BrokerError {
  return new BrokerError(
    'INTERNAL',
    `grpc-js no longer has ${what}; pin the version that the broker was tested with`,
  );
}
