// Sends the records of one partition in order to the active consumer of a stream subscription.
//
// Invariants: StreamState's, and
// - a cumulative ack counts only from the active consumer: an old one may not move the position of the new one;
// - what cannot be read stops this partition and says so; it is never skipped.
import type {
  BlockedReason,
  Consumer,
  PartitionStatus,
  Settlement,
  SettlementFailure,
} from './consumer.ts';
import { dispatchBytesPerTurn, type Dispatcher, type DispatcherContext } from './dispatcher.ts';
import type { SubscriptionEntry } from './entries.ts';
import { PumpState } from './pump-state.ts';
import { ReadTrouble } from './read-trouble.ts';
import { RunSource } from './run-source.ts';
import type { StreamState } from './stream-state.ts';

export class StreamDispatcher implements Dispatcher {
  readonly partition: number;
  private readonly context: DispatcherContext;
  private readonly state: StreamState;
  private readonly source: RunSource;
  private readonly stopListening: () => void;
  private active: Consumer | undefined;
  private paused: boolean;
  private readonly pumping = new PumpState(() => this.pump());
  private readonly trouble: ReadTrouble;

  constructor(context: DispatcherContext, state: StreamState, paused: boolean) {
    this.context = context;
    this.partition = context.partition;
    this.state = state;
    this.paused = paused;
    this.source = new RunSource(context.partitionLog);
    this.trouble = new ReadTrouble(context, () => this.pump());
    this.stopListening = context.partitionLog.onVisible(() => this.pump());
  }

  get ackedBelow(): number {
    return this.state.acked;
  }

  get activeConsumer(): Consumer | undefined {
    return this.active;
  }

  /** Makes a consumer the active one. */
  activate(consumer: Consumer | undefined): void {
    this.active = consumer;
    this.state.activate(consumer?.number);
    if (this.lastingReasons().length > 0) this.tellBlocked();
    this.pump();
  }

  pump(): void {
    if (!this.pumping.isReady || this.paused || this.trouble.isWaiting) return;
    const { partitionLog } = this.context;
    this.skipExpired();
    let sentBytes = 0;
    while (this.active !== undefined) {
      const credit = this.active.creditRecords();
      if (credit === 0) return;
      const next = this.state.next(partitionLog.endOffset);
      if (next.kind !== 'run') return;
      const run = this.take(next.first, Math.min(next.last, next.first + credit - 1));
      if (run === undefined) return;
      this.state.markSent(run.lastOffset);
      this.active.deliver({
        partition: this.partition,
        baseOffset: run.baseOffset,
        appendTimeMs: run.appendTimeMs,
        epoch: run.epoch,
        attempt: 0,
        lease: 0,
        selected: run.selected,
        batch: run.batch,
        recordCount: run.lastOffset - run.firstOffset + 1,
      });
      sentBytes += run.batch.length;
      if (sentBytes >= dispatchBytesPerTurn) {
        this.pumping.yieldTurn();
        return;
      }
    }
  }

  consumersChanged(): void {
    // The subscription plans who is active where and calls `activate`.
  }

  release(consumer: Consumer): void {
    if (this.active === consumer) this.activate(undefined);
  }

  settle(
    consumer: Consumer,
    settlements: readonly Settlement[],
  ): readonly (SettlementFailure | undefined)[] {
    let ackedTo = -1;
    const outcomes = settlements.map((settlement): SettlementFailure | undefined => {
      if (settlement.verb !== 'cumulative') return 'wrong_verb';
      if (consumer !== this.active) return 'lease_lost';
      const newly = this.state.ackCumulative(settlement.lastOffset);
      if (newly === 'invalid') return 'invalid';
      if (newly > 0) ackedTo = settlement.lastOffset;
      return undefined;
    });
    if (ackedTo >= 0) this.journalAcked(ackedTo);
    return outcomes;
  }

  async seek(offset: number): Promise<void> {
    const { subscriptionId, partitionId, journal } = this.context;
    if (this.trouble.clear()) this.tellBlocked();
    this.state.seek(offset);
    await journal.write({ kind: 'seek', subscriptionId, partitionId, offset, fence: 0 });
    this.pump();
  }

  setPaused(paused: boolean): void {
    if (paused === this.paused) return;
    this.paused = paused;
    this.tellBlocked();
    this.pump();
  }

  inFlightOf(consumer: Consumer): number {
    return consumer === this.active ? this.state.sent - this.state.acked : 0;
  }

  status(): PartitionStatus {
    const endOffset = this.context.partitionLog.endOffset;
    const { acked, sent } = this.state;
    const ready = Math.max(0, endOffset - sent);
    return {
      ackedOffset: acked,
      endOffset,
      ready,
      inFlight: sent - acked,
      waiting: 0,
      dead: 0,
      delayed: 0,
      deadLetteredTotal: 0,
      droppedTotal: 0,
      expiredTotal: 0,
      oldestUnackedMs: 0,
      blockDetail: this.trouble.detail,
      ackedAbove: 0,
      blocked: this.blockedReasons(ready),
    };
  }

  checkpoint(): SubscriptionEntry {
    const { subscriptionId, partitionId } = this.context;
    return {
      kind: 'subscriptionCheckpoint',
      subscriptionId,
      partitionId,
      subscriptionKind: 'stream',
      state: this.state.encode(),
    };
  }

  close(): void {
    this.pumping.close();
    this.stopListening();
    this.trouble.clear();
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
    this.pumping.waitFor(this.source.load(offset).catch((error: unknown) => this.stopOn(error)));
  }

  private stopOn(error: unknown): void {
    if (this.trouble.note(error)) this.tellBlocked();
  }

  private tellBlocked(): void {
    this.active?.blocked(this.lastingReasons());
  }

  /** What the consumer is told, also one that becomes active later. */
  private lastingReasons(): BlockedReason[] {
    const reasons: BlockedReason[] = [];
    if (this.trouble.reason !== undefined) reasons.push(this.trouble.reason);
    if (this.paused) reasons.push('paused');
    return reasons;
  }

  private skipExpired(): void {
    const { startOffset } = this.context.partitionLog;
    const first = this.state.sent;
    if (startOffset <= this.state.acked) return;
    this.state.skipTo(startOffset);
    if (first < startOffset) this.active?.gap(this.partition, first, startOffset - 1);
  }

  private journalAcked(last: number): void {
    const { subscriptionId, partitionId, journal } = this.context;
    const ranges = [{ first: last, last }];
    journal.note({ kind: 'acked', subscriptionId, partitionId, ranges });
  }

  private blockedReasons(ready: number): readonly BlockedReason[] {
    const reasons = this.lastingReasons();
    if (ready === 0) return reasons;
    if (this.active === undefined) reasons.push('no_consumers');
    else if (this.active.creditRecords() === 0) reasons.push('no_credit');
    return reasons;
  }
}
