// One run of the subscriptions of every kind: a real shard on a simulated disk and clock, a dead-letter topic in
// another shard on another disk, clients that come and go and say random things, an operator, clocks that step, power
// cuts. A run uses some of the features only: few things that meet often find more than many that meet seldom.
import { BrokerError } from '../../../broker/core/errors.ts';
import { partitionId, tenantId } from '../../../broker/core/ids.ts';
import { silentLog } from '../../../broker/core/log.ts';
import { seededRandom, type Random } from '../../../broker/core/random.ts';
import type { PartitionLog } from '../../../broker/log/partition-log.ts';
import type { PartitionPolicy } from '../../../broker/shard/policies.ts';
import { Shard } from '../../../broker/shard/shard.ts';
import type { SubscriptionKind } from '../../../broker/subscription/subscription.ts';
import { idleTier } from '../../support/idle-tier.ts';
import { SimulatedDisk, turn } from '../../support/simulated-disk.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';
import { checkAll } from './checkers.ts';
import { letterOf, SimulatedDeadLetterTopic } from './dead-letter-topic.ts';
import type { Event, Fact, FinalState, Letter, Settings } from './history.ts';
import { batchOf, recordsOf } from './records.ts';
import { SimulatedSubscription } from './subscription.ts';

const source = partitionId(1);
const letters = partitionId(2);
/** Small, so that runs roll, checkpoint and unlink. */
const generationBytes = 1_500;
const stepsPerLife = 35;
const livesMax = 4;
const dayMs = 24 * 3600 * 1000;
const keysAll = ['', 'k', 'l', 'm'];
const subscriptionSets: readonly (readonly SubscriptionKind[])[] = [
  ['queue'],
  ['keyed_queue'],
  ['queue', 'keyed_queue'],
  ['stream'],
  ['stream', 'queue'],
  ['keyed_queue'],
  ['queue'],
];

interface Features {
  readonly delays: boolean;
  readonly timeToLive: boolean;
  readonly priorities: boolean;
  readonly deadLetters: boolean;
  readonly seeks: boolean;
  readonly operator: boolean;
  readonly clockSteps: boolean;
  readonly retention: boolean;
}

/** Runs the seed; answers the rules that were broken. */
export async function simulateSubscriptions(seed: number): Promise<string[]> {
  return new World(seededRandom(seed)).run();
}

class World {
  private readonly random: Random;
  private readonly disk: SimulatedDisk;
  private readonly deadLetterDisk: SimulatedDisk;
  private readonly clock = new VirtualClock();
  private readonly history: Event[] = [];
  private readonly features: Features;
  private readonly subscriptions: readonly SimulatedSubscription[];
  private epoch = 0;
  private shard: Shard | undefined;
  private deadLetterShard: Shard | undefined;
  private target: SimulatedDeadLetterTopic | undefined;
  private lastConsumer = 0;
  private lastValue = 0;
  private lastStart = 0;

  constructor(random: Random) {
    this.random = random;
    this.disk = new SimulatedDisk(random);
    this.deadLetterDisk = new SimulatedDisk(random);
    const chance = (): boolean => random.next() < 0.45;
    this.features = {
      ...{ delays: chance(), timeToLive: chance(), priorities: chance(), deadLetters: chance() },
      ...{ seeks: chance(), operator: chance(), clockSteps: chance(), retention: chance() },
    };
    const kinds = subscriptionSets[this.draw(subscriptionSets.length)] ?? [];
    const { clock, history } = this;
    const around = {
      ...{ random, clock, history },
      nextConsumer: () => ++this.lastConsumer,
      noteStart: () => this.noteStart(),
    };
    this.subscriptions = kinds.map(
      (kind) => new SimulatedSubscription(kind, this.firstSettings(), around),
    );
  }

  async run(): Promise<string[]> {
    const lives = 1 + this.draw(livesMax);
    for (let life = 0; life < lives; life++) {
      await this.start();
      for (let step = 0; step < stepsPerLife && !this.isBadMoment(); step++) await this.step();
      await this.crash();
    }
    await this.start();
    return checkAll(this.history, await this.drain());
  }

