// The load of a crash test of what queues do beside acks: nacks, missed deadlines and lost consumers, over kills.
// Keeps the least that the broker may say of each record, and what it said less than.
import type { Client, Consumer, Message } from '../../client/src/index.ts';
import type { Random } from '../../broker/core/random.ts';

export interface SettlementLoadOptions {
  readonly client: Client;
  readonly random: Random;
  readonly records: number;
  readonly kind: 'queue' | 'keyed_queue';
  readonly keys: number;
}

/** What is known of a record that was delivered. */
interface Seen {
  readonly attempt: number;
  /** Kills before it was delivered. */
  readonly kills: number;
}

const workerCount = 3;
const ackDeadlineMs = 1_000;
const drainWithinMs = 90_000;

export class SettlementLoad {
  readonly topic = 'settled';
  readonly attemptsLost: string[] = [];
  readonly deliveredAfterConfirmedAck: string[] = [];
  readonly overtaken: string[] = [];
  readonly done = new Set<number>();
  /** Told by the test: so often was the broker killed. */
  kills = 0;
  private readonly options: SettlementLoadOptions;
  private readonly seen = new Map<number, Seen>();
  /** Per key the record that was begun and whose ack was not sent. */
  private readonly begun = new Map<string, number>();
  /** The client says such an ack again after a lost connection, whatever became of the record. */
  private readonly ackSent = new Set<number>();
  private readonly consumers = new Set<Consumer>();
  private readonly working: Promise<void>[] = [];
  private isFinishing = false;

  private constructor(options: SettlementLoadOptions) {
    this.options = options;
  }

  static async start(options: SettlementLoadOptions): Promise<SettlementLoad> {
    const load = new SettlementLoad(options);
    const { client, kind, records, keys } = options;
    await client.topics.apply(load.topic);
    await client.subscriptions.apply(load.topic, 'work', {
      kind,
      ackDeadlineMs,
      backoffMinMs: 1,
      backoffMaxMs: 50,
    });
    const publisher = client.publisher(load.topic);
    for (let i = 0; i < records; i++) publisher.send({ key: `key ${i % keys}`, value: `${i}` });
    await publisher.close();
    for (let i = 0; i < workerCount; i++) load.working.push(load.keepWorking());
    return load;
  }

  /** Waits until everything is acked, then stops. */
  async finish(): Promise<void> {
    const giveUpAtMs = performance.now() + drainWithinMs;
    // Not every ack that counted was confirmed to somebody: the broker knows what is left.
    for (let left = await this.backlog(); left > 0; left = await this.backlog()) {
      if (performance.now() > giveUpAtMs) throw new Error(`${left} records are left`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    this.isFinishing = true;
    await Promise.all([...this.consumers].map((consumer) => consumer.close()));
    await Promise.all(this.working);
  }

  get deliveredCount(): number {
    return this.seen.size;
  }

  private async backlog(): Promise<number> {
    const { partitions } = await this.options.client.subscriptions.get(this.topic, 'work');
    return partitions.reduce((sum, { backlog }) => sum + backlog, 0);
  }

  /** One consumer after another: each leaves after some records, with whatever it holds. */
  private async keepWorking(): Promise<void> {
    const { client, random } = this.options;
    while (!this.isFinishing) {
      const consumer = client.consumer(this.topic, 'work', {
        prefetchRecords: 50,
        autoExtend: false,
      });
      this.consumers.add(consumer);
      let left = 200 + Math.floor(random.next() * 400);
      for await (const message of consumer) {
        this.judge(message);
        this.settle(message);
        if (--left <= 0) break;
      }
      await consumer.close();
      this.consumers.delete(consumer);
    }
  }

  private judge(message: Message): void {
    const { offset, attempt } = message;
    if (this.done.has(offset)) this.deliveredAfterConfirmedAck.push(`${offset}`);
    const before = this.seen.get(offset);
    if (before !== undefined) {
      const leastAttempt = before.attempt + 1 - (this.kills - before.kills);
      if (attempt < leastAttempt) {
        this.attemptsLost.push(`${offset}: attempt ${attempt} after ${before.attempt}`);
      }
    }
    this.seen.set(offset, { attempt, kills: this.kills });
    if (this.options.kind !== 'keyed_queue') return;
    const key = keyOf(message);
    const elder = this.begun.get(key);
    if (elder !== undefined && elder < offset) this.overtaken.push(`${offset} before ${elder}`);
    if (!this.ackSent.has(offset)) this.begun.set(key, offset);
  }

  private settle(message: Message): void {
    const { offset } = message;
    const chance = this.options.random.next();
    if (chance < 0.2) {
      message.nack();
      return;
    }
    // Forgotten: its deadline passes.
    if (chance < 0.22) return;
    this.ackSent.add(offset);
    if (this.begun.get(keyOf(message)) === offset) this.begun.delete(keyOf(message));
    message.ackConfirmed().then(
      () => {
        this.done.add(offset);
      },
      () => {
        // The broker died: the record may come again.
      },
    );
  }
}

function keyOf(message: Message): string {
  return Buffer.from(message.key).toString();
}
