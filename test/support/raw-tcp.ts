// A TCP connection that says what it likes.
import { connect, type Socket } from 'node:net';

export class RawTcp implements Disposable {
  private readonly socket: Socket;
  private readonly closing: Promise<void>;
  private answer = Buffer.alloc(0);

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => (this.answer = Buffer.concat([this.answer, chunk])));
    this.closing = new Promise((resolve) => socket.once('close', () => resolve()));
  }

  static async open(server: string): Promise<RawTcp> {
    const [host = '', port] = server.split(':');
    const socket = connect({ host, port: Number(port) });
    const raw = new RawTcp(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return raw;
  }

  get received(): Buffer {
    return this.answer;
  }

  write(bytes: Buffer | string): this {
    this.socket.write(bytes);
    return this;
  }

  /** Whether the other side closes the connection in time. */
  async isClosedWithin(ms: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), ms);
    });
    const closed = await Promise.race([this.closing.then(() => true), late]);
    clearTimeout(timer);
    return closed;
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}
