// Hands the records of one partition to the consumers of a queue subscription, and takes their answers.
//
// The decisions are QueueState's; this shell reads the log, journals what must survive, and keeps one timer.
//
// Invariants:
// - An ack or an ended attempt is journaled in the turn in which it counts; a lease is never journaled.
// - A record is not retried before its attempts are durable.
// - Consumers with credit take turns; a shallow backlog is shared among them instead of going to the first.
// - What cannot be read stops this partition and says so; it is never skipped.
import type { Timer } from '../core/clock.ts';
import type {
  BlockedReason,
  Consumer,
  PartitionStatus,
  Settlement,
  SettlementFailure,
} from './consumer.ts';
import { dispatchBytesPerTurn, type Dispatcher, type DispatcherContext } from './dispatcher.ts';
import { DeadLetterSender } from './dead-letter-sender.ts';
import type { SubscriptionEntry } from './entries.ts';
import type { OffsetRange } from './offset-range.ts';
import type { QueueState } from './queue-state.ts';
import type { AttemptRun, EndedLease, QueuePolicy } from './queue-types.ts';
import type { DeadLetter } from './outbox-state.ts';
import { ReadTrouble } from './read-trouble.ts';
import { RunSource } from './run-source.ts';

export class QueueDispatcher implements Dispatcher {
  readonly partition: number;
  private readonly context: DispatcherContext;
  private readonly state: QueueState;
  private readonly source: RunSource;
  private readonly stopListening: () => void;
  private readonly draw: () => number;
  private consumers: readonly Consumer[] = [];
  private turn = 0;
  private paused: boolean;
  private deadLetterTopic: string;
  private busy: 'no' | 'loading' | 'yielding' | 'closed' = 'no';
  private readonly trouble: ReadTrouble;
  private timer: Timer | undefined;
  private timerAtMs = Infinity;
  private readonly sender: DeadLetterSender;
  /** Letters up to this number are durable as dead. */
  private deadDurable: number;
  private readonly totals = { deadLettered: 0, dropped: 0 };

  constructor(context: DispatcherContext, state: QueueState, policy: QueuePolicy, paused: boolean) {
    this.context = context;
    this.partition = context.partition;
    this.state = state;
    this.deadLetterTopic = policy.deadLetterTopic ?? '';
    this.deadDurable = state.lastDeadNumber;
    this.paused = paused;
    this.source = new RunSource(context.partitionLog);
    this.trouble = new ReadTrouble(context, () => this.pump());
    this.draw = () => context.random.next();
    this.stopListening = context.partitionLog.onVisible(() => this.pump());
    this.sender = new DeadLetterSender(context, {
      first: () => this.sendableLetter(),
      topic: () => this.deadLetterTopic,
      arrived: (letter) => this.deadArrived(letter),
      changed: () => this.tellBlocked(),
    });
    // What a stop interrupted; in a turn of its own, when everything is open.
    setImmediate(() => this.sender.send());
  }

  get ackedBelow(): number {
    return this.state.floor;
  }

  pump(): void {
    if (this.busy !== 'no' || this.paused || this.trouble.isWaiting) return;
    const { clock, partitionLog } = this.context;
    this.skipExpired();
    const nowMs = clock.monotonicMs();
    const { rate } = this.context;
    let handedBytes = 0;
    for (;;) {
      const consumer = this.nextConsumer();
      if (consumer === undefined) break;
      const end = partitionLog.endOffset;
      const allowed = rate.available(nowMs);
      if (allowed < 1) {
        this.armAt(rate.nextAtMs(nowMs), nowMs);
        break;
      }
      const next = this.state.next(nowMs, end, Math.min(consumer.creditRecords(), allowed));
      if (next.kind === 'keys') {
        if (this.offerKeys(next.from)) continue;
        break;
      }
      if (next.kind !== 'run') break;
      const share = Math.ceil((end - next.first) / this.consumers.length);
      const run = this.take(next.first, Math.min(next.last, next.first + share - 1));
      if (run === undefined) break;
      const lease = this.state.lease(run.firstOffset, run.lastOffset, consumer.number, nowMs);
      consumer.deliver({
        partition: this.partition,
        baseOffset: run.baseOffset,
        appendTimeMs: run.appendTimeMs,
        epoch: run.epoch,
        attempt: lease.attempt,
        lease: lease.lease,
        selected: run.selected,
        batch: run.batch,
        recordCount: run.lastOffset - run.firstOffset + 1,
      });
      rate.take(run.lastOffset - run.firstOffset + 1);
      handedBytes += run.batch.length;
      if (handedBytes >= dispatchBytesPerTurn) {
        this.yieldTurn();
        break;
      }
    }
    this.arm(nowMs);
  }

