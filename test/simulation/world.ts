// One run: a real shard (journal, log, queue, tier) on a simulated disk, object store and clock, with publishers and
// consumers that do random things, and power cuts. Everything random comes from the seed.
import { BrokerError } from '../../broker/core/errors.ts';
import { partitionId, subscriptionId, tenantId } from '../../broker/core/ids.ts';
import { silentLog } from '../../broker/core/log.ts';
import { seededRandom, type Random } from '../../broker/core/random.ts';
import type { PartitionLog } from '../../broker/log/partition-log.ts';
import type { PartitionPolicy } from '../../broker/shard/policies.ts';
import type { ShardTierOptions } from '../../broker/shard/shard-tier.ts';
import { Shard } from '../../broker/shard/shard.ts';
import type { Subscription } from '../../broker/subscription/subscription.ts';
import { BlockCache } from '../../broker/tier/block-cache.ts';
import { Slots } from '../../broker/tier/slots.ts';
import { idleTier } from '../support/idle-tier.ts';
import { SimulatedDisk, turn } from '../support/simulated-disk.ts';
import { SimulatedStore } from '../support/simulated-store.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { checkAll } from './checkers.ts';
import { SimulatedConsumer, type Held } from './consumer.ts';
import type { Event, FinalState } from './history.ts';
import { valueOf } from './one-record-batch.ts';
import { SimulatedPublisher } from './publisher.ts';

const partition = partitionId(1);
const subscription = subscriptionId(1);
const backlog = { bytes: 0, policy: 'refuse_publish' } as const;
const policy = { ackDeadlineMs: 1_000, backoffMinMs: 10, backoffMaxMs: 100 };
/** Small, so that runs roll, seal, checkpoint and unlink. */
const generationBytes = 2_000;
const stepsPerLife = 40;
const tenant = tenantId(1);
const hot = { ageMs: 0, bytes: 0 };
const keepNothing: PartitionPolicy = {
  tenant,
  hot,
  backlog,
  timeToLiveMs: 0,
  retention: { ageMs: 0, bytes: 0, forever: false, unackedAgeMs: 0 },
};
const keepEverything: PartitionPolicy = {
  tenant,
  hot,
  backlog,
  timeToLiveMs: 0,
  retention: { ageMs: 0, bytes: 0, forever: true, unackedAgeMs: 0 },
};
const livesMax = 4;

/** Runs the seed; answers the rules that were broken. */
export async function simulate(seed: number): Promise<string[]> {
  const world = new World(seededRandom(seed));
  return world.run();
}

class World {
  private readonly random: Random;
  private readonly disk: SimulatedDisk;
  private readonly store: SimulatedStore;
  private readonly clock = new VirtualClock();
  private readonly history: Event[] = [];
  private readonly publishers: readonly SimulatedPublisher[];
  private consumers: SimulatedConsumer[] = [];
  private epoch = 0;
  private shard: Shard | undefined;
  private lastConsumer = 0;
  private seekCount = 0;
  private policy: PartitionPolicy = keepEverything;

  constructor(random: Random) {
    this.random = random;
    this.disk = new SimulatedDisk(random);
    this.store = new SimulatedStore(random);
    this.publishers = ['a', 'b'].map((name) => new SimulatedPublisher(name, this.history));
  }

  async run(): Promise<string[]> {
    const lives = 1 + Math.floor(this.random.next() * livesMax);
    for (let life = 0; life < lives; life++) {
      await this.start();
      for (let step = 0; step < stepsPerLife; step++) await this.step();
      await this.crash();
    }
    await this.start();
    const final = await this.drain();
    return checkAll(this.history, final);
  }

  private get log(): PartitionLog {
    return this.open.partition(partition);
  }

  private get open(): Shard {
    if (this.shard === undefined) throw new Error('the shard is down');
    return this.shard;
  }

  private get queue(): Subscription {
    const queue = this.open.subscription(subscription);
    if (queue === undefined) throw new Error('the subscription is not open');
    return queue;
  }

  private async start(): Promise<void> {
    this.epoch++;
    this.shard = await Shard.open({
      storage: this.disk.storage(),
      name: '0',
      epoch: this.epoch,
      volumeId: 'v',
      log: silentLog,
      generationBytes,
      tailCacheBytes: 1_000,
      clock: this.clock,
      random: this.random,
      tier: this.tier(),
      onFatal: (error) => {
        throw error;
      },
    });
    this.open.tier.start({ of: () => this.policy });
    await this.open.openSubscription({
      id: subscription,
      kind: 'queue',
      names: { topic: 't', subscription: 'q' },
      policy,
      paused: false,
      start: { kind: 'earliest' },
      partitions: [{ id: partition, index: 0 }],
    });
    for (const publisher of this.publishers) await publisher.open(this.log, this.clock.wallMs());
  }

  private async crash(): Promise<void> {
    this.disk.crash();
    this.store.crash();
    this.clock.forgetAlarms();
    this.history.push({ kind: 'crashed' });
    this.shard = undefined;
    for (const consumer of this.consumers) consumer.die();
    this.consumers = [];
    for (const publisher of this.publishers) publisher.lost();
    // What the old process still has under way ends nowhere.
    for (let i = 0; i < 8; i++) await turn();
  }

  private async step(): Promise<void> {
    const { random } = this;
    const draw = random.next();
    if (draw < 0.38) this.publisher().publish(this.log, this.clock.wallMs());
    else if (draw < 0.4) this.publisher().repeat(this.log, this.clock.wallMs());
    else if (draw < 0.47) this.attach();
    else if (draw < 0.5) this.detach();
    else if (draw < 0.75) this.settle();
    else if (draw < 0.85) this.clock.advance(Math.floor(random.next() * 400));
    else if (draw < 0.87) await this.retain();
    else if (draw < 0.88) await this.seek();
    else if (draw < 0.95) await this.offload();
    else for (let i = 0; i < 3; i++) await turn();
    if (random.next() < 0.5) await turn();
  }