  /** To lose power: a letter has arrived, and that is not durable yet. */
  private isBadMoment(): boolean {
    const last = this.history.at(-1);
    return last?.kind === 'letter' && !last.isDurable && this.draw(4) === 0;
  }

  private async start(): Promise<void> {
    this.epoch++;
    this.shard = await this.openShard('0', this.disk);
    this.deadLetterShard = await this.openShard('1', this.deadLetterDisk);
    const { clock, history, shard } = this;
    const log = this.deadLetterShard.partition(letters);
    this.target = new SimulatedDeadLetterTopic(log, clock, history, () => shard.journal.barrier());
    if (this.draw(4) === 0) this.target.state = 'full';
    this.shard.deadLetters = this.target;
    history.push({ kind: 'opened', endOffset: this.log.endOffset, wallMs: clock.wallMs() });
    for (const subscription of this.subscriptions) await subscription.open(this.open, this.log);
  }

  private openShard(name: string, disk: SimulatedDisk): Promise<Shard> {
    return Shard.open({
      storage: disk.storage(),
      ...{ name, epoch: this.epoch, volumeId: 'v', log: silentLog },
      ...{ generationBytes, tailCacheBytes: 1_000 },
      ...{ clock: this.clock, random: this.random, tier: idleTier() },
      onFatal: (error) => {
        throw error;
      },
    });
  }

  private async crash(): Promise<void> {
    this.disk.crash();
    this.deadLetterDisk.crash();
    this.clock.forgetAlarms();
    this.history.push({ kind: 'crashed' });
    for (const subscription of this.subscriptions) subscription.crash();
    // What the old process still has under way ends nowhere.
    for (let i = 0; i < 8; i++) await turn();
    // A machine that was down comes back at another time, by whatever clock.
    this.passTime(this.draw(600));
    if (this.features.clockSteps && this.draw(3) === 0) this.stepWall();
  }

  private async step(): Promise<void> {
    const { random, features } = this;
    const draw = random.next();
    const subscription = this.subscriptions[this.draw(this.subscriptions.length)];
    if (subscription === undefined) return;
    if (draw < 0.2) this.publish();
    else if (draw < 0.3) subscription.attach();
    else if (draw < 0.35) subscription.detach();
    else if (draw < 0.65) subscription.settle();
    else if (draw < 0.77) this.passTime(this.draw(300));
    else if (draw < 0.8 && features.clockSteps) this.stepWall();
    else if (draw < 0.825 && features.retention) this.retain();
    else if (draw < 0.84 && features.seeks) await subscription.seek();
    else if (draw < 0.87 && features.operator) this.operate(subscription);
    else if (draw < 0.89 && features.delays) this.cancel();
    else if (draw < 0.92 && features.deadLetters) this.changeTarget();
    else if (draw < 0.95) await this.look(subscription);
    else for (let i = 0; i < 3; i++) await turn();
    if (random.next() < 0.5) await turn();
  }

  private publish(): void {
    const { clock, log, features } = this;
    // Now and then many, so that what is preferred comes again and again.
    const batches = features.priorities && this.draw(4) === 0 ? 12 : 1;
    for (let i = 0; i < batches; i++) {
      const records = Array.from({ length: 1 + this.draw(3) }, () => ({
        key: keysAll[this.draw(keysAll.length)] ?? '',
        value: `value ${++this.lastValue}`,
      }));
      const terms = this.terms();
      const first = log.nextOffset;
      const nowMs = clock.wallMs();
      const append = {
        ...{ publisher: undefined, sequence: 0, expectedOffset: undefined, compressed: false },
        ...{ body: batchOf(records), recordCount: records.length, keyed: true, terms },
      };
      log.append(append, nowMs, (base, count) => {
        for (let j = 0; j < count; j++) this.history.push({ kind: 'stored', offset: base + j });
      });
      const dueMs = Math.max(log.lastAppendTimeMs, terms.deliverAtMs);
      const expiresAtMs = terms.timeToLiveMs === 0 ? Infinity : dueMs + terms.timeToLiveMs;
      const audience = this.subscriptions.find(({ id }) => id === terms.audience)?.kind ?? '';
      const { priority } = terms;
      const deliverAtMs = terms.deliverAtMs > nowMs ? terms.deliverAtMs : 0;
      records.forEach((record, j) => {
        const fact: Fact = {
          ...record,
          ...{ offset: first + j, deliverAtMs, expiresAtMs, priority, audience },
        };
        this.history.push({ kind: 'appended', fact });
      });
    }
  }

