// The load of a crash test of what queues do beside acks: nacks, missed deadlines, rejects, records that always fail,
// delivery times, consumers that leave with what they hold. Keeps the least that the broker may say of each record,
// and what it said less than.
import type { Client, Consumer, Message } from '../../client/src/index.ts';
import type { Random } from '../../broker/core/random.ts';
import { readLetters, type Letter } from '../support/dead-letters.ts';

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
const attemptsMax = 6;
/** One record in so many is delayed, one in so many fails whenever it is delivered. */
const delayedEvery = 50;
const poisonEvery = 100;
const delayMsMax = 4_000;

export class SettlementLoad {
  readonly topic = 'settled';
  readonly deadTopic = 'settled-dead';
  readonly attemptsLost: string[] = [];
  readonly deliveredAfterConfirmedAck: string[] = [];
  readonly overtaken: string[] = [];
  /** Delivered before their time: of a publisher, or of a nack with a delay. */
  readonly early: string[] = [];
  readonly done = new Set<number>();
  readonly poison = new Set<number>();
  /** Told by the test: so often was the broker killed. */
  kills = 0;
  private readonly options: SettlementLoadOptions;
  private readonly seen = new Map<number, Seen>();
  /** Per key the record that was begun and whose ack was not sent. */
  private readonly begun = new Map<string, number>();
  /** The client says such an ack again after a lost connection, whatever became of the record. */
  private readonly ackSent = new Set<number>();
  private readonly rejected = new Set<number>();
  private readonly deliverAtMs = new Map<number, number>();
  private readonly nackedUntil = new Map<
    number,
    { readonly atMs: number; readonly kills: number }
  >();
  private readonly consumers = new Set<Consumer>();
  private readonly working: Promise<void>[] = [];
  private isFinishing = false;

  private constructor(options: SettlementLoadOptions) {
    this.options = options;
  }

  static async start(options: SettlementLoadOptions): Promise<SettlementLoad> {
    const load = new SettlementLoad(options);
    const { client, kind } = options;
    await client.topics.apply(load.topic);
    await client.topics.apply(load.deadTopic);
    await client.subscriptions.apply(load.topic, 'work', {
      kind,
      ackDeadlineMs,
      backoffMinMs: 1,
      backoffMaxMs: 50,
      attemptsMax,
      deadLetterTopic: load.deadTopic,
    });
    await load.publish();
    for (let i = 0; i < workerCount; i++) load.working.push(load.keepWorking());
    return load;
  }

  /** Waits until everything is acked or a dead letter, then stops. */
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

  get delayedCount(): number {
    return this.deliverAtMs.size;
  }

  letters(): Promise<Letter[]> {
    return readLetters(this.options.client, this.deadTopic);
  }

  /** Records that the broker let go although nobody acked them and no letter is there. */
  unaccountedFor(letters: readonly Letter[]): number[] {
    const dead = new Set(letters.map(({ origin }) => origin));
    return Array.from({ length: this.options.records }, (_, offset) => offset).filter(
      (offset) => !this.ackSent.has(offset) && !dead.has(offset),
    );
  }

  /**
   * Letters of records that were neither rejected nor worn out. Some were acked, too: by a consumer whose ack arrived
   * after another one had failed.
   */
  unfounded(letters: readonly Letter[]): Letter[] {
    return letters.filter(({ origin, reason, attempts }) =>
      reason === 'rejected'
        ? !this.rejected.has(origin)
        : reason !== 'attempts_exhausted' || attempts !== attemptsMax,
    );
  }

  private async publish(): Promise<void> {
    const { client, records, keys, random } = this.options;
    const publisher = client.publisher(this.topic);
    const delayed: Promise<void>[] = [];
    for (let i = 0; i < records; i++) {
      const record = { key: `key ${i % keys}`, value: i % poisonEvery === 7 ? 'poison' : `${i}` };
      if (i % delayedEvery !== 3) {
        publisher.send(record);
        continue;
      }
      const deliverAt = Date.now() + Math.floor(random.next() * delayMsMax);
      delayed.push(
        publisher.publish({ ...record, deliverAt }).then(({ offset }) => {
          this.deliverAtMs.set(offset, deliverAt);
        }),
      );
    }
    await publisher.close();
    await Promise.all(delayed);
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
    this.judgeTime(offset);
    if (this.options.kind !== 'keyed_queue') return;
    const key = keyOf(message);
    const elder = this.begun.get(key);
    if (elder !== undefined && elder < offset) this.overtaken.push(`${offset} before ${elder}`);
    // After its last attempt it may be a dead letter, which nobody tells the consumers.
    if (attempt >= attemptsMax) this.begun.delete(key);
    else if (!this.ackSent.has(offset)) this.begun.set(key, offset);
  }

  private judgeTime(offset: number): void {
    const leftMs = (this.deliverAtMs.get(offset) ?? 0) - Date.now();
    if (leftMs > 0) this.early.push(`${offset}: ${leftMs} ms before its time`);
    const nacked = this.nackedUntil.get(offset);
    // A kill may have come before the nack.
    if (nacked?.kills === this.kills && performance.now() < nacked.atMs) {
      this.early.push(`${offset}: before the delay of its nack`);
    }
  }

  private settle(message: Message): void {
    const { offset } = message;
    const chance = this.options.random.next();
    if (message.text() === 'poison') {
      this.poison.add(offset);
      message.nack();
      return;
    }
    if (chance < 0.15) {
      message.nack();
      return;
    }
    if (chance < 0.18) {
      const delayMs = 200;
      // The broker counts from when it is told, which is later.
      this.nackedUntil.set(offset, { atMs: performance.now() + delayMs, kills: this.kills });
      message.nack({ delayMs });
      return;
    }
    // Forgotten: its deadline passes.
    if (chance < 0.2) return;
    if (this.begun.get(keyOf(message)) === offset) this.begun.delete(keyOf(message));
    if (chance < 0.22) {
      this.rejected.add(offset);
      message.reject('by chance');
      return;
    }
    this.ackSent.add(offset);
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
