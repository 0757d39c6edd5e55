// A well-behaved publisher that goes on the whole time: what others do must not cost it a record, nor much time.
import {
  connect,
  type Client,
  type ConnectOptions,
  type Publisher,
} from '../../client/src/index.ts';

const everyMs = 10;

export class SteadyPublisher {
  readonly client: Client;
  private readonly topic: string;
  private readonly publisher: Publisher;
  private readonly offsets: number[] = [];
  private readonly failures: unknown[] = [];
  private latencies: number[] = [];
  private slowest = 0;
  private isStopped = false;
  private running: Promise<void> = Promise.resolve();

  private constructor(client: Client, topic: string) {
    this.client = client;
    this.topic = topic;
    this.publisher = client.publisher(topic);
  }

  /** On a connection of its own; the topic has one partition and no other publisher. */
  static async start(
    server: string,
    topic: string,
    options: ConnectOptions = {},
  ): Promise<SteadyPublisher> {
    const client = connect({ ...options, server });
    await client.topics.apply(topic, { partitions: 1 });
    const steady = new SteadyPublisher(client, topic);
    steady.running = steady.run();
    return steady;
  }

  get publishedCount(): number {
    return this.offsets.length;
  }

  get failedCount(): number {
    return this.failures.length;
  }

  /** Time of each record since this was asked last, ms. */
  takeLatencies(): readonly number[] {
    const taken = this.latencies;
    this.latencies = [];
    return taken;
  }

  /** Longest time that one record took, ms. */
  get slowestMs(): number {
    return this.slowest;
  }

  /** Ends it and reads everything back: what is missing, failed or out of place, as text; empty when all is well. */
  async stop(): Promise<string> {
    this.isStopped = true;
    await this.running;
    await this.publisher.close();
    if (this.failures.length > 0) return `failed: ${String(this.failures[0])}`;
    const misplaced = this.offsets.findIndex((offset, i) => offset !== i);
    if (misplaced >= 0) return `record ${misplaced} got offset ${this.offsets[misplaced]}`;
    const read: string[] = [];
    const reader = this.client.reader(this.topic, { from: 'earliest', stopAtEnd: true });
    for await (const record of reader) read.push(Buffer.from(record.value).toString());
    const wrong = read.findIndex((value, i) => value !== `record ${i}`);
    if (wrong >= 0) return `record ${wrong} reads ${read[wrong]}`;
    return read.length === this.offsets.length ? '' : `${read.length} of ${this.offsets.length}`;
  }

  private async run(): Promise<void> {
    for (let i = 0; !this.isStopped; i++) {
      const startMs = performance.now();
      try {
        const { offset } = await this.publisher.publish({ value: `record ${i}` });
        this.offsets.push(offset);
      } catch (error) {
        this.failures.push(error);
      }
      const tookMs = performance.now() - startMs;
      this.latencies.push(tookMs);
      this.slowest = Math.max(this.slowest, tookMs);
      await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
  }
}