  consumersChanged(consumers: readonly Consumer[]): void {
    const reasons = this.lastingReasons();
    const newcomers = consumers.filter((consumer) => !this.consumers.includes(consumer));
    if (reasons.length > 0) for (const consumer of newcomers) consumer.blocked(reasons);
    this.consumers = consumers;
    this.pump();
  }

  release(consumer: Consumer): void {
    const nowMs = this.context.clock.monotonicMs();
    this.journalAttempts(runsOf(this.state.releaseConsumer(consumer.number, nowMs)));
    this.journalDead();
  }

  settle(
    _consumer: Consumer,
    settlements: readonly Settlement[],
  ): readonly (SettlementFailure | undefined)[] {
    const nowMs = this.context.clock.monotonicMs();
    const acked: { first: number; last: number }[] = [];
    const attempts: AttemptRun[] = [];
    const outcomes = settlements.map((settlement) =>
      this.settleOne(settlement, nowMs, acked, attempts),
    );
    if (acked.length > 0) this.journalAcks(acked);
    this.journalAttempts(attempts);
    this.journalDead();
    this.pump();
    return outcomes;
  }

  async seek(offset: number): Promise<void> {
    const { fence, lost } = this.state.seek(offset);
    const { subscriptionId, partitionId, journal } = this.context;
    if (this.trouble.clear()) this.tellBlocked();
    this.tellLost(lost);
    await journal.write({ kind: 'seek', subscriptionId, partitionId, offset, fence });
    this.pump();
  }

  setPaused(paused: boolean): void {
    if (paused === this.paused) return;
    this.paused = paused;
    this.tellBlocked();
    this.pump();
  }

  setPolicy(policy: QueuePolicy): void {
    this.state.setPolicy(policy);
    this.deadLetterTopic = policy.deadLetterTopic ?? '';
    this.context.rate.change(policy.recordsPerSecondMax ?? 0, this.context.clock.monotonicMs());
    this.sender.retry();
    this.pump();
  }

  inFlightOf(consumer: Consumer): number {
    return this.state.inFlightOf(consumer.number);
  }

  status(): PartitionStatus {
    const { clock, partitionLog } = this.context;
    const nowMs = clock.monotonicMs();
    const endOffset = partitionLog.endOffset;
    const counts = this.state.counts(nowMs, endOffset);
    return {
      ackedOffset: counts.floor,
      endOffset,
      ready: counts.ready,
      inFlight: counts.inFlight,
      waiting: counts.waiting,
      dead: counts.dead,
      deadLetteredTotal: this.totals.deadLettered,
      droppedTotal: this.totals.dropped,
      ackedAbove: counts.ackedAbove,
      blockDetail: this.trouble.detail || this.sender.failure,
      blocked: this.blockedReasons(nowMs, counts.ready + counts.waiting),
    };
  }

  checkpoint(): SubscriptionEntry {
    const { clock, subscriptionId, partitionId } = this.context;
    const state = this.state.checkpoint(clock.wallMs() - clock.monotonicMs());
    return {
      kind: 'subscriptionCheckpoint',
      subscriptionId,
      partitionId,
      subscriptionKind: 'queue',
      state,
    };
  }

  close(): void {
    this.busy = 'closed';
    this.stopListening();
    this.trouble.clear();
    this.timer?.cancel();
    this.sender.close();
  }

