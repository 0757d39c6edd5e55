// A client of one broker: where publishers, consumers, readers and administration begin.
//
// Invariants:
// - Synchronous and lazy: a broker that is not there yet is no error, everything waits for it.
// - `close()` closes whatever was opened through the client, then the connection.
import { getCluster, type Cluster } from './admin/cluster.ts';
import { Subscriptions } from './admin/subscriptions.ts';
import { Topics } from './admin/topics.ts';
import { Connection } from './connection.ts';
import { Consumer } from './consume/consumer.ts';
import {
  concurrencyOf,
  Consumption,
  type ConsumeOptions,
  type Handler,
} from './consume/consumption.ts';
import type { ConsumerOptions } from './consume/options.ts';
import { pullMessages, type PulledMessage, type PullOptions } from './consume/pull.ts';
import type { PublisherOptions } from './publish/options.ts';
import { Publisher } from './publish/publisher.ts';
import { PublishStream } from './publish/publish-stream.ts';
import { Reader, type ReaderOptions } from './read/reader.ts';

export interface ConnectOptions {
  /** host:port of a broker's gRPC listener. Default `127.0.0.1:6700`. */
  readonly server?: string;
  /** Told to the broker as the user agent. Default `millrace-client`. */
  readonly name?: string;
  /** A call of administration fails after so long; reads are tried again until then. Default 30,000. */
  readonly callTimeoutMs?: number;
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
  /** Administration of topics. */
  readonly topics: Topics;
  /** Administration of subscriptions. */
  readonly subscriptions: Subscriptions;
  private readonly opened = new Set<Closable>();

  constructor(options: ConnectOptions) {
    this.connection = new Connection(
      options.server ?? '127.0.0.1:6700',
      options.name ?? 'millrace-client',
      options.callTimeoutMs,
    );
    this.publishStream = new PublishStream(this.connection);
    this.topics = new Topics(this.connection);
    this.subscriptions = new Subscriptions(this.connection);
  }

  /**
   * Publishes to a topic. The publisher opens with its first record; all publishers of a client share one stream.
   * Throws ARGUMENT_INVALID.
   */
  publisher(topic: string, options: PublisherOptions = {}): Publisher {
    const publisher = new Publisher(this.publishStream, topic, options, (closed) =>
      this.forget(closed),
    );
    this.opened.add(publisher);
    return publisher;
  }

  /** Reads a topic from any position, without a subscription. */
  reader(topic: string, options: ReaderOptions = {}): Reader {
    const reader = new Reader(this.connection, topic, options, (closed) => this.forget(closed));
    this.opened.add(reader);
    return reader;
  }

  /**
   * Consumes a subscription as an async iterator of messages, each to be acked or nacked.
   *
   * ```ts
   * for await (const message of client.consumer('orders', 'billing')) {
   *   message.ack();
   * }
   * ```
   */
  consumer(topic: string, subscription: string, options: ConsumerOptions = {}): Consumer {
    const { connection } = this;
    const forget = (closed: Consumer): void => this.forget(closed);
    const consumer = new Consumer(connection, topic, subscription, options, 'handed out', forget);
    this.opened.add(consumer);
    return consumer;
  }

  /**
   * Consumes a subscription with a handler: ack when it resolves, nack when it rejects. Streams are handled in order,
   * one record at a time per partition; a failed record is tried again before any behind it. Throws ARGUMENT_INVALID.
   */
  consume(
    topic: string,
    subscription: string,
    handler: Handler,
    options: ConsumeOptions = {},
  ): Consumption {
    // Records that wait here while others could work on them help nobody: a few rounds ahead are enough.
    const prefetchRecords = options.prefetchRecords ?? Math.max(concurrencyOf(options) * 4, 16);
    const consumer = new Consumer(
      this.connection,
      topic,
      subscription,
      { ...options, prefetchRecords },
      'settled',
      () => {},
    );
    const consumption = new Consumption(consumer, handler, options, (closed) =>
      this.forget(closed),
    );
    this.opened.add(consumption);
    return consumption;
  }

  /**
   * Takes some records of a queue without a stream, for scripts and functions: each is held until it is acked or the
   * subscription's ack deadline. Empty: nothing came in time.
   *
   * ```ts
   * for (const message of await client.pull('orders', 'billing', { waitMs: 5_000 })) await message.ack();
   * ```
   */
  pull(topic: string, subscription: string, options: PullOptions = {}): Promise<PulledMessage[]> {
    return pullMessages({ connection: this.connection, topic, subscription }, options);
  }

  /** What answers at this address. */
  cluster(): Promise<Cluster> {
    return getCluster(this.connection);
  }

  /**
   * Closes every publisher, consumer and reader of this client, then the connection. Rejects with the first failure
   * that nobody was told of.
   */
  async close(): Promise<void> {
    const failures: unknown[] = [];
    // Again while something was opened meanwhile.
    while (this.opened.size > 0) {
      const parts = [...this.opened];
      const closed = await Promise.allSettled(parts.map((part) => part.close()));
      for (const part of parts) this.opened.delete(part);
      for (const outcome of closed) {
        if (outcome.status === 'rejected') failures.push(outcome.reason);
      }
    }
    this.connection.close();
    if (failures.length > 0) throw failures[0];
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private forget(closed: Closable): void {
    this.opened.delete(closed);
  }
}
