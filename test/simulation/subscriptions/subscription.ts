// One subscription of a run with its clients and its operator: everything that they may do, at random.
import { subscriptionId } from '../../../broker/core/ids.ts';
import type { Random } from '../../../broker/core/random.ts';
import type { PartitionLog } from '../../../broker/log/partition-log.ts';
import type { Shard } from '../../../broker/shard/shard.ts';
import type { Settlement } from '../../../broker/subscription/consumer.ts';
import { PumpState } from '../../../broker/subscription/pump-state.ts';
import { QueueDispatcher } from '../../../broker/subscription/queue-dispatcher.ts';
import { QueueState } from '../../../broker/subscription/queue-state.ts';
import type { QueuePolicy } from '../../../broker/subscription/queue-types.ts';
import type { RecordState } from '../../../broker/subscription/record-place.ts';
import type { Subscription, SubscriptionKind } from '../../../broker/subscription/subscription.ts';
import { turn } from '../../support/simulated-disk.ts';
import type { VirtualClock } from '../../support/virtual-clock.ts';
import { SimulatedConsumer, type Held } from './consumer.ts';
import { deadLetterTopic } from './dead-letter-topic.ts';
import type { Event, Settings, Verb } from './history.ts';

const ids = { stream: 1, queue: 2, keyed_queue: 3 } as const;
const consumersMax = 3;
const durableTurns = 60;

/** What all of a run share. */
export interface Surroundings {
  readonly random: Random;
  readonly clock: VirtualClock;
  readonly history: Event[];
  nextConsumer(): number;
  /** Says in the history what retention has removed since it was called last. */
  noteStart(): void;
}

/** What a client says at once about one record. */
interface Word {
  readonly verb: Settlement['verb'];
  readonly held: Held;
  readonly delayMs: number;
}

export class SimulatedSubscription {
  readonly kind: SubscriptionKind;
  settings: Settings;
  private readonly around: Surroundings;
  private consumers: SimulatedConsumer[] = [];
  private seekCount = 0;
  private shard: Shard | undefined;
  private log: PartitionLog | undefined;

  constructor(kind: SubscriptionKind, settings: Settings, around: Surroundings) {
    this.kind = kind;
    this.settings = settings;
    this.around = around;
    around.history.push({ kind: 'settings', to: kind, settings });
  }

  get id() {
    return subscriptionId(ids[this.kind]);
  }

  get isQueue(): boolean {
    return this.kind !== 'stream';
  }

  async open(shard: Shard, log: PartitionLog): Promise<void> {
    this.shard = shard;
    this.log = log;
    await shard.openSubscription({
      id: this.id,
      kind: this.kind,
      names: { topic: 'public/default/t', subscription: this.kind },
      policy: this.policy(),
      paused: this.settings.paused,
      start: { kind: 'earliest' },
      partitions: [{ id: log.id, index: 0 }],
    });
    // As whoever opens one does.
    this.live.applyPolicy(this.policy(), this.settings.paused);
  }

  crash(): void {
    for (const consumer of this.consumers) consumer.die();
    this.consumers = [];
  }

  attach(credit = 1 + this.draw(5)): SimulatedConsumer | undefined {
    if (this.consumers.length >= consumersMax) return undefined;
    const { clock, history } = this.around;
    const number = this.around.nextConsumer();
    const consumer = new SimulatedConsumer(number, this.kind, credit, clock, history, () =>
      this.around.noteStart(),
    );
    this.consumers.push(consumer);
    this.live.attach(consumer);
    return consumer;
  }

  detach(): void {
    const [consumer] = this.consumers.splice(this.draw(this.consumers.length), 1);
    if (consumer === undefined) return;
    const lost = consumer.held.map((held) => this.said('lost', held, 0));
    if (this.isQueue) this.taken(lost);
    consumer.held = [];
    this.live.detach(consumer);
    this.whenDurable(lost);
  }