  private settleOne(
    settlement: Settlement,
    nowMs: number,
    acked: { first: number; last: number }[],
    attempts: AttemptRun[],
  ): SettlementFailure | undefined {
    const { firstOffset, lastOffset, verb, lease, delayMs, reason } = settlement;
    if (lastOffset >= this.context.partitionLog.endOffset) return 'invalid';
    switch (verb) {
      case 'ack': {
        const newly = this.state.ack(firstOffset, lastOffset, lease);
        if (typeof newly !== 'number') return newly;
        if (newly > 0) addRange(acked, firstOffset, lastOffset);
        return undefined;
      }
      case 'nack': {
        const { state, draw } = this;
        const runs = state.nack(lease, firstOffset, lastOffset, delayMs, nowMs, draw, reason);
        if (typeof runs === 'string') return runs;
        attempts.push(...runs);
        return undefined;
      }
      case 'reject': {
        const dropped = this.state.reject(lease, firstOffset, lastOffset, reason);
        if (typeof dropped === 'string') return dropped;
        for (const { first, last } of dropped) {
          this.totals.dropped += last - first + 1;
          addRange(acked, first, last);
        }
        return undefined;
      }
      case 'extend':
        return failureOf(this.state.extend(lease, delayMs, nowMs));
      case 'return':
        return failureOf(this.state.giveBack(lease, firstOffset, lastOffset, nowMs));
      case 'cumulative':
        return 'wrong_verb';
    }
  }

  /** The next consumer with credit, taking turns. */
  private nextConsumer(): Consumer | undefined {
    const { consumers } = this;
    for (let i = 0; i < consumers.length; i++) {
      this.turn = (this.turn + 1) % consumers.length;
      const consumer = consumers[this.turn];
      if (consumer !== undefined && consumer.creditRecords() > 0) return consumer;
    }
    return undefined;
  }

  /** False: the keys are not in memory, or cannot be read. */
  private offerKeys(from: number): boolean {
    try {
      const hashes = this.source.keys(from);
      if (hashes === undefined) this.loadThenPump(from);
      else this.state.offerKeys(from, hashes);
      return hashes !== undefined;
    } catch (error) {
      this.stopOn(error);
      return false;
    }
  }

  private take(first: number, last: number) {
    try {
      const run = this.source.take(first, last);
      if (run === undefined) this.loadThenPump(first);
      else if (this.trouble.clear()) this.tellBlocked();
      return run;
    } catch (error) {
      this.stopOn(error);
      return undefined;
    }
  }

  private loadThenPump(offset: number): void {
    this.busy = 'loading';
    void this.source
      .load(offset)
      .catch((error: unknown) => this.stopOn(error))
      .then(() => this.goOn('loading'));
  }

  private yieldTurn(): void {
    this.busy = 'yielding';
    setImmediate(() => this.goOn('yielding'));
  }

  private goOn(from: 'loading' | 'yielding'): void {
    if (this.busy !== from) return;
    this.busy = 'no';
    this.pump();
  }

  private stopOn(error: unknown): void {
    if (this.trouble.note(error)) this.tellBlocked();
  }

  private tellBlocked(): void {
    const reasons = this.lastingReasons();
    for (const consumer of this.consumers) consumer.blocked(reasons);
  }

  /** What consumers are told, also those that come later. */
  private lastingReasons(): BlockedReason[] {
    const reasons: BlockedReason[] = [];
    if (this.trouble.reason !== undefined) reasons.push(this.trouble.reason);
    if (this.paused) reasons.push('paused');
    if (this.sender.failure !== '') reasons.push('dead_letter_failing');
    return reasons;
  }

  /** Retention has removed records that were not acked. */
  private skipExpired(): void {
    const start = this.context.partitionLog.startOffset;
    if (start > this.state.floor) this.tellLost(this.state.skipTo(start).ended);
  }

  private arm(nowMs: number): void {
    this.armAt(this.state.nextWakeMs(nowMs), nowMs);
  }

  private armAt(wakeMs: number, nowMs: number): void {
    if (wakeMs >= this.timerAtMs) return;
    this.timer?.cancel();
    this.timerAtMs = wakeMs;
    this.timer = this.context.clock.after(Math.max(1, wakeMs - nowMs), () => this.wake());
  }