  private terms() {
    const { delays, timeToLive, priorities } = this.features;
    const queue = this.subscriptions.find(({ isQueue }) => isQueue);
    const isFor = queue !== undefined && this.draw(30) === 0;
    return {
      deliverAtMs: delays && this.draw(4) === 0 ? this.clock.wallMs() + 1 + this.draw(1_500) : 0,
      timeToLiveMs: timeToLive && this.draw(4) === 0 ? 100 + this.draw(1_500) : 0,
      priority: priorities && this.draw(2) === 0 ? ([1, 5, 9, 9, 9][this.draw(5)] as number) : 0,
      audience: isFor ? queue.id : 0,
    };
  }

  private passTime(ms: number): void {
    this.clock.advance(ms);
    this.history.push({ kind: 'time', wallMs: this.clock.wallMs(), isStep: false });
  }

  private stepWall(): void {
    const draw = this.draw(10);
    this.clock.stepWall(draw < 2 ? dayMs * 1.5 : this.draw(2_400) - 1_200);
    this.history.push({ kind: 'time', wallMs: this.clock.wallMs(), isStep: true });
  }

  private retain(): void {
    const forever = this.draw(2) === 0;
    const policy: PartitionPolicy = {
      ...{ tenant: tenantId(1), hot: { ageMs: 0, bytes: 0 }, timeToLiveMs: 0 },
      backlog: { bytes: 0, policy: 'refuse_publish' },
      retention: { ageMs: 0, bytes: 0, forever, unackedAgeMs: 0 },
    };
    const kept = { ...policy, retention: { ...policy.retention, forever: true } };
    void this.open.retain({ of: () => policy }).catch(rethrowUnlessDown);
    void this.deadLetterShard?.retain({ of: () => kept }).catch(rethrowUnlessDown);
  }

  private operate(subscription: SimulatedSubscription): void {
    const { settings } = subscription;
    const draw = this.draw(10);
    if (settings.paused) subscription.change({ paused: false });
    else if (draw < 2) subscription.change({ paused: true, recordsPerSecondMax: 0 });
    else if (draw < 4) subscription.change({ recordsPerSecondMax: [0, 5, 20][this.draw(3)] ?? 0 });
    else if (draw < 6) subscription.change({ attemptsMax: this.draw(4) });
    else if (draw < 8) subscription.change({ deadLetterExpired: !settings.deadLetterExpired });
    else if (draw < 9) subscription.change({ hasDeadLetterTopic: this.draw(3) > 0 });
    else subscription.change({});
  }

  private cancel(): void {
    const { log } = this;
    const first = log.startOffset + this.draw(log.endOffset - log.startOffset + 1);
    const last = Math.min(first + this.draw(4), log.endOffset - 1);
    const offsets: number[] = [];
    for (let at = first; at <= last; at++) {
      const isHeld = log.marks.nextHeld(at, at + 1) === at && !log.marks.isCancelled(at);
      if (isHeld) offsets.push(at);
    }
    for (const offset of offsets)
      this.history.push({ kind: 'cancelled', offset, isDurable: false });
    void log.cancelHeld(first, last).then(() => {
      for (const offset of offsets) {
        this.history.push({ kind: 'cancelled', offset, isDurable: true });
      }
    });
  }

