// One running job on dead letters: goes once through what was there when it began, and deals with what its filter
// matches.
//
//   scan ──matches──▶ gathered, up to a chunk or the rate ──▶ on its way, durably ──arrived──▶ next chunk
//
// What is dealt with is acked, so a run that begins anew after a restart meets only the rest. Nothing of a run is
// durable but that: what it has done is counted by the subscription's own journal.
//
// Invariants:
// - At most `deadLetterChunk` letters are on their way, and all have arrived or come back before it ends.
// - What cannot go stays where it is, and is told with its reason.
import type { DeadLetterFigures, DeadLetterJob } from '../catalog/dead-letter-job.ts';
import type { Clock } from '../core/clock.ts';
import { toBrokerError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import { DeliveryRate } from '../subscription/delivery-rate.ts';
import type { RedriveTarget } from '../subscription/outbox-state.ts';
import { matches } from './dead-letter-filter.ts';
import {
  after,
  letters,
  type Found,
  type FoundLetter,
  type ScanPosition,
} from './dead-letter-scan.ts';
import type { OpenSubscription } from './open-subscription.ts';
import { targetOf, type TargetLookup } from './redrive-target.ts';

export interface RunContext {
  readonly clock: Clock;
  readonly lookup: TargetLookup;
  readonly subscription: OpenSubscription;
  /** Of the topic that holds the letters. */
  readonly tenant: string;
  /** The job was cancelled, or the broker stops. */
  readonly signal: AbortSignal;
  /** False: it went with its topic or its subscription. */
  exists(): boolean;
}

/** How long a store that fails is left alone. */
const retryMs = 1_000;

export class DeadLetterRun {
  private readonly job: DeadLetterJob;
  private readonly context: RunContext;
  private readonly rate = new DeliveryRate();
  private readonly counts = { scanned: 0, matched: 0, stayed: 0, stayedBecause: '' };
  /** Letters of one partition that are to be dealt with together. */
  private chunk: { readonly offset: number; readonly target: RedriveTarget | undefined }[] = [];
  private chunkPartition = 0;
  /** Of those that stayed: nobody knows whether they match. */
  private damaged = 0;
  private trouble = '';

  constructor(job: DeadLetterJob, context: RunContext) {
    this.job = job;
    this.context = context;
    this.rate.change(job.recordsPerSecondMax, context.clock.monotonicMs());
  }

  get figures(): DeadLetterFigures {
    return { ...this.counts, done: this.done };
  }

  /** Why it does not go on; empty: it does. */
  get waitingFor(): string {
    if (this.trouble !== '') return this.trouble;
    for (const queue of this.context.subscription.queues()) {
      const { failure } = queue.letters;
      if (failure !== '' && queue.letters.pendingOf(this.job.id) > 0) return failure;
    }
    return '';
  }

  /** Resolves when everything was looked at, or the signal says stop. */
  async run(): Promise<void> {
    // What was on its way when the broker stopped: then all that is done is known.
    await this.settled();
    this.counts.scanned = this.done;
    this.counts.matched = this.done;
    let at: ScanPosition = { partition: 0, offset: 0 };
    while (!this.isStopped) {
      try {
        for await (const found of letters(this.context.subscription, at, this.job.until)) {
          if (this.isStopped) return;
          await this.look(found);
          at = after(found);
        }
        await this.flush();
        return;
      } catch (thrown) {
        const error = toBrokerError(thrown);
        if (error.kind !== 'unavailable') throw error;
        this.trouble = error.message;
        await this.sleep(retryMs);
        this.trouble = '';
      }
    }
  }

  /** What is on its way comes back, or arrives; resolves when it has. */
  async giveUp(): Promise<void> {
    for (const queue of this.context.subscription.queues()) queue.letters.giveUp(this.job.id);
    await this.settled();
    if (this.job.dryRun) return;
    // Those that were gathered and had not gone yet.
    const { matched, stayed } = this.counts;
    this.stay(matched + this.damaged - this.done - stayed, 'the job was cancelled');
  }

  /** It has ended: what it has done need not be known here any more. */
  forget(): void {
    for (const queue of this.context.subscription.queues()) queue.letters.forget(this.job.id);
  }

  private get isStopped(): boolean {
    return this.context.signal.aborted || !this.context.exists();
  }

  private get done(): number {
    let done = 0;
    for (const queue of this.context.subscription.queues())
      done += queue.letters.doneOf(this.job.id);
    return done;
  }

  private async look(found: Found): Promise<void> {
    if (found.partition !== this.chunkPartition) await this.flush();
    if (this.isStopped) return;
    this.chunkPartition = found.partition;
    this.counts.scanned++;
    if (found.kind === 'damaged') {
      this.damaged++;
      this.stay(1, found.why);
      return;
    }
    if (!matches(this.job.filter, found, found.appendTimeMs)) return;
    this.counts.matched++;
    if (this.job.dryRun) return;
    await this.gather(found);
  }

  private async gather(found: FoundLetter): Promise<void> {
    const { offset } = found.place;
    let target: RedriveTarget | undefined;
    if (this.job.action === 'redrive') {
      const { tenant, lookup } = this.context;
      const { id: job, to } = this.job;
      const resolved = targetOf(lookup, { job, to, tenant, letter: found, offset });
      if (typeof resolved === 'string') {
        this.stay(1, resolved);
        return;
      }
      target = resolved;
    }
    if (!(await this.rateAllows()) || this.isStopped) return;
    this.rate.take(1);
    this.chunk.push({ offset, target });
    if (this.chunk.length >= limits.deadLetterChunk) await this.flush();
  }

  /** What is gathered goes before anything waits for the rate. */
  private async rateAllows(): Promise<boolean> {
    const { clock } = this.context;
    while (!this.isStopped) {
      const nowMs = clock.monotonicMs();
      if (this.rate.available(nowMs) >= 1) return true;
      await this.flush();
      await this.sleep(this.rate.nextAtMs(nowMs) - nowMs);
    }
    return false;
  }

  private async flush(): Promise<void> {
    const { chunk } = this;
    this.chunk = [];
    if (chunk.length === 0 || this.isStopped) return;
    const { letters: outbox } = this.context.subscription.queue(this.chunkPartition);
    if (this.job.action === 'purge') {
      const offsets = chunk.map(({ offset }) => offset);
      this.stay(offsets.length - (await outbox.purge(this.job.id, offsets)), held);
      return;
    }
    for (const { offset, target } of chunk) {
      if (target === undefined || this.isStopped) continue;
      let kept = outbox.redrive(offset, target);
      while (kept === 'full' && !this.isStopped) {
        this.trouble = 'too much of the subscription is in flight or on its way';
        outbox.flush();
        await this.sleep(retryMs);
        kept = outbox.redrive(offset, target);
      }
      this.trouble = '';
      if (kept !== undefined) this.stay(1, held);
    }
    outbox.flush();
    await this.settled();
  }

  /** Nothing of the job is on its way. */
  private async settled(): Promise<void> {
    for (const { letters: outbox } of this.context.subscription.queues()) {
      await outbox.settled(this.job.id);
      const { count, why } = outbox.takeReturned(this.job.id);
      this.stay(count, why);
    }
  }

  private stay(count: number, why: string): void {
    if (count <= 0) return;
    this.counts.stayed += count;
    this.counts.stayedBecause = why;
  }

  private sleep(ms: number): Promise<void> {
    const { clock, signal } = this.context;
    return new Promise((resolve) => {
      const timer = clock.after(Math.max(ms, 1), done);
      signal.addEventListener('abort', done, { once: true });
      function done(): void {
        timer.cancel();
        signal.removeEventListener('abort', done);
        resolve();
      }
    });
  }
}

const held = 'a consumer has it, or somebody has dealt with it meanwhile';
