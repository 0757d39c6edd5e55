// One shard: a journal, and the logs and subscriptions whose durable truth it is.
//
// Data flow: append → PartitionLog → Journal; commit durable → logs announce → dispatchers and readers.
//
// Invariants:
// - A log or subscription is created, changed and dropped by entries of this journal only.
// - A generation is unlinked only when all in it is offloaded or expired, and a later checkpoint is complete.
import { entryTypes } from '../core/entry-types.ts';
import { BrokerError, toBrokerError } from '../core/errors.ts';
import type { Clock } from '../core/clock.ts';
import type { FailPoint } from '../core/fail-point.ts';
import type { Log } from '../core/log.ts';
import { partitionId, type PartitionId, type SubscriptionId } from '../core/ids.ts';
import { limits } from '../core/limits.ts';
import type { Random } from '../core/random.ts';
import { ControlEntry } from '../journal/control-entry.ts';
import { Journal, type JournalOptions } from '../journal/journal.ts';
import type { StreamSummary } from '../journal/open-index.ts';
import type { MarkBudget } from '../log/batch-marks.ts';
import { encodeMarks, encodePartitionDropped } from '../log/entries.ts';
import { PartitionLog } from '../log/partition-log.ts';
import { encodeEntry, type SubscriptionEntry } from '../subscription/entries.ts';
import type { DeadLetterTarget } from '../subscription/dead-letter-sender.ts';
import { Subscription } from '../subscription/subscription.ts';
import { Checkpointer, type CheckpointObject } from './checkpointer.ts';
import { ShardRecovery, type RecoveredSubscriptions } from './shard-recovery.ts';
import {
  createDispatcher,
  startOffset,
  type SubscriptionPlacement,
} from './subscription-placement.ts';
import type { CheckpointEntry } from './checkpoint-object.ts';
import { DueBatches } from './due-batches.ts';
import { isPressed, mayGo, type HeldPart } from './hot-plan.ts';
import type { ShardPolicies } from './policies.ts';
import { trimPartition } from './retention.ts';
import { ShardTier, type ShardTierOptions } from './shard-tier.ts';

export interface ShardOptions extends Pick<
  JournalOptions,
  'storage' | 'epoch' | 'volumeId' | 'log' | 'generationBytes' | 'tailCacheBytes' | 'onFatal'
> {
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly tier: ShardTierOptions;
}

/** While nothing is published a checkpoint still goes on, one step in so many ms. */
const idleStepMs = 20;

export class Shard {
  readonly name: string;
  readonly epoch: number;
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  readonly tier: ShardTier;
  /** Until the topics are open nothing can be sent; it is tried again. */
  deadLetters: DeadLetterTarget = {
    publish: () => Promise.reject(notOpenYet()),
    redrive: () => Promise.reject(notOpenYet()),
    hasArrived: () => false,
  };
  private readonly failPoint: FailPoint;
  private readonly logs = new Map<PartitionId, PartitionLog>();
  private readonly subscriptions = new Map<SubscriptionId, Subscription>();
  private readonly subscribers = new Map<PartitionId, Set<Subscription>>();
  private readonly grown = new Set<PartitionLog>();
  private readonly checkpointer: Checkpointer;
  private readonly dueBatches: DueBatches;
  private readonly marks: MarkBudget = { left: limits.markedBatchesMax };
  private recovered: RecoveredSubscriptions = new Map();
  private opened: Journal | undefined;

  private constructor(options: ShardOptions) {
    this.name = options.name;
    this.epoch = options.epoch;
    this.log = options.log;
    this.clock = options.clock;
    this.random = options.random;
    this.failPoint = options.tier.failPoint;
    this.dueBatches = new DueBatches(options.clock);
    this.tier = new ShardTier(options.tier, {
      name: this.name,
      epoch: this.epoch,
      clock: this.clock,
      random: this.random,
      log: this.log,
      journal: () => this.journal,
      logOf: (id) => this.logs.get(id),
      logs: () => this.logs.values(),
      checkpointEntries: () => this.checkpointEntries(),
    });
    this.checkpointer = new Checkpointer({
      beganPage: () => this.journal.newestFirstPage,
      objects: () => this.checkpointObjects(),
      complete: (beganPage) => this.journal.completeCheckpoint(beganPage),
    });
  }

  static async open(options: ShardOptions): Promise<Shard> {
    const shard = new Shard(options);
    const recovery = new ShardRecovery((id) => shard.createLog(id));
    const startedMs = options.clock.monotonicMs();
    shard.opened = await Journal.open(
      {
        ...options,
        shard: options.name,
        onCommitted: () => shard.committed(),
        onRoll: () => shard.beginCheckpoint(),
      },
      recovery,
    );
    recovery.finish(options.clock.wallMs());
    for (const [id, log] of recovery.logs) shard.logs.set(id, log);
    shard.recovered = recovery.subscriptions;
    options.log.info('opened a shard', {
      shard: shard.name,
      epoch: shard.epoch,
      partitions: shard.logs.size,
      tookMs: Math.round(options.clock.monotonicMs() - startedMs),
    });
    return shard;
  }