  /** A client says something about what it holds, or once held. */
  settle(): void {
    const { random } = this.around;
    const consumer = this.consumers[this.draw(this.consumers.length)];
    if (consumer === undefined) return;
    const held = consumer.pick(random);
    if (!this.isQueue) {
      if (held !== undefined) this.ackUpTo(consumer, held.offset);
      return;
    }
    const late = consumer.heldBefore[this.draw(consumer.heldBefore.length)];
    if (late !== undefined && random.next() < 0.1) {
      this.say(consumer, [{ verb: 'ack', held: late, delayMs: 0 }]);
    }
    if (held === undefined) return;
    const words = [this.wordOf(held)];
    // It changes its mind.
    if (random.next() < 0.05) words.push({ verb: 'ack', held, delayMs: 0 });
    const other = random.next() < 0.2 ? consumer.pick(random) : undefined;
    if (other !== undefined) words.push(this.wordOf(other));
    this.say(consumer, words);
    this.live.pump();
  }

  /** Acks everything that the consumer holds. */
  ackAll(consumer: SimulatedConsumer): void {
    const last = consumer.held.at(-1);
    if (last === undefined) return;
    if (this.isQueue) {
      const words = consumer.held.map((held) => ({ verb: 'ack', held, delayMs: 0 }) as const);
      this.say(consumer, words);
    } else this.ackUpTo(consumer, last.offset);
  }

  pump(): void {
    this.live.pump();
  }

  async seek(): Promise<void> {
    const { startOffset, endOffset } = this.open_.log;
    const offset = startOffset + this.draw(endOffset - startOffset + 1);
    this.around.history.push({ kind: 'sought', to: this.kind, offset, isDurable: false });
    const { kind } = this;
    const number = ++this.seekCount;
    for (const consumer of this.consumers) consumer.forget();
    let isDone = false;
    void this.live
      .dispatcher(this.open_.log.id)
      ?.seek(offset)
      .then(() => {
        isDone = true;
        if (number !== this.seekCount) return;
        this.around.history.push({ kind: 'sought', to: kind, offset, isDurable: true });
      });
    if (this.draw(3) === 0) return;
    for (let i = 0; i < durableTurns && !isDone; i++) await turn();
  }

  change(settings: Partial<Settings>): void {
    this.settings = { ...this.settings, ...settings };
    this.around.history.push({ kind: 'settings', to: this.kind, settings: this.settings });
    this.live.applyPolicy(this.policy(), this.settings.paused);
  }

  /** Looks at it as the operator does, and checks what it says of itself. */
  look(isQuiet: boolean): void {
    const { history } = this.around;
    const dispatcher = this.live.dispatcher(this.open_.log.id);
    const status = dispatcher?.status();
    if (!(dispatcher instanceof QueueDispatcher) || status === undefined) return;
    const state: unknown = Reflect.get(dispatcher, 'state');
    if (state instanceof QueueState) state.check();
    const recount: Record<RecordState, number> = {
      ...{ ready: 0, in_flight: 0, waiting: 0, delayed: 0, dead: 0 },
    };
    const { places } = dispatcher.places(undefined, 0, 10_000);
    for (const place of places) recount[place.state]++;
    const pumping: unknown = Reflect.get(dispatcher, 'pumping');
    const isReading = !(pumping instanceof PumpState && pumping.isReady);
    history.push({
      kind: 'status',
      to: this.kind,
      status,
      recount,
      isQuiet: isQuiet && !isReading,
    });
  }

  /** Records that are not acked, and letters that have not arrived. */
  backlog(): { readonly records: number; readonly letters: number } {
    const dispatcher = this.live.dispatcher(this.open_.log.id);
    const status = dispatcher?.status();
    if (status === undefined) return { records: -1, letters: -1 };
    const state: unknown = dispatcher && Reflect.get(dispatcher, 'state');
    const letters = state instanceof QueueState ? [...state.outbox].length : 0;
    const records = status.endOffset - status.ackedOffset - status.ackedAbove;
    return { records, letters };
  }

