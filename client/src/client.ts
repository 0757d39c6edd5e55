// A client of one broker: where publishers, consumers, readers and administration begin.
//
// Invariants:
// - Synchronous and lazy: a broker that is not there yet is no error, everything waits for it.
// - `close()` closes whatever was opened through the client, then the connection.
import { Access } from './admin/access.ts';
import { getCluster, type Cluster } from './admin/cluster.ts';
import { DeadLetters } from './admin/dead-letters.ts';
import { Subscriptions } from './admin/subscriptions.ts';
import { Tenants } from './admin/tenants.ts';
import { Topics } from './admin/topics.ts';
import type { TokenSource } from './bearer.ts';
import { Connection } from './connection.ts';
import { acknowledge, type AckRange, type RefusedAck } from './consume/acknowledge.ts';
import { consumeSettings, type ConsumeOptions } from './consume/consume-options.ts';
import { Consumer } from './consume/consumer.ts';
import { Consumption, type Handler } from './consume/consumption.ts';
import type { ConsumerOptions } from './consume/options.ts';
import { pullMessages, type PulledMessage, type PullOptions } from './consume/pull.ts';
import type { PublisherOptions } from './publish/options.ts';
import { Publisher } from './publish/publisher.ts';
import { PublishStream } from './publish/publish-stream.ts';
import { bytesAsTheyAre, encodingOf, type ValueEncoding } from './publish/value-encoding.ts';
import { Reader, type ReaderOptions } from './read/reader.ts';
import { rawBytes, type Decoder, type Encoder } from './records/codec.ts';
import { tlsOf, tokenOf, type TlsOptions } from './tls.ts';

export interface ConnectOptions {
  /** host:port of a broker's gRPC listener. Default `127.0.0.1:6700`. */
  readonly server?: string;
  /** TLS: `true` trusts the public CAs. Default: plain text. */
  readonly tls?: TlsOptions | boolean;
  /** Told to the broker as the user agent. Default `millrace-client`. */
  readonly name?: string;
  /** Says who this client is: a token, or what gives one. Needs TLS, unless the broker is on this machine. */
  readonly token?: TokenSource;
  /** The token may go to another machine in plain text, where whoever listens takes it. Default false. */
  readonly tokenWithoutTls?: boolean;
  /** A call of administration fails after so long; reads are tried again until then. Default 30,000. */
  readonly callTimeoutMs?: number;
}

/** Values are encoded by the codec; without it they are strings or bytes. */
export interface Encoding<T> {
  readonly codec: Encoder<T>;
}

/** Values are decoded by the codec; without it they are bytes. */
export interface Decoding<T> {
  readonly codec: Decoder<T>;
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
  /** Administration of tenants, their namespaces, policies and quotas. */
  readonly tenants: Tenants;
  /** Administration of subscriptions. */
  readonly subscriptions: Subscriptions;
  /** What to do with dead letters. */
  readonly deadLetters: DeadLetters;
  /** Administration of grants and API tokens. */
  readonly access: Access;
  private readonly opened = new Set<Closable>();

  constructor(options: ConnectOptions) {
    const { server = '127.0.0.1:6700' } = options;
    this.connection = new Connection(
      server,
      options.name ?? 'millrace-client',
      options.callTimeoutMs,
      tokenOf({ ...options, server }),
      tlsOf(options.tls),
    );
    this.publishStream = new PublishStream(this.connection);
    this.topics = new Topics(this.connection);
    this.tenants = new Tenants(this.connection);
    this.subscriptions = new Subscriptions(this.connection);
    this.deadLetters = new DeadLetters(this.connection);
    this.access = new Access(this.connection);
  }

  /**
   * Publishes to a topic. The publisher opens with its first record; all publishers of a client share one stream.
   * Throws ARGUMENT_INVALID.
   *
   * ```ts
   * const orders = client.publisher('orders', { codec: json<Order>() });
   * await orders.publish({ key: order.customer, value: order });
   * ```
   */
  publisher<T>(topic: string, options: PublisherOptions & Encoding<T>): Publisher<T>;
  publisher(topic: string, options?: PublisherOptions): Publisher;
  publisher<T>(
    topic: string,
    options: PublisherOptions | (PublisherOptions & Encoding<T>) = {},
  ): Publisher | Publisher<T> {
    return 'codec' in options
      ? this.openPublisher(topic, options, encodingOf(options.codec))
      : this.openPublisher(topic, options, bytesAsTheyAre);
  }

