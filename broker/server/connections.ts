// The connections of the gRPC listener, from their first packet on: how many there may be, of whom, and what one must
// do to stay. What a client costs before anybody knows who it is stays small.
//
//   accepted ──greeting──▶ begun ──first call──▶ calling ──a call is let in──▶ proven
//      │ none, or wrong       │ nothing in time    │ refused as unauthenticated, too often
//      └──────────────────────┴────────────────────┴──────────────▶ closed
//
// Invariants:
// - At most `connectionsUnprovenMax` connections are not proven and have no stream open: the oldest makes room for a
//   new one. Whoever means it calls within milliseconds and is never the oldest, however many only sit there.
// - A connection that is refused or ended is counted under its cause; the log tells each cause once a minute.
import {
  constants,
  type Http2Server,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import type { PeerCertificate, TLSSocket } from 'node:tls';
import { status } from '@grpc/grpc-js';
import type { Clock, Timer } from '../core/clock.ts';
import { limits } from '../core/limits.ts';
import type { Log } from '../core/log.ts';
import { addressGroup } from './address-group.ts';
import { Doorstep } from './doorstep.ts';
import { watchUnsent } from './grpc-window.ts';
import { PingBudget } from './ping-budget.ts';

/** Why a connection was refused or ended by the broker. */
const refusals = {
  connections: 'too many connections',
  address: 'too many connections of one address',
  crowded: 'no call yet, and too many such connections',
  silent: 'no call in time',
  unauthenticated: 'calls without good credentials only',
  pings: 'too many pings or settings',
  protocol: 'no HTTP/2',
  handshake: 'the TLS handshake failed or took too long',
  certificate: 'a client certificate that is not good',
} as const satisfies Record<string, string>;

export type Refusal = keyof typeof refusals;

export const refusalCauses = Object.keys(refusals) as readonly Refusal[];

export interface ConnectionOptions {
  readonly connectionsMax: number;
  readonly connectionsPerAddressMax: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Whether the method of that path reaches its handler with its first frame or before. */
  isStreaming(path: string): boolean;
}

interface Connection {
  readonly socket: Socket;
  readonly group: string;
  session: ServerHttp2Session | undefined;
  /** Until the first call must have come. */
  timer: Timer | undefined;
  proven: boolean;
  /** Calls that are open, and whether their handlers have them, until it is proven. */
  readonly calls: Map<ServerHttp2Stream, boolean>;
  refusedCalls: number;
  /** Of streams that ended before all was sent. */
  unsentBytes: number;
  /** Ended from here, or closed: its streams may still have something to say. */
  gone: boolean;
}

const logIntervalMs = 60_000;

export class Connections {
  private readonly options: ConnectionOptions;
  /** By address and port of the client. */
  private readonly byPeer = new Map<string, Connection>();
  private readonly perGroup = new Map<string, number>();
  /** Oldest first. */
  private readonly unproven = new Set<Connection>();
  private readonly counts = new Map<Refusal, number>();
  private readonly loggedMs = new Map<Refusal, number>();

  constructor(options: ConnectionOptions) {
    this.options = options;
  }

  get count(): number {
    return this.byPeer.size;
  }

  get unprovenCount(): number {
    return this.unproven.size;
  }

  refusedCount(cause: Refusal): number {
    return this.counts.get(cause) ?? 0;
  }

  /** The HTTP/2 side of the door, before anything is accepted. */
  watch(server: Http2Server): void {
    server.prependListener('secureConnection', (socket: TLSSocket) =>
      this.checkCertificate(socket),
    );
    server.on('tlsClientError', () => this.tally('handshake'));
    server.on('session', (session) => this.begin(session));
  }

  /** What takes the sockets of a listener; `handOver` makes sessions of those that have begun. */
  door(isTls: boolean, handOver: (socket: Socket) => void): (socket: Socket) => void {
    const { clock } = this.options;
    const doorstep = new Doorstep({
      isTls,
      clock,
      handOver,
      turnAway: (socket, why) => {
        this.tally(why);
        socket.destroy();
      },
    });
    return (socket) => {
      if (this.accept(socket)) doorstep.wait(socket);
    };
  }

  /** Ends what has no call, so that nobody waits for it. */
  close(): void {
    for (const connection of this.unproven) if (connection.calls.size === 0) end(connection);
  }

  private accept(socket: Socket): boolean {
    const { remoteAddress } = socket;
    const peer = peerOf(socket);
    const group = addressGroup(remoteAddress ?? '');
    const refusal = remoteAddress === undefined ? 'connections' : this.refusalOf(group);
    if (refusal !== undefined) {
      this.tally(refusal);
      socket.destroy();
      return false;
    }
    const connection: Connection = {
      socket,
      group,
      session: undefined,
      timer: undefined,
      proven: false,
      calls: new Map(),
      refusedCalls: 0,
      unsentBytes: 0,
      gone: false,
    };
    this.byPeer.set(peer, connection);
    this.perGroup.set(group, (this.perGroup.get(group) ?? 0) + 1);
    this.distrust(connection);
    connection.timer = this.options.clock.after(limits.firstCallMs, () => this.judge(connection));
    socket.once('close', () => this.forget(peer, connection));
    return true;
  }

  private refusalOf(group: string): Refusal | undefined {
    const { connectionsMax, connectionsPerAddressMax } = this.options;
    if (this.byPeer.size >= connectionsMax) return 'connections';
    if ((this.perGroup.get(group) ?? 0) >= connectionsPerAddressMax) return 'address';
    return undefined;
  }

  private begin(session: ServerHttp2Session): void {
    const connection = this.byPeer.get(peerOf(session.socket));
    session.on('error', () => session.destroy());
    if (connection === undefined) {
      // Not now: Node is about to give it what has been received.
      setImmediate(() => session.destroy());
      return;
    }
    connection.session = session;
    session.on('stream', (stream, headers) => {
      watchUnsent(stream, (bytes) => this.lose(connection, bytes));
      if (!connection.proven) this.call(connection, stream, String(headers[':path']));
    });
    const budget = new PingBudget(this.options.clock.monotonicMs());
    const spend = (): void => {
      if (session.destroyed) return;
      const { bytesWritten } = session.socket;
      if (budget.spend(this.options.clock.monotonicMs(), bytesWritten)) return;
      this.end(connection, 'pings');
    };
    session.on('ping', spend);
    session.on('remoteSettings', spend);
  }

  /** Its streams that are open go on; the next ones are on another connection, which remembers nothing. */
  private lose(connection: Connection, bytes: number): void {
    const { session } = connection;
    connection.unsentBytes += bytes;
    if (connection.unsentBytes < limits.sessionUnsentBytes) return;
    if (session !== undefined && !session.closed && !session.destroyed) session.close();
  }

  /** A certificate that is not asked for may be missing, but not wrong. */
  private checkCertificate(socket: TLSSocket): void {
    // Null, whatever the types say, when the client is gone already.
    const certificate: PeerCertificate | null = socket.getPeerCertificate();
    if (socket.authorized || certificate?.raw === undefined) return;
    this.tally('certificate');
    queueMicrotask(() => socket.destroy());
  }

  private call(connection: Connection, stream: ServerHttp2Stream, path: string): void {
    const isStreaming = this.options.isStreaming(path);
    if (isStreaming) this.unproven.delete(connection);
    connection.calls.set(stream, isStreaming);
    // A refused client may keep its side of the stream open; what it was told is known when the broker's side ends.
    stream.once('finish', () => {
      if (statusOf(stream) !== undefined) this.callEnded(connection, stream);
    });
    stream.once('close', () => this.callEnded(connection, stream));
  }

  private callEnded(connection: Connection, stream: ServerHttp2Stream): void {
    if (!connection.calls.delete(stream) || connection.gone) return;
    const code = statusOf(stream);
    if (code !== undefined && !unproving.has(code)) {
      this.prove(connection);
      return;
    }
    if (![...connection.calls.values()].includes(true)) this.distrust(connection);
    if (code === status.UNAUTHENTICATED) connection.refusedCalls++;
    if (connection.refusedCalls >= limits.unauthenticatedCallsMax) {
      this.end(connection, 'unauthenticated');
    }
  }

  /** The time for the first call is over: what waits for an answer was let in, or is being asked. */
  private judge(connection: Connection): void {
    connection.timer = undefined;
    if (connection.proven || connection.gone) return;
    const isServed = [...connection.calls].some(([call, isStreaming]) => {
      return isStreaming || isWholeRequest(call);
    });
    if (isServed) this.prove(connection);
    else this.end(connection, 'silent');
  }

  private prove(connection: Connection): void {
    connection.proven = true;
    connection.timer?.cancel();
    connection.calls.clear();
    this.unproven.delete(connection);
  }

  /** Counts it among those that make room; the oldest does when there are too many. */
  private distrust(connection: Connection): void {
    this.unproven.add(connection);
    if (this.unproven.size <= limits.connectionsUnprovenMax) return;
    const [oldest] = this.unproven;
    if (oldest !== undefined) this.end(oldest, 'crowded');
  }

  private end(connection: Connection, cause: Refusal): void {
    this.tally(cause);
    connection.gone = true;
    this.unproven.delete(connection);
    end(connection);
  }

  private forget(peer: string, connection: Connection): void {
    connection.gone = true;
    connection.timer?.cancel();
    this.unproven.delete(connection);
    if (this.byPeer.get(peer) === connection) this.byPeer.delete(peer);
    const left = (this.perGroup.get(connection.group) ?? 0) - 1;
    if (left > 0) this.perGroup.set(connection.group, left);
    else this.perGroup.delete(connection.group);
  }

  private tally(cause: Refusal): void {
    this.counts.set(cause, this.refusedCount(cause) + 1);
    const nowMs = this.options.clock.monotonicMs();
    const loggedMs = this.loggedMs.get(cause);
    if (loggedMs !== undefined && nowMs - loggedMs < logIntervalMs) return;
    this.loggedMs.set(cause, nowMs);
    this.options.log.warn('refused a connection', { why: refusals[cause], cause });
  }
}

/** How a call ends that says nothing about who makes it. */
const unproving: ReadonlySet<number> = new Set([status.UNAUTHENTICATED, status.UNIMPLEMENTED]);

/** The gRPC status that was sent; undefined: none was, the call was given up. */
function statusOf(stream: ServerHttp2Stream): number | undefined {
  // Both are missing, whatever the types say, on a stream that was reset before it was answered.
  const {
    sentHeaders,
    sentTrailers,
  }: Partial<Pick<ServerHttp2Stream, 'sentHeaders' | 'sentTrailers'>> = stream;
  const code = sentTrailers?.['grpc-status'] ?? sentHeaders?.['grpc-status'];
  return code === undefined ? undefined : Number(code);
}

/** Its handler has it, and so has whoever asks about the caller. */
function isWholeRequest(stream: ServerHttp2Stream): boolean {
  return stream.state.state === constants.NGHTTP2_STREAM_STATE_HALF_CLOSED_REMOTE;
}

/** Tells the client, if it can be told, and waits for nothing. */
function end({ session, socket }: Connection): void {
  if (session === undefined) socket.destroy();
  else session.destroy(undefined, constants.NGHTTP2_NO_ERROR);
}

function peerOf({
  remoteAddress,
  remotePort,
}: Pick<Socket, 'remoteAddress' | 'remotePort'>): string {
  return `${remoteAddress} ${remotePort}`;
}
