// The sockets on which clients connect. grpc-js would make a session of each connection as it comes; these are accepted
// here, and injected when `Connections` says so.
import { once } from 'node:events';
import { lookup } from 'node:dns/promises';
import { createServer, type AddressInfo, type Server as TcpServer, type Socket } from 'node:net';
import type { Server, ServerCredentials } from '@grpc/grpc-js';
import type { Connections } from './connections.ts';
import { watchListeners } from './grpc-window.ts';

export interface GrpcPortOptions {
  readonly server: Server;
  readonly credentials: ServerCredentials;
  readonly connections: Connections;
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
}

export class GrpcPort {
  /** The one that it was given, or got. */
  readonly port: number;
  private readonly listeners: readonly TcpServer[];

  private constructor(port: number, listeners: readonly TcpServer[]) {
    this.port = port;
    this.listeners = listeners;
  }

  /** Listens on every address of the host that this machine has. Throws what the last one failed with if none is. */
  static async open({
    server,
    credentials,
    connections,
    ...at
  }: GrpcPortOptions): Promise<GrpcPort> {
    const injector = server.createConnectionInjector(credentials);
    watchListeners(server, (http2) => connections.watch(http2));
    const accept = connections.door(credentials._isSecure(), (socket) =>
      injector.injectConnection(socket),
    );
    const listeners: TcpServer[] = [];
    let { port } = at;
    let failure: unknown;
    for (const { address } of await lookup(at.host, { all: true })) {
      try {
        const listener = await listen(address, port, accept);
        listeners.push(listener);
        port = (listener.address() as AddressInfo).port;
      } catch (error) {
        failure = error;
      }
    }
    if (listeners.length === 0) throw failure;
    return new GrpcPort(port, listeners);
  }

  /** Accepts nobody any more; who is connected stays. */
  close(): void {
    for (const listener of this.listeners) listener.close();
  }
}

async function listen(
  host: string,
  port: number,
  accept: (socket: Socket) => void,
): Promise<TcpServer> {
  const listener = createServer(accept);
  listener.listen({ host, port });
  // Rejects when it fails instead.
  await once(listener, 'listening');
  // A connection that could not be accepted, for want of descriptors: the next one may be.
  listener.on('error', () => {});
  return listener;
}
