// Where a connection waits until it has begun as a client would: a socket and the few bytes that it has sent.
//
//   accepted ──first bytes──▶ in turn ──▶ handed over: TLS, HTTP/2, gRPC
//      │ wrong, or no TLS hello in time
//      └─────────────▶ turned away
//
// Invariants:
// - No session, neither of TLS nor of HTTP/2, is made for a client that has not sent its whole greeting. One costs a
//   hundred times what a socket does, in memory and in the garbage that pauses everybody.
// - At most one session is made in a turn of the event loop.
import type { Socket } from 'node:net';
import type { Clock, Timer } from '../core/clock.ts';
import { limits } from '../core/limits.ts';
import { http2Begins, tlsBegins, type FirstBytes } from './first-bytes.ts';
import { Turns } from './turns.ts';

export interface DoorstepOptions {
  readonly isTls: boolean;
  readonly clock: Clock;
  /** What the socket has received can still be read from it. */
  handOver(socket: Socket): void;
  turnAway(socket: Socket, why: 'handshake' | 'protocol'): void;
}

const nothing = Buffer.alloc(0);

export class Doorstep {
  private readonly options: DoorstepOptions;
  private readonly begins: (bytes: Buffer) => FirstBytes;
  private readonly turns: Turns<Socket>;

  constructor(options: DoorstepOptions) {
    this.options = options;
    this.begins = options.isTls ? tlsBegins : http2Begins;
    this.turns = new Turns((socket) => {
      if (socket.destroyed) return;
      gather(socket);
      options.handOver(socket);
    });
  }

  /** Until it has begun, is wrong, or is destroyed. How long it may take in all is for others to say. */
  wait(socket: Socket): void {
    const { isTls, clock } = this.options;
    let received: Buffer = nothing;
    let timer: Timer | undefined;
    const look = (): void => {
      const chunk = read(socket);
      if (chunk === null) return;
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      const found = this.begins(received);
      if (found === 'more') return;
      timer?.cancel();
      socket.off('readable', look);
      if (found === 'wrong') {
        this.options.turnAway(socket, isTls ? 'handshake' : 'protocol');
        return;
      }
      socket.unshift(received);
      this.turns.add(socket);
    };
    if (isTls) {
      timer = clock.after(limits.tlsHandshakeMs, () => this.options.turnAway(socket, 'handshake'));
    }
    socket.on('readable', look);
    // Who resets a connection has closed it, nothing else.
    socket.on('error', () => {});
    socket.once('close', () => {
      timer?.cancel();
      this.turns.delete(socket);
    });
  }
}

/**
 * Makes one chunk of all that has been received. Node gives a session what its socket has, chunk by chunk, and throws
 * when the first of them has ended the session and there is another.
 */
function gather(socket: Socket): void {
  const chunks: Buffer[] = [];
  for (let chunk = read(socket); chunk !== null; chunk = read(socket)) chunks.push(chunk);
  if (chunks.length > 0) socket.unshift(Buffer.concat(chunks));
}

function read(socket: Socket): Buffer | null {
  return socket.read() as Buffer | null;
}