  /**
   * Reads a topic from any position, without a subscription.
   *
   * ```ts
   * for await (const { value } of client.reader('orders', { from: 'earliest', codec: json<Order>() })) {
   *   console.log(value.total);
   * }
   * ```
   */
  reader<T>(topic: string, options: ReaderOptions & Decoding<T>): Reader<T>;
  reader(topic: string, options?: ReaderOptions): Reader;
  reader<T>(
    topic: string,
    options: ReaderOptions | (ReaderOptions & Decoding<T>) = {},
  ): Reader | Reader<T> {
    return 'codec' in options
      ? this.openReader(topic, options, options.codec)
      : this.openReader(topic, options, rawBytes);
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
  consumer<T>(
    topic: string,
    subscription: string,
    options: ConsumerOptions & Decoding<T>,
  ): Consumer<T>;
  consumer(topic: string, subscription: string, options?: ConsumerOptions): Consumer;
  consumer<T>(
    topic: string,
    subscription: string,
    options: ConsumerOptions | (ConsumerOptions & Decoding<T>) = {},
  ): Consumer | Consumer<T> {
    return 'codec' in options
      ? this.openConsumer(topic, subscription, options, options.codec)
      : this.openConsumer(topic, subscription, options, rawBytes);
  }

  /**
   * Consumes a subscription with a handler: ack when it resolves, nack when it rejects, reject when it throws
   * RejectError. Deadlines are extended meanwhile; `message.signal` aborts when the record is lost nevertheless.
   * Streams are handled in order, one record at a time per partition; a failed record is tried again before any
   * behind it. Throws ARGUMENT_INVALID.
   *
   * ```ts
   * const billing = client.consume(
   *   'orders',
   *   'billing',
   *   async ({ value, signal }) => {
   *     const { ok } = await fetch(`http://billing/charge/${value.customer}`, { method: 'POST', signal });
   *     if (!ok) throw new NackError('billing is not there', 30_000);
   *   },
   *   { codec: json<Order>(), concurrency: 64, concurrencyPerKey: 1 },
   * );
   * ```
   */
  consume<T>(
    topic: string,
    subscription: string,
    handler: Handler<T>,
    options: ConsumeOptions & Decoding<T>,
  ): Consumption<T>;
  consume(
    topic: string,
    subscription: string,
    handler: Handler,
    options?: ConsumeOptions,
  ): Consumption;
  consume<T>(
    topic: string,
    subscription: string,
    ...how: [Handler<T>, ConsumeOptions & Decoding<T>] | [Handler, ConsumeOptions?]
  ): Consumption | Consumption<T> {
    return isDecoding(how)
      ? this.openConsumption(topic, subscription, how[0], how[1], how[1].codec)
      : this.openConsumption(topic, subscription, how[0], how[1] ?? {}, rawBytes);
  }

  /**
   * Takes some records of a queue without a stream, for scripts and functions: each is held until it is acked or the
   * subscription's ack deadline. Empty: nothing came in time.
   *
   * ```ts
   * for (const message of await client.pull('orders', 'billing', { waitMs: 5_000 })) await message.ack();
   * ```
   */
  pull<T>(
    topic: string,
    subscription: string,
    options: PullOptions & Decoding<T>,
  ): Promise<PulledMessage<T>[]>;
  pull(topic: string, subscription: string, options?: PullOptions): Promise<PulledMessage[]>;
  pull<T>(
    topic: string,
    subscription: string,
    options: PullOptions | (PullOptions & Decoding<T>) = {},
  ): Promise<PulledMessage[] | PulledMessage<T>[]> {
    const place = { connection: this.connection, topic, subscription };
    return 'codec' in options
      ? pullMessages(place, options, options.codec)
      : pullMessages(place, options, rawBytes);
  }

  /**
   * Settles records of a queue in one call, ranges of them too: up to 10,000 ranges. Resolves when it is durable, with
   * what was refused; empty: nothing was. Throws ARGUMENT_INVALID.
   *
   * ```ts
   * const messages = await client.pull('orders', 'billing', { recordsMax: 100 });
   * await client.acknowledge(
   *   'orders',
   *   'billing',
   *   messages.map(({ partition, offset, lease }) => ({ partition, firstOffset: offset, lease })),
   * );
   * ```
   */
  acknowledge(
    topic: string,
    subscription: string,
    acks: readonly AckRange[],
  ): Promise<RefusedAck[]> {
    return acknowledge({ connection: this.connection, topic, subscription }, acks);
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

  private openPublisher<T>(
    topic: string,
    options: PublisherOptions,
    encoding: ValueEncoding<T>,
  ): Publisher<T> {
    const forget = (closed: Closable): void => this.forget(closed);
    return this.keep(new Publisher(this.publishStream, topic, options, encoding, forget));
  }

  private openReader<T>(topic: string, options: ReaderOptions, decoder: Decoder<T>): Reader<T> {
    const forget = (closed: Closable): void => this.forget(closed);
    return this.keep(new Reader(this.connection, topic, options, decoder, forget));
  }

  private openConsumer<T>(
    topic: string,
    subscription: string,
    options: ConsumerOptions,
    decoder: Decoder<T>,
  ): Consumer<T> {
    const forget = (closed: Closable): void => this.forget(closed);
    const place = { connection: this.connection, topic, subscription };
    return this.keep(new Consumer(place, options, 'handed out', decoder, forget));
  }

  private openConsumption<T>(
    topic: string,
    subscription: string,
    handler: Handler<T>,
    options: ConsumeOptions,
    decoder: Decoder<T>,
  ): Consumption<T> {
    const settings = consumeSettings(options);
    // Records that wait here while others could work on them help nobody: a few rounds ahead are enough.
    const prefetchRecords = options.prefetchRecords ?? Math.max(settings.concurrency * 4, 16);
    const place = { connection: this.connection, topic, subscription };
    const own = { ...options, prefetchRecords };
    const consumer = new Consumer(place, own, 'settled', decoder, () => {});
    const forget = (closed: Closable): void => this.forget(closed);
    return this.keep(new Consumption(consumer, handler, settings, forget));
  }

  private keep<C extends Closable>(opened: C): C {
    this.opened.add(opened);
    return opened;
  }

  private forget(closed: Closable): void {
    this.opened.delete(closed);
  }
}

function isDecoding<T>(
  how: [Handler<T>, ConsumeOptions & Decoding<T>] | [Handler, ConsumeOptions?],
): how is [Handler<T>, ConsumeOptions & Decoding<T>] {
  return how[1] !== undefined && 'codec' in how[1];
}
