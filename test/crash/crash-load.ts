// The load of a crash test, and what it saw: publishers with numbered records, queue workers that confirm their acks,
// a stream consumer. Everything goes through the SDK, which has to live through the kills by itself.
import type { Client, Consumer, Message, Publisher } from '../../client/src/index.ts';

export interface PublishedValue {
  readonly partition: number;
  readonly offset: number;
  readonly value: string;
}

const publisherCount = 3;
const workerCount = 2;
const partitionCount = 4;
/** Records on their way per publisher. */
const inFlight = 32;
const drainWithinMs = 60_000;

export class CrashLoad {
  readonly topic = 'crash';
  /** Confirmed to their publisher. */
  readonly published: PublishedValue[] = [];
  /** Positions whose ack was confirmed as durable. */
  readonly confirmedAcks = new Set<string>();
  readonly deliveredAfterConfirmedAck: string[] = [];
  readonly queueSeen = new Set<string>();
  readonly streamHoles: string[] = [];
  private readonly client: Client;
  private readonly publishing: Promise<void>[] = [];
  private readonly consuming: Promise<void>[] = [];
  private readonly consumers: Consumer[] = [];
  private readonly streamNext = new Map<number, number>();
  private isFinishing = false;

  private constructor(client: Client) {
    this.client = client;
  }

  static async start(client: Client): Promise<CrashLoad> {
    const load = new CrashLoad(client);
    const { topic } = load;
    await client.topics.apply(topic, {
      partitions: partitionCount,
      retention: { ageMs: 0, bytes: 0, forever: true, unackedAgeMs: 0 },
    });
    await client.subscriptions.apply(topic, 'work', { kind: 'queue', ackDeadlineMs: 5_000 });
    await client.subscriptions.apply(topic, 'tail', { kind: 'stream', start: 'earliest' });
    for (let i = 0; i < publisherCount; i++) {
      const publisher = client.publisher(topic, { publisher: `crash-${i}` });
      load.publishing.push(load.publish(publisher, `crash-${i}`));
    }
    for (let i = 0; i < workerCount; i++) {
      const worker = client.consumer(topic, 'work', { prefetchRecords: 200 });
      load.consumers.push(worker);
      load.consuming.push(load.work(worker));
    }
    const tail = client.consumer(topic, 'tail');
    load.consumers.push(tail);
    load.consuming.push(load.follow(tail));
    return load;
  }

  /** Stops publishing, waits until everything is worked through, then stops consuming. */
  async finish(): Promise<void> {
    this.isFinishing = true;
    await Promise.all(this.publishing);
    const giveUpAtMs = performance.now() + drainWithinMs;
    while ((await this.backlog()) > 0) {
      if (performance.now() > giveUpAtMs) throw new Error('the backlog did not drain');
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await Promise.all(this.consumers.map((consumer) => consumer.close()));
    await Promise.all(this.consuming);
  }

  /** Every stored record: position to value. */
  async replay(): Promise<Map<string, string>> {
    const stored = new Map<string, string>();
    const reader = this.client.reader(this.topic, { from: 'earliest', stopAtEnd: true });
    for await (const record of reader) {
      stored.set(`${record.partition}/${record.offset}`, record.text());
    }
    return stored;
  }

  /** Records that stand behind a later one of the same publisher and partition. */
  async outOfOrder(): Promise<string[]> {
    const last = new Map<string, number>();
    const wrong: string[] = [];
    for (const [position, value] of await this.replay()) {
      const [name = '', number = ''] = value.split(' ');
      const lane = `${position.split('/')[0] ?? ''} ${name}`;
      if (Number(number) <= (last.get(lane) ?? -1)) wrong.push(`${position}: ${value}`);
      last.set(lane, Number(number));
    }
    return wrong;
  }

  private async publish(publisher: Publisher, name: string): Promise<void> {
    let number = 0;
    const worker = async (): Promise<void> => {
      while (!this.isFinishing) {
        const value = `${name} ${number++} ${'x'.repeat(200)}`;
        const { partition, offset } = await publisher.publish({ value, key: `key ${number % 50}` });
        this.published.push({ partition, offset, value });
      }
    };
    await Promise.all(Array.from({ length: inFlight }, worker));
    await publisher.close();
  }

  private async work(consumer: Consumer): Promise<void> {
    const confirming: Promise<void>[] = [];
    let count = 0;
    for await (const message of consumer) {
      const position = positionOf(message);
      this.queueSeen.add(position);
      if (this.confirmedAcks.has(position)) this.deliveredAfterConfirmedAck.push(position);
      if (message.attempt === 1 && ++count % 50 === 0) {
        message.nack();
        continue;
      }
      message.ack();
      // A confirmation may fail because the broker died; then the record may come again.
      const confirmed = message.ackConfirmed().then(
        () => void this.confirmedAcks.add(position),
        () => {},
      );
      confirming.push(confirmed);
    }
    await Promise.all(confirming);
  }

  private async follow(consumer: Consumer): Promise<void> {
    for await (const message of consumer) {
      const { partition, offset } = message;
      const next = this.streamNext.get(partition) ?? 0;
      if (offset > next) this.streamHoles.push(`${partition}: ${offset} after ${next - 1}`);
      this.streamNext.set(partition, Math.max(next, offset + 1));
      message.ack();
    }
  }

  private async backlog(): Promise<number> {
    let backlog = 0;
    for (const name of ['work', 'tail']) {
      const { partitions } = await this.client.subscriptions.get(this.topic, name);
      backlog += partitions.reduce((sum, partition) => sum + partition.backlog, 0);
    }
    return backlog;
  }
}

function positionOf(message: Message): string {
  return `${message.partition}/${message.offset}`;
}