  get journal(): Journal {
    if (this.opened === undefined) throw new Error('the shard is not open yet');
    return this.opened;
  }

  get partitionCount(): number {
    return this.logs.size;
  }

  partitions(): Iterable<PartitionLog> {
    return this.logs.values();
  }

  /** The log of a partition; an empty one when it has never been written to. */
  partition(id: PartitionId): PartitionLog {
    let log = this.logs.get(id);
    if (log === undefined) this.logs.set(id, (log = this.createLog(id)));
    return log;
  }

  subscription(id: SubscriptionId): Subscription | undefined {
    return this.subscriptions.get(id);
  }

  /** Opens a subscription on its partitions here, as recovered or new. Its state is durable when it resolves. */
  async openSubscription(placement: SubscriptionPlacement): Promise<Subscription> {
    let subscription = this.subscriptions.get(placement.id);
    if (subscription === undefined) {
      subscription = new Subscription(placement.id, placement.kind);
      this.subscriptions.set(placement.id, subscription);
    }
    const recovered = this.recovered.get(placement.id);
    const created: Promise<void>[] = [];
    for (const { id, index } of placement.partitions) {
      if (subscription.dispatcher(id) !== undefined) continue;
      const state = recovered?.get(id);
      const log = this.partition(id);
      const start = state === undefined ? await startOffset(log, placement.start) : 0;
      // Opened by another call, or dropped with its topic, meanwhile.
      if (subscription.dispatcher(id) !== undefined || this.logs.get(id) !== log) continue;
      const dispatcher = createDispatcher(
        this,
        placement,
        { id, index },
        state,
        start,
        subscription.rate,
      );
      if (state === undefined) created.push(this.writeEntry(dispatcher.checkpoint()));
      subscription.add(id, dispatcher);
      const subscribers = this.subscribers.get(id) ?? new Set();
      this.subscribers.set(id, subscribers.add(subscription));
    }
    await Promise.all(created);
    return subscription;
  }

  /** Everything was opened that the catalog knows; says what is left over, and keeps it. */
  finishRecovery(): void {
    for (const [id] of this.recovered) {
      if (this.subscriptions.has(id)) continue;
      this.log.warn('the journal has a subscription that the catalog does not know; kept', { id });
    }
  }

  /** Forgets a deleted subscription; durable when it resolves. Safe to repeat. */
  async dropSubscription(
    id: SubscriptionId,
    partitions: readonly PartitionId[],
    reason: BrokerError,
  ): Promise<void> {
    const subscription = this.subscriptions.get(id);
    subscription?.close(reason);
    this.subscriptions.delete(id);
    this.recovered.delete(id);
    for (const partition of partitions) {
      if (subscription !== undefined) this.subscribers.get(partition)?.delete(subscription);
    }
    await Promise.all(
      partitions.map((partition) =>
        this.writeEntry({
          kind: 'subscriptionRemoved',
          subscriptionId: id,
          partitionId: partition,
        }),
      ),
    );
  }

  /** Forgets deleted partitions; durable when it resolves. Safe to repeat. */
  async dropPartitions(ids: readonly PartitionId[]): Promise<void> {
    for (const id of ids) {
      this.logs.get(id)?.drop();
      this.logs.delete(id);
      this.subscribers.delete(id);
    }
    await Promise.all(
      ids.map((id) => this.journal.write(entryTypes.partitionDropped, encodePartitionDropped(id))),
    );
    for (const id of ids) this.journal.index.forgetStream(id);
  }

  /** First offset that some subscription has not acked; the end when there is none. */
  ackedBelow(log: PartitionLog): number {
    let below = log.endOffset;
    for (const subscription of this.subscribers.get(log.id) ?? []) {
      below = Math.min(below, subscription.dispatcher(log.id)?.ackedBelow ?? below);
    }
    return below;
  }

  /** Applies retention to every partition that has a policy, then unlinks what need not stay on the disk. */
  async retain(policies: ShardPolicies): Promise<void> {
    const nowMs = this.clock.wallMs();
    for (const log of [...this.logs.values()]) {
      log.publishers.forgetIdle(nowMs);
      log.marks.trim(log.startOffset, this.ackedBelow(log));
      const policy = policies.of(log.id);
      if (policy === undefined || this.logs.get(log.id) !== log) continue;
      try {
        await trimPartition(log, policy, () => this.ackedBelow(log), nowMs);
      } catch (error) {
        const cause = toBrokerError(error).message;
        this.log.warn('retention of a partition failed', { partition: log.id, cause });
      }
    }
    await this.dropGenerations(policies);
  }