  private changeTarget(): void {
    const { target } = this;
    if (target === undefined) return;
    const isWell = target.state === 'well';
    target.state = isWell ? (this.draw(2) === 0 ? 'missing' : 'full') : 'well';
  }

  /** Half of the time when nothing is under way any more. */
  private async look(subscription: SimulatedSubscription): Promise<void> {
    const waits = this.draw(2) === 0;
    let quietTurns = 0;
    for (let i = 0; waits && i < 60 && quietTurns < 6; i++) {
      await turn();
      const isQuiet =
        this.open.journal.pendingBytes === 0 && this.deadLetterShard?.journal.pendingBytes === 0;
      quietTurns = isQuiet ? quietTurns + 1 : 0;
    }
    subscription.look(quietTurns >= 6);
  }

  private firstSettings(): Settings {
    const { deadLetters } = this.features;
    return {
      attemptsMax: deadLetters ? 1 + this.draw(3) : 0,
      hasDeadLetterTopic: deadLetters,
      deadLetterExpired: deadLetters && this.draw(2) === 0,
      recordsPerSecondMax: this.draw(8) === 0 ? 20 : 0,
      paused: false,
    };
  }

  /** No more faults: patient consumers ack everything, letters arrive, then all of it is read. */
  private async drain(): Promise<FinalState> {
    if (this.target !== undefined) this.target.state = 'well';
    const patient = this.subscriptions.map((subscription) => {
      subscription.change({ paused: false, recordsPerSecondMax: 0 });
      return [subscription, subscription.attach(20)] as const;
    });
    for (let round = 0; round < 200; round++) {
      for (let i = 0; i < 5; i++) await turn();
      for (const [subscription, consumer] of patient) {
        if (consumer !== undefined) subscription.ackAll(consumer);
        subscription.pump();
      }
      this.passTime(200);
      if (round > 4 && this.isDrained()) break;
    }
    const backlogs = this.subscriptions.map(
      (subscription) => [subscription.kind, subscription.backlog().records] as const,
    );
    return {
      startOffset: this.log.startOffset,
      records: (await recordsIn(this.log)).map(([offset, { value }]) => ({ offset, value })),
      letters: await this.lettersStored(),
      backlogs: new Map(backlogs),
    };
  }

  private isDrained(): boolean {
    if (this.open.journal.pendingBytes > 0) return false;
    return this.subscriptions.every((subscription) => {
      const { records, letters: onTheirWay } = subscription.backlog();
      return records === 0 && onTheirWay === 0;
    });
  }

  private async lettersStored(): Promise<Letter[]> {
    const log = this.deadLetterShard?.partition(letters);
    if (log === undefined) return [];
    return (await recordsIn(log)).map(([, record]) => letterOf(record));
  }

  private get open(): Shard {
    if (this.shard === undefined) throw new Error('the shard is down');
    return this.shard;
  }

  private get log(): PartitionLog {
    return this.open.partition(source);
  }

  private noteStart(): void {
    const { startOffset } = this.log;
    if (startOffset > this.lastStart) this.history.push({ kind: 'trimmed', startOffset });
    this.lastStart = Math.max(startOffset, this.lastStart);
  }

  private draw(max: number): number {
    return Math.floor(this.random.next() * max);
  }
}

async function recordsIn(log: PartitionLog) {
  const records: [number, ReturnType<typeof recordsOf>[number]][] = [];
  let next = log.startOffset;
  while (next < log.endOffset) {
    const batches = log.read(next, 10_000);
    if (batches === undefined) {
      await log.load(next);
      continue;
    }
    for (const { body, baseOffset, lastOffset } of batches) {
      recordsOf(body).forEach((record, i) => {
        if (baseOffset + i >= next) records.push([baseOffset + i, record]);
      });
      next = lastOffset + 1;
    }
  }
  return records;
}

/** A step that was under way when the power was lost fails in ways that mean nothing. */
function rethrowUnlessDown(error: unknown): void {
  if (error instanceof BrokerError && error.kind === 'unavailable') return;
  throw error;
}
