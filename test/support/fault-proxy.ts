// An HTTP proxy in front of an object store that answers, cuts or bends single requests as it is told.
//
// Invariants:
// - A fault hits the next request that it fits, once, or every one until it is removed; all others pass unchanged.
// - What passes is forwarded byte for byte with its own headers, so that signatures hold.
import { once } from 'node:events';
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Fault {
  /** Default: every method. */
  readonly method?: 'GET' | 'PUT' | 'DELETE';
  /** The store never sees the request. */
  readonly instead?: (response: ServerResponse) => void;
  /** The store has done what it was asked; this is done with its answer. */
  readonly afterwards?: (answer: StoreAnswer, response: ServerResponse) => void;
  /** Changes the request on its way to the store. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
}

export interface StoreAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

export class FaultProxy implements AsyncDisposable {
  private readonly server: Server;
  private readonly target: URL;
  private once: Fault | undefined;
  private always: Fault | undefined;
  /** Connections of clients that are open now. */
  connectionCount = 0;
  /** Requests that came, also those that a fault kept from the store. */
  requestCount = 0;

  private constructor(server: Server, target: string) {
    this.server = server;
    this.target = new URL(target);
  }

  /** `host`: where it listens. */
  static async start(target: string, host = '127.0.0.1'): Promise<FaultProxy> {
    const server = createServer();
    const proxy = new FaultProxy(server, target);
    server.on('connection', (socket) => {
      proxy.connectionCount++;
      socket.on('error', () => socket.destroy());
      socket.once('close', () => proxy.connectionCount--);
    });
    server.on('request', (request, response) => {
      proxy.requestCount++;
      void proxy.handle(request, response).catch(() => response.destroy());
    });
    server.listen(0, host);
    await once(server, 'listening');
    return proxy;
  }

  /** As a URL. */
  get endpoint(): string {
    const { address, port, family } = this.server.address() as AddressInfo;
    return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
  }

  failNext(fault: Fault): void {
    this.once = fault;
  }

  /** Undefined: no more. */
  failAll(fault: Fault | undefined): void {
    this.always = fault;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }

  private faultFor(method: string | undefined): Fault | undefined {
    const fits = (fault: Fault | undefined): boolean =>
      fault !== undefined && (fault.method === undefined || fault.method === method);
    if (!fits(this.once)) return fits(this.always) ? this.always : undefined;
    const fault = this.once;
    this.once = undefined;
    return fault;
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const fault = this.faultFor(request.method);
    const body = await bodyOf(request);
    if (fault?.instead !== undefined) {
      fault.instead(response);
      return;
    }
    const answer = await this.forward(request, body, fault?.headers ?? {});
    if (fault?.afterwards === undefined) pass(answer, response);
    else fault.afterwards(answer, response);
  }

  private forward(
    { method, url, headers }: IncomingMessage,
    body: Buffer,
    changed: Readonly<Record<string, string | undefined>>,
  ): Promise<StoreAnswer> {
    const { hostname, port } = this.target;
    const sent = Object.entries({ ...headers, ...changed }).filter(([, value]) => value);
    return new Promise((resolve, reject) => {
      const forwarded = httpRequest(
        { host: hostname, port, method, path: url, headers: Object.fromEntries(sent) },
        (answer) => {
          bodyOf(answer).then((bytes) => {
            resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: bytes });
          }, reject);
        },
      );
      forwarded.once('error', reject);
      forwarded.end(body);
    });
  }
}

export function pass({ status, headers, body }: StoreAnswer, response: ServerResponse): void {
  response.writeHead(status, headers);
  response.end(body);
}

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}
