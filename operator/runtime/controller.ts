// Reconciles the keys of one kind, a few at a time, again and again.
//
// Invariants:
// - A key is never reconciled twice at once (WorkQueueState).
// - A reconcile that throws is tried again after a back-off, and harms no other key.
// - Every key comes back after the time that its reconcile asks for, whatever events were missed.
import type { OperatorLog } from './operator-log.ts';
import type { Timing } from './timing.ts';
import { WorkQueueState } from './work-queue-state.ts';

/** What a reconcile found out about when to look again. */
export type Reconciled =
  | { readonly again: 'later'; readonly afterMs: number }
  /** As after a failure: with a back-off that grows. */
  | { readonly again: 'retry' }
  /** The object is gone. */
  | { readonly again: 'never' };

export interface ControllerOptions {
  readonly name: string;
  readonly reconcile: (key: string) => Promise<Reconciled>;
  readonly concurrency: number;
  readonly timing: Timing;
  readonly log: OperatorLog;
}

export interface ControllerFigures {
  reconciles: number;
  failures: number;
}

const retry = { minMs: 1_000, maxMs: 300_000 } as const;

export class Controller {
  readonly figures: ControllerFigures = { reconciles: 0, failures: 0 };
  private readonly options: ControllerOptions;
  private readonly queue = new WorkQueueState(retry);
  private wakeUp: (() => void) | undefined;

  constructor(options: ControllerOptions) {
    this.options = options;
  }

  get name(): string {
    return this.options.name;
  }

  get readyCount(): number {
    return this.queue.readyCount;
  }

  add(key: string): void {
    this.queue.add(key);
    this.wakeUp?.();
  }

  /** Runs until the signal aborts and what is under way has ended; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const active = new Set<Promise<void>>();
    while (!signal.aborted) {
      const room = this.options.concurrency - active.size;
      const key = room > 0 ? this.queue.take(this.options.timing.monotonicMs()) : undefined;
      if (key === undefined) {
        await this.untilWoken(signal);
        continue;
      }
      const work = this.work(key).finally(() => {
        active.delete(work);
        this.wakeUp?.();
      });
      active.add(work);
    }
    await Promise.all(active);
  }

  private async work(key: string): Promise<void> {
    const { reconcile, timing, log, name } = this.options;
    this.figures.reconciles++;
    try {
      const outcome = await reconcile(key);
      if (outcome.again === 'later') this.queue.addAt(key, timing.monotonicMs() + outcome.afterMs);
      if (outcome.again === 'retry') this.queue.failed(key, timing.monotonicMs(), timing.draw());
      else this.queue.done(key);
    } catch (thrown) {
      this.figures.failures++;
      const cause = thrown instanceof Error ? thrown.message : String(thrown);
      log.warn('reconcile failed', { controller: name, key, cause });
      this.queue.failed(key, timing.monotonicMs(), timing.draw());
    }
  }

  /** Until a key is added, one is due, or one is done. */
  private async untilWoken(signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    this.wakeUp = () => woken.abort();
    const { timing } = this.options;
    const waitMs = Math.min(this.queue.nextDueMs() - timing.monotonicMs(), 60_000);
    await timing.sleep(waitMs, AbortSignal.any([signal, woken.signal]));
    this.wakeUp = undefined;
  }
}