  private wake(): void {
    this.timer = undefined;
    this.timerAtMs = Infinity;
    if (this.busy === 'closed') return;
    const nowMs = this.context.clock.monotonicMs();
    const ended = this.state.expire(nowMs, this.draw);
    this.journalAttempts(runsOf(ended));
    this.journalDead();
    this.tellLost(ended);
    this.pump();
    this.arm(nowMs);
  }

  private tellLost(ended: readonly EndedLease[]): void {
    for (const { consumer, lease } of ended) {
      const holder = this.consumers.find((candidate) => candidate.number === consumer);
      holder?.leaseLost(this.partition, lease);
    }
  }

  private journalAcks(ranges: readonly OffsetRange[]): void {
    const { subscriptionId, partitionId, journal } = this.context;
    journal.note({ kind: 'acked', subscriptionId, partitionId, ranges });
  }

  private journalAttempts(runs: readonly AttemptRun[]): void {
    if (runs.length === 0) return;
    const { subscriptionId, partitionId, journal, clock } = this.context;
    const wallOffsetMs = clock.wallMs() - clock.monotonicMs();
    const durable = runs.map(({ first, last, attempts, readyAtMs }) => ({
      first,
      last,
      attempts,
      readyAtWallMs: Math.max(0, Math.ceil(readyAtMs + wallOffsetMs)),
    }));
    const entry = this.state.attemptsJournaled();
    void journal.write({ kind: 'attempts', subscriptionId, partitionId, runs: durable }).then(
      () => {
        this.state.attemptsDurable(entry);
        this.pump();
      },
      () => {
        // The journal has failed, and with it the broker.
      },
    );
  }

  /** Nothing is sent before it is durable that it died. */
  private journalDead(): void {
    const letters = this.state.takeDead();
    if (letters.length === 0) return;
    const { subscriptionId, partitionId, journal } = this.context;
    const { lastDeadNumber } = this.state;
    void journal.write({ kind: 'dead', subscriptionId, partitionId, letters }).then(
      () => {
        this.deadDurable = lastDeadNumber;
        this.sender.send();
      },
      () => {
        // The journal has failed, and with it the broker.
      },
    );
  }

  private sendableLetter(): DeadLetter | undefined {
    const letter = this.state.firstDead;
    return letter !== undefined && letter.number <= this.deadDurable ? letter : undefined;
  }

  private deadArrived({ number }: DeadLetter): void {
    const { subscriptionId, partitionId, journal } = this.context;
    journal.note({ kind: 'deadDone', subscriptionId, partitionId, number });
    this.state.deadArrived(number);
    if (this.deadLetterTopic === '') this.totals.dropped++;
    else this.totals.deadLettered++;
    this.pump();
  }

  private blockedReasons(nowMs: number, undelivered: number): readonly BlockedReason[] {
    const reasons = this.lastingReasons();
    if (undelivered === 0) return reasons;
    if (this.consumers.length === 0) reasons.push('no_consumers');
    else if (!this.consumers.some((consumer) => consumer.creditRecords() > 0)) {
      reasons.push('no_credit');
    }
    if (this.context.rate.available(nowMs) < 1) reasons.push('throttled');
    const next = this.state.next(nowMs, this.context.partitionLog.endOffset);
    if (next.kind === 'blocked') {
      reasons.push(next.reason);
    }
    return reasons;
  }
}

/** Adds a range behind the last one, joined with it when they touch: clients ack neighbours one by one. */
function addRange(ranges: { first: number; last: number }[], first: number, last: number): void {
  const previous = ranges.at(-1);
  if (previous !== undefined && first <= previous.last + 1 && first >= previous.first) {
    previous.last = Math.max(previous.last, last);
  } else ranges.push({ first, last });
}

function failureOf(outcome: 'ok' | SettlementFailure): SettlementFailure | undefined {
  return outcome === 'ok' ? undefined : outcome;
}

function runsOf(ended: readonly EndedLease[]): AttemptRun[] {
  return ended.flatMap(({ runs }) => runs);
}
