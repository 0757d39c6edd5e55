// A TCP proxy between a client and a broker that loses connections when it is told to.
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

export class TcpProxy implements AsyncDisposable {
  private readonly server: Server;
  private readonly target: string;
  private readonly pairs = new Set<readonly [Socket, Socket]>();
  /** Of connections that are half-open: each side still believes in the other. */
  private readonly deserted = new Set<Socket>();
  private accepts = true;
  private answersPass = true;

  private constructor(server: Server, target: string) {
    this.server = server;
    this.target = target;
  }

  /** `target` is host:port of what it stands before. */
  static async start(target: string): Promise<TcpProxy> {
    const server = createServer();
    const proxy = new TcpProxy(server, target);
    server.on('connection', (client) => proxy.accept(client));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  /** host:port that clients connect to. */
  get address(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  get connectionCount(): number {
    return this.pairs.size;
  }

  /** Every connection is lost at once, without a farewell to either side. */
  cut(): void {
    for (const pair of this.pairs) for (const socket of pair) socket.destroy();
  }

  /** Bytes of the connections that there are reach nobody any more, and neither side is told. New ones are whole. */
  swallow(): void {
    for (const pair of this.pairs) for (const socket of pair) this.desert(socket);
    this.pairs.clear();
  }

  /** New connections are refused, or taken again. */
  setAccepting(accepts: boolean): void {
    this.accepts = accepts;
  }

  /** What the broker says reaches nobody any more, or again: answers are lost with a later `cut`. */
  setAnswersPass(pass: boolean): void {
    this.answersPass = pass;
    for (const [, broker] of this.pairs) {
      if (pass) broker.resume();
      else broker.pause();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    for (const socket of this.deserted) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }

  private desert(socket: Socket): void {
    this.deserted.add(socket);
    socket.removeAllListeners('data');
    socket.removeAllListeners('close');
    socket.on('data', () => {});
    socket.on('close', () => this.deserted.delete(socket));
  }

  private accept(client: Socket): void {
    if (!this.accepts) {
      client.destroy();
      return;
    }
    const [host, port] = this.target.split(':');
    const broker = connect(Number(port), host);
    const pair = [client, broker] as const;
    this.pairs.add(pair);
    for (const socket of pair) {
      socket.setNoDelay(true);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => {
        this.pairs.delete(pair);
        client.destroy();
        broker.destroy();
      });
    }
    client.on('data', (chunk: Buffer) => broker.write(chunk));
    broker.on('data', (chunk: Buffer) => client.write(chunk));
    if (!this.answersPass) broker.pause();
  }
}