  private ackUpTo(consumer: SimulatedConsumer, offset: number): void {
    const settlement = { ...bare, verb: 'cumulative', firstOffset: offset, lastOffset: offset };
    const { history } = this.around;
    const at = history.length;
    const [failure] = this.live.settle(consumer, this.open_.log.id, [settlement as Settlement]);
    if (failure !== undefined) return;
    consumer.held = consumer.held.filter((held) => held.offset > offset);
    history.splice(at, 0, { kind: 'cumulative', offset, isDurable: false });
    const { seekCount } = this;
    void this.open_.shard.journal.barrier().then(() => {
      // A seek since then has the last word, whatever the order of the answers.
      if (seekCount !== this.seekCount) return;
      history.push({ kind: 'cumulative', offset, isDurable: true });
    });
    this.live.pump();
  }

  private wordOf(held: Held): Word {
    const draw = this.around.random.next();
    const delayMs = draw < 0.1 ? 1 + this.draw(400) : 0;
    // Sometimes it says nothing and lets the deadline pass: then it is not asked.
    if (draw < 0.25) return { verb: 'nack', held, delayMs };
    if (draw < 0.33) return { verb: 'reject', held, delayMs: 0 };
    if (draw < 0.38) return { verb: 'return', held, delayMs: 0 };
    if (draw < 0.43) return { verb: 'extend', held, delayMs: 0 };
    return { verb: 'ack', held, delayMs: 0 };
  }

  /** All of it in one call. What the broker took stands in the history before what it handed out for it. */
  private say(consumer: SimulatedConsumer, words: readonly Word[]): void {
    const { history, clock } = this.around;
    const settlements = words.map(({ verb, held, delayMs }): Settlement => {
      const { offset, lease } = held;
      return { ...bare, firstOffset: offset, lastOffset: offset, verb, lease, delayMs };
    });
    for (const { verb, held } of words) if (verb !== 'extend') consumer.drop(held);
    const at = history.length;
    const failures = this.live.settle(consumer, this.open_.log.id, settlements);
    const taken = words.flatMap(({ verb, held, delayMs }, i) => {
      if (failures[i] !== undefined || verb === 'extend' || verb === 'cumulative') return [];
      const notBeforeMs = delayMs > 0 ? clock.monotonicMs() + delayMs : 0;
      return [this.said(verb, held, notBeforeMs)];
    });
    history.splice(at, 0, ...taken);
    this.whenDurable(taken);
  }

  private said(verb: Verb, { offset, attempt, lease }: Held, notBeforeMs: number) {
    const to = this.kind;
    return {
      kind: 'said',
      to,
      verb,
      offset,
      attempt,
      lease,
      notBeforeMs,
      isDurable: false,
    } as const;
  }

  private taken(events: readonly Event[]): void {
    this.around.history.push(...events);
  }

  private whenDurable(events: readonly ReturnType<SimulatedSubscription['said']>[]): void {
    if (events.length === 0 || !this.isQueue) return;
    const { seekCount } = this;
    void this.open_.shard.journal.barrier().then(() => {
      if (seekCount !== this.seekCount) return;
      this.taken(events.map((event) => ({ ...event, isDurable: true })));
    });
  }

  private policy(): QueuePolicy {
    const { attemptsMax, hasDeadLetterTopic, deadLetterExpired, recordsPerSecondMax } =
      this.settings;
    return {
      ...{ ackDeadlineMs: 400, backoffMinMs: 10, backoffMaxMs: 100 },
      ...{ attemptsMax, deadLetterExpired, recordsPerSecondMax },
      deadLetterTopic: hasDeadLetterTopic ? deadLetterTopic : '',
    };
  }

  private get open_(): { readonly shard: Shard; readonly log: PartitionLog } {
    const { shard, log } = this;
    if (shard === undefined || log === undefined) throw new Error('the shard is down');
    return { shard, log };
  }

  private get live(): Subscription {
    const live = this.open_.shard.subscription(this.id);
    if (live === undefined) throw new Error('the subscription is not open');
    return live;
  }

  /** A whole number below `max`. */
  private draw(max: number): number {
    return Math.floor(this.around.random.next() * max);
  }
}

const bare = { lease: 0, delayMs: 0, reason: '' } as const;