  /** Appends a subscription's entry without waiting. */
  noteEntry(entry: SubscriptionEntry): number {
    const bytes = encodeEntry(entry);
    this.journal.append(new ControlEntry(entryTypes[entry.kind], bytes, () => {}));
    return bytes.length;
  }

  writeEntry(entry: SubscriptionEntry): Promise<void> {
    return this.journal.write(entryTypes[entry.kind], encodeEntry(entry));
  }

  /** Ends consumers with the reason, then waits for what was appended. */
  async close(reason: BrokerError): Promise<void> {
    this.dueBatches.stop();
    for (const subscription of this.subscriptions.values()) subscription.close(reason);
    await this.journal.close();
  }

  private createLog(id: PartitionId): PartitionLog {
    return new PartitionLog(id, {
      journal: () => this.journal,
      cold: this.tier.cold,
      epoch: this.epoch,
      onGrown: (log) => this.grown.add(log),
      onHeld: (log, dueMs) => this.dueBatches.hold(log, dueMs),
      marks: this.marks,
    });
  }

  private committed(): void {
    const grown = [...this.grown];
    this.grown.clear();
    for (const log of grown) log.announce();
    this.checkpointer.step();
  }

  private beginCheckpoint(): void {
    this.checkpointer.begin();
    this.stepWhileIdle();
  }

  private stepWhileIdle(): void {
    if (!this.checkpointer.isWriting) return;
    this.clock.after(idleStepMs, () => {
      this.checkpointer.step();
      this.stepWhileIdle();
    });
  }

  private *checkpointObjects(): Generator<CheckpointObject> {
    for (const log of this.logs.values()) {
      yield {
        partition: log.id,
        write: () => {
          if (this.logs.get(log.id) !== log) return 0;
          const bytes = log.checkpoint();
          this.journal.append(new ControlEntry(entryTypes.partitionCheckpoint, bytes, () => {}));
          return bytes.length;
        },
      };
      for (const encode of log.marks.encodedChunks()) {
        yield {
          partition: log.id,
          write: () => {
            if (this.logs.get(log.id) !== log) return 0;
            const bytes = encodeMarks(log.id, encode());
            this.journal.append(new ControlEntry(entryTypes.marks, bytes, () => {}));
            return bytes.length;
          },
        };
      }
    }
    for (const subscription of this.subscriptions.values()) {
      for (const [id, dispatcher] of subscription.partitions()) {
        yield {
          partition: id,
          write: () => {
            if (this.subscriptions.get(subscription.id) !== subscription) return 0;
            return this.noteEntry(dispatcher.checkpoint());
          },
        };
      }
    }
  }

  /** Every object of the shard as of when it is asked for; for the copy in the object store. */
  private *checkpointEntries(): Generator<CheckpointEntry> {
    for (const log of [...this.logs.values()]) {
      if (this.logs.get(log.id) !== log) continue;
      yield { type: entryTypes.partitionCheckpoint, payload: log.checkpoint() };
      for (const encode of log.marks.encodedChunks()) {
        yield { type: entryTypes.marks, payload: encodeMarks(log.id, encode()) };
      }
    }
    for (const subscription of [...this.subscriptions.values()]) {
      for (const [, dispatcher] of subscription.partitions()) {
        const payload = encodeEntry(dispatcher.checkpoint());
        yield { type: entryTypes.subscriptionCheckpoint, payload };
      }
    }
  }

  private async dropGenerations(policies: ShardPolicies): Promise<void> {
    while (this.oldestMayGo(policies)) {
      await this.failPoint('generation-before-drop');
      // Another pass may have been faster.
      if (!this.oldestMayGo(policies)) return;
      await this.journal.dropOldest();
      await this.failPoint('generation-after-drop');
    }
  }

  private oldestMayGo(policies: ShardPolicies): boolean {
    const oldest = this.journal.index.views()[0];
    if (oldest === undefined || !this.journal.mayDropOldest()) return false;
    const parts = this.heldParts(oldest.summaries(), policies);
    return mayGo(parts, isPressed(this.tier.hotFacts()), this.clock.wallMs());
  }

  private *heldParts(
    summaries: Iterable<StreamSummary>,
    policies: ShardPolicies,
  ): Generator<HeldPart> {
    for (const { stream, lastOffset, lastTimeMs } of summaries) {
      const log = this.logs.get(partitionId(stream));
      if (log === undefined) continue;
      yield {
        isExpired: lastOffset < log.startOffset,
        isOffloaded: lastOffset < log.manifest.endOffset,
        window: policies.of(log.id)?.hot,
        newestTimeMs: lastTimeMs,
        bytesBehind: this.journal.index.bytesFrom(stream, lastOffset + 1),
      };
    }
  }
}

function notOpenYet(): BrokerError {
  return new BrokerError('STARTING', 'the broker is still opening its topics');
}