  private publisher(): SimulatedPublisher {
    const index = Math.floor(this.random.next() * this.publishers.length);
    return this.publishers[index] as SimulatedPublisher;
  }

  private attach(): void {
    if (this.consumers.length >= 2) return;
    const consumer = new SimulatedConsumer(++this.lastConsumer, this.epoch, this.history);
    this.consumers.push(consumer);
    this.queue.attach(consumer);
  }

  private detach(): void {
    const consumer = this.consumers.pop();
    if (consumer !== undefined) this.queue.detach(consumer);
  }

  private settle(): void {
    const consumer = this.consumers[Math.floor(this.random.next() * this.consumers.length)];
    const held = consumer?.take(this.random);
    if (consumer === undefined || held === undefined) return;
    const draw = this.random.next();
    const verb = draw < 0.6 ? 'ack' : draw < 0.9 ? 'nack' : undefined;
    // Sometimes it says nothing and lets the deadline pass.
    if (verb === undefined) return;
    this.settleOne(consumer, held, verb);
    this.queue.pump();
  }

  private settleOne(consumer: SimulatedConsumer, held: Held, verb: 'ack' | 'nack'): void {
    const { offset, lease, attempt } = held;
    const settlement = {
      firstOffset: offset,
      lastOffset: offset,
      verb,
      lease,
      delayMs: 0,
      reason: '',
    } as const;
    const [failure] = this.queue.settle(consumer, partition, [settlement]);
    if (failure !== undefined) return;
    const { seekCount } = this;
    void this.open.journal.barrier().then(() => {
      // A seek since then has the last word, whatever the order of the answers.
      if (seekCount !== this.seekCount) return;
      if (verb === 'ack') this.history.push({ kind: 'ack-confirmed', offset });
      else this.history.push({ kind: 'nack-durable', offset, attempt });
    });
  }

  /** Small enough that a few records are offloaded, paged, dropped from the disk and read back. */
  private tier(): ShardTierOptions {
    return {
      ...idleTier(),
      objects: this.store.connect(),
      memory: { blocks: new BlockCache(1_500), slots: new Slots(2) },
      offloadAgeMs: 100,
      manifestPageRows: 2,
      hotRoom: () => ({ budgetBytes: 3 * generationBytes, isDiskTight: false }),
    };
  }

  private async retain(): Promise<void> {
    // Mostly nothing expires, so that acked records are read back from the store at the end.
    this.policy = this.random.next() < 0.3 ? keepNothing : keepEverything;
    void this.open.retain({ of: () => this.policy }).catch(rethrowUnlessDown);
    await turn();
  }

  private async offload(): Promise<void> {
    const { tier } = this.open;
    const draw = this.random.next();
    if (draw < 0.5) void tier.offloader.offloadNow([partition]).catch(rethrowUnlessDown);
    else if (draw < 0.8) void tier.offloader.tick().catch(rethrowUnlessDown);
    else void tier.sweep().catch(rethrowUnlessDown);
    await turn();
  }

  private async seek(): Promise<void> {
    const { startOffset, endOffset } = this.log;
    const span = endOffset - startOffset + 1;
    const offset = startOffset + Math.floor(this.random.next() * span);
    this.history.push({ kind: 'sought', offset });
    this.seekCount++;
    for (const consumer of this.consumers) consumer.forget();
    const moved = this.queue.dispatcher(partition)?.seek(offset);
    // Durable before anything else happens, so that the history says exactly what holds.
    let isDone = false;
    void moved?.then(() => (isDone = true));
    for (let i = 0; i < 60 && !isDone; i++) await turn();
  }

  /** No more faults: publishers finish, a patient consumer acks everything, then the partition is read. */
  private async drain(): Promise<FinalState> {
    this.store.isHealed = true;
    for (const publisher of this.publishers) publisher.publish(this.log, this.clock.wallMs());
    const consumer = new SimulatedConsumer(++this.lastConsumer, this.epoch, this.history);
    this.queue.attach(consumer);
    for (let round = 0; round < 400; round++) {
      for (let i = 0; i < 6; i++) await turn();
      for (let held = consumer.take(); held !== undefined; held = consumer.take()) {
        this.settleOne(consumer, held, 'ack');
      }
      this.queue.pump();
      this.clock.advance(50);
      const status = this.queue.status(partition);
      const isIdle = this.open.journal.pendingBytes === 0;
      if (round > 10 && isIdle && status?.ackedOffset === status?.endOffset) break;
    }
    const status = this.queue.status(partition);
    return {
      startOffset: this.log.startOffset,
      records: await this.readAll(),
      backlog: (status?.endOffset ?? 0) - (status?.ackedOffset ?? 0),
    };
  }

  private async readAll(): Promise<{ offset: number; value: string }[]> {
    const records: { offset: number; value: string }[] = [];
    const { log } = this;
    let next = log.startOffset;
    while (next < log.endOffset) {
      const batches = log.read(next, 10_000);
      if (batches === undefined) {
        await log.load(next);
        continue;
      }
      for (const { body, baseOffset, lastOffset } of batches) {
        records.push({ offset: baseOffset, value: valueOf(body) });
        next = lastOffset + 1;
      }
    }
    return records;
  }
}

/** A step that was under way when the power was lost fails in ways that mean nothing. */
function rethrowUnlessDown(error: unknown): void {
  if (error instanceof BrokerError && error.kind === 'unavailable') return;
  throw error;
}
