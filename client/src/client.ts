// A client of one broker: where publishers, consumers, readers and administration begin.
//
// Invariants:
// - Synchronous and lazy: a broker that is not there yet is no error, everything waits for it.
// - `close()` closes whatever was opened through the client, then the connection.
import { Connection } from './connection.ts';

export interface ConnectOptions {
  /** host:port of a broker's gRPC listener. Default `127.0.0.1:6700`. */
  readonly server?: string;
  /** Told to the broker as the user agent. Default `millrace-client`. */
  readonly name?: string;
}

/** What a client closes before its connection. */
export interface Closable {
  close(): Promise<void>;
}

/**
 * A client of the broker at `server`.
 *
 * ```ts
 * await using client = connect({ server: '127.0.0.1:6700' });
 * ```
 */
export function connect(options: ConnectOptions = {}): Client {
  return new Client(options);
}

export class Client implements AsyncDisposable {
  private readonly connection: Connection;
  private readonly opened = new Set<Closable>();

  constructor(options: ConnectOptions) {
    this.connection = new Connection(
      options.server ?? '127.0.0.1:6700',
      options.name ?? 'millrace-client',
    );
  }

  /** Closes every publisher, consumer and reader of this client, then the connection. */
  async close(): Promise<void> {
    await Promise.all([...this.opened].map((part) => part.close()));
    this.opened.clear();
    this.connection.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
