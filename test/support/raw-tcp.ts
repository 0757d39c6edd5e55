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

  /** `from`: the address of this machine that it comes from. */
  static async open(server: string, from?: string): Promise<RawTcp> {
    const [host = '', port] = server.split(':');
    return RawTcp.openAt(host, Number(port), from);
  }

  static async openAt(host: string, port: number, from?: string): Promise<RawTcp> {
    const socket = connect({
      host,
      port,
      ...(from !== undefined && { localAddress: from }),
    });
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

  /** Writes it again and again, as fast as it is taken, until it is closed; answers how often. */
  async flood(bytes: Buffer, times: number): Promise<number> {
    for (let i = 0; i < times; i++) {
      if (this.socket.destroyed || this.socket.writableEnded) return i;
      if (this.socket.write(bytes)) continue;
      await Promise.race([
        new Promise((resolve) => this.socket.once('drain', resolve)),
        this.closing,
      ]);
    }
    return times;
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
