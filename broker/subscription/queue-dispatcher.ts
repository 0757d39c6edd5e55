// Hands the records of one partition to the consumers of a queue subscription, and takes their answers.
//
// The decisions are QueueState's; this shell reads the log, journals what must survive, and keeps one timer.
//
// Invariants:
// - An ack or an ended attempt is journaled in the turn in which it counts; a lease is never journaled.
// - A record is not retried before its attempts are durable.
// - Consumers with credit take turns; a shallow backlog is shared among them instead of going to the first, and none
//   gets more than its share but what it has just shown to work through in no time.
// - What cannot be read stops this partition and says so; it is never skipped.
import type { Timer } from '../core/clock.ts';
import type { DueRun } from '../log/batch-marks.ts';
import type {
  BlockedReason,
  Consumer,
  PartitionStatus,
  Settlement,
  SettlementFailure,
} from './consumer.ts';
import { dispatchBytesPerTurn, type Dispatcher, type DispatcherContext } from './dispatcher.ts';
import type { SubscriptionEntry } from './entries.ts';
import { LetterOutbox } from './letter-outbox.ts';
import { addRange, type GatheredRange } from './offset-range.ts';
import { PaceState } from './pace-state.ts';
import { PumpState } from './pump-state.ts';
import { QueueJournal } from './queue-journal.ts';
import type { QueueState } from './queue-state.ts';
import type { AttemptRun, EndedLease, QueueNext, QueuePolicy } from './queue-types.ts';
import { ReadTrouble } from './read-trouble.ts';
import { placesOf, type PlacesPage, type RecordState } from './record-place.ts';
import { RunSource, type TakenRun } from './run-source.ts';

/** What a hand-over takes beside its bytes: as long as so many bytes, so that many small ones share turns too. */
const overheadBytes = 1024;
/** The same of a key that is looked at. */
const keyBytes = 64;

export class QueueDispatcher implements Dispatcher {
  readonly partition: number;
  private readonly context: DispatcherContext;
  private readonly state: QueueState;
  private readonly source: RunSource;
  private readonly stopListening: readonly (() => void)[];
  private readonly draw: () => number;
  private readonly pace = new PaceState();
  private consumers: readonly Consumer[] = [];
  private turn = 0;
  private paused: boolean;
  private policy: QueuePolicy;
  private readonly pumping = new PumpState(() => this.pump());
  private readonly trouble: ReadTrouble;
  private timer: Timer | undefined;
  private timerAtMs = Infinity;
  /** What is on its way to another topic. */
  readonly letters: LetterOutbox;
  private readonly journal: QueueJournal;
  private readonly totals = { dropped: 0, expired: 0 };

  constructor(context: DispatcherContext, state: QueueState, policy: QueuePolicy, paused: boolean) {
    this.context = context;
    this.partition = context.partition;
    this.state = state;
    this.policy = policy;
    this.journal = new QueueJournal(context, state, {
      attemptsDurable: () => this.pump(),
      deadDurable: () => this.letters.send(),
    });
    this.paused = paused;
    this.source = new RunSource(context.partitionLog);
    this.trouble = new ReadTrouble(context, () => this.pump());
    this.draw = () => context.random.next();
    const { partitionLog } = context;
    this.stopListening = [
      partitionLog.onVisible(() => this.pump()),
      partitionLog.onMarks({
        released: (runs) => this.released(runs),
        cancelled: (runs) => state.cancelled(runs),
      }),
    ];
    this.letters = new LetterOutbox(context, state, this.journal, {
      topic: () => this.deadLetterTopic,
      changed: () => this.tellBlocked(),
      moved: () => this.pump(),
    });
    // What a stop interrupted; in a turn of its own, when everything is open.
    setImmediate(() => this.letters.send());
  }

  get ackedBelow(): number {
    return this.state.floor;
  }

