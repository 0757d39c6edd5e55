// A client of one broker: where publishers, consumers, readers and administration begin.
//
// Invariants:
// - Synchronous and lazy: a broker that is not there yet is no error, everything waits for it.
// - `close()` closes whatever was opened through the client, then the connection.
import { Connection } from './connection.ts';
import type { PublisherOptions } from './publish/options.ts';
import { Publisher } from './publish/publisher.ts';
import { PublishStream } from './publish/publish-stream.ts';

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
  private readonly publishStream: PublishStream;
  private readonly opened = new Set<Closable>();

  constructor(options: ConnectOptions) {
    this.connection = new Connection(
      options.server ?? '127.0.0.1:6700',
      options.name ?? 'millrace-client',
    );
    this.publishStream = new PublishStream(this.connection);
  }

  /**
   * Publishes to a topic. The publisher opens with its first record; all publishers of a client share one stream.
   * Throws ARGUMENT_INVALID.
   */
  publisher(topic: string, options: PublisherOptions = {}): Publisher {
    const publisher = new Publisher(this.publishStream, topic, options, (closed) =>
      this.opened.delete(closed),
    );
    this.opened.add(publisher);
    return publisher;
  }

  /**
   * Closes every publisher, consumer and reader of this client, then the connection. Rejects with the first failure that
   * nobody was told of.
   */
  async close(): Promise<void> {
    const closed = await Promise.allSettled([...this.opened].map((part) => part.close()));
    this.opened.clear();
    this.connection.close();
    const failed = closed.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