  pump(): void {
    if (!this.pumping.isReady || this.paused || this.trouble.isWaiting) return;
    this.skipExpired();
    const nowMs = this.context.clock.monotonicMs();
    const passedBy: GatheredRange[] = [];
    let bytes = 0;
    while (bytes < dispatchBytesPerTurn) {
      const handed = this.handOver(nowMs, passedBy);
      if (handed === undefined) break;
      bytes += handed;
    }
    if (passedBy.length > 0) this.journal.acks(passedBy);
    if (bytes >= dispatchBytesPerTurn) this.pumping.yieldTurn();
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
    this.pace.forget(consumer.number);
    this.journal.attempts(runsOf(this.state.releaseConsumer(consumer.number, nowMs)));
    this.journal.dead();
  }

  settle(
    { number }: Consumer,
    settlements: readonly Settlement[],
  ): readonly (SettlementFailure | undefined)[] {
    const nowMs = this.context.clock.monotonicMs();
    const acked: GatheredRange[] = [];
    const attempts: AttemptRun[] = [];
    const outcomes = settlements.map((settlement) =>
      this.settleOne(settlement, nowMs, acked, attempts),
    );
    if (acked.length > 0) this.journal.acks(acked);
    this.pace.acked(number, recordsOf(acked), nowMs);
    this.journal.attempts(attempts);
    this.journal.dead();
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
    this.policy = policy;
    this.context.rate.change(policy.recordsPerSecondMax ?? 0, this.context.clock.monotonicMs());
    this.letters.retry();
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
      delayed: counts.delayed,
      deadLetteredTotal: this.letters.totals.deadLettered,
      droppedTotal: this.totals.dropped + this.letters.totals.dropped,
      expiredTotal: this.totals.expired,
      oldestUnackedMs: partitionLog.appendTimeOf(counts.floor),
      ackedAbove: counts.ackedAbove,
      blockDetail: this.trouble.detail || this.letters.failure,
      blocked: this.blockedReasons(nowMs, counts.ready + counts.waiting + counts.delayed),
    };
  }

  /** Where records are, for people who look. Times are monotonic. */
  places(state: RecordState | undefined, from: number, max: number): PlacesPage {
    const { partitionLog, clock } = this.context;
    const nowMs = clock.monotonicMs();
    const request = { state, from, max, nowMs, end: partitionLog.endOffset };
    return placesOf(this.state.claims, partitionLog.marks, request);
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
    this.pumping.close();
    for (const stop of this.stopListening) stop();
    this.trouble.clear();
    this.timer?.cancel();
    this.letters.close();
  }

  private settleOne(
    settlement: Settlement,
    nowMs: number,
    acked: GatheredRange[],
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

  /** The next run to a consumer, or past all of them. Answers its bytes; undefined: nothing can go now. */
  private handOver(nowMs: number, passedBy: GatheredRange[]): number | undefined {
    const { rate, partitionLog } = this.context;
    let consumer = this.nextConsumer();
    if (consumer === undefined) return undefined;
    const end = partitionLog.endOffset;
    const allowed = rate.available(nowMs);
    if (allowed < 1) {
      this.armAt(rate.nextAtMs(nowMs), nowMs);
      return undefined;
    }
    const nextFor = (taker: Consumer): QueueNext =>
      this.state.next(nowMs, end, Math.min(taker.creditRecords(), allowed), taker.number);
    let next = nextFor(consumer);
    for (let i = 1; next.kind === 'others' && i < this.consumers.length; i++) {
      consumer = this.nextConsumer() ?? consumer;
      next = nextFor(consumer);
    }
    if (next.kind === 'keys') return this.offerKeys(next.from);
    if (next.kind !== 'run') return undefined;
    const share = Math.ceil((end - next.first) / this.consumers.length);
    const most = Math.max(share, this.pace.recordsOf(consumer.number, nowMs));
    const run = this.take(next.first, Math.min(next.last, next.first + most - 1));
    if (run === undefined) return undefined;
    const bytes = run.batch.length + overheadBytes;
    const fate = this.fateOf(run);
    if (fate !== 'deliver') return this.discard(run, fate, nowMs, passedBy) ? bytes : undefined;
    const lease = this.state.lease(run.firstOffset, run.lastOffset, consumer.number, nowMs);
    const recordCount = run.lastOffset - run.firstOffset + 1;
    consumer.deliver({
      partition: this.partition,
      baseOffset: run.baseOffset,
      appendTimeMs: run.appendTimeMs,
      epoch: run.epoch,
      attempt: lease.attempt,
      lease: lease.lease,
      selected: run.selected,
      batch: run.batch,
      recordCount,
    });
    rate.take(recordCount);
    return bytes;
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

  /** Answers what it took, as bytes; undefined: the keys are not in memory, or cannot be read. */
  private offerKeys(from: number): number | undefined {
    try {
      const hashes = this.source.keys(from);
      if (hashes === undefined) {
        this.loadThenPump(from);
        return undefined;
      }
      this.state.offerKeys(from, hashes);
      return overheadBytes + hashes.length * keyBytes;
    } catch (error) {
      this.stopOn(error);
      return undefined;
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

  private fateOf({ audience, expiresAtMs }: TakenRun): 'deliver' | 'expired' | 'foreign' {
    const { subscriptionId, clock } = this.context;
    if (audience !== 0 && audience !== subscriptionId) return 'foreign';
    return expiresAtMs <= clock.wallMs() ? 'expired' : 'deliver';
  }

  /** The run is for nobody here. False: there is no room for more dead letters now. */
  private discard(
    { firstOffset, lastOffset }: TakenRun,
    fate: 'expired' | 'foreign',
    nowMs: number,
    passedBy: GatheredRange[],
  ): boolean {
    const { deadLetterExpired = false } = this.policy;
    const becomesDead = fate === 'expired' && deadLetterExpired && this.deadLetterTopic !== '';
    const outcome = this.state.discard(firstOffset, lastOffset, becomesDead, nowMs);
    if (outcome === 'outbox_full') return false;
    if (outcome === 'dead') {
      this.journal.dead();
      return true;
    }
    if (fate === 'expired') this.totals.expired += lastOffset - firstOffset + 1;
    addRange(passedBy, firstOffset, lastOffset);
    return true;
  }

  private released(runs: readonly DueRun[]): void {
    this.state.released(runs);
    this.pump();
  }

  private get deadLetterTopic(): string {
    return this.policy.deadLetterTopic ?? '';
  }

  private loadThenPump(offset: number): void {
    this.pumping.waitFor(this.source.load(offset).catch((error: unknown) => this.stopOn(error)));
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
    if (this.letters.failure !== '') reasons.push('dead_letter_failing');
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
    if (this.pumping.isClosed) return;
    const nowMs = this.context.clock.monotonicMs();
    const ended = this.state.expire(nowMs, this.draw);
    this.journal.attempts(runsOf(ended));
    this.journal.dead();
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

  private blockedReasons(nowMs: number, undelivered: number): readonly BlockedReason[] {
    const reasons = this.lastingReasons();
    if (undelivered === 0) return reasons;
    const end = this.context.partitionLog.endOffset;
    // One that has a record on its last attempt gets no other such, whatever its credit.
    const mayTake = (consumer: Consumer): boolean =>
      consumer.creditRecords() > 0 &&
      this.state.next(nowMs, end, 1, consumer.number).kind !== 'others';
    if (this.consumers.length === 0) reasons.push('no_consumers');
    else if (!this.consumers.some(mayTake)) reasons.push('no_credit');
    if (this.context.rate.available(nowMs) < 1) reasons.push('throttled');
    const next = this.state.next(nowMs, end);
    if (next.kind === 'blocked') reasons.push(next.reason);
    return reasons;
  }
}

function failureOf(outcome: 'ok' | SettlementFailure): SettlementFailure | undefined {
  return outcome === 'ok' ? undefined : outcome;
}

function recordsOf(ranges: readonly GatheredRange[]): number {
  return ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0);
}

function runsOf(ended: readonly EndedLease[]): AttemptRun[] {
  return ended.flatMap(({ runs }) => runs);
}
