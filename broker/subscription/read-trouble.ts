// What a dispatcher does when records cannot be read: says so, and tries again later.
//
//   fine ──read fails──▶ waiting ──timer──▶ trying ──read──▶ fine
//                           ▲──────────read fails──────┘
//
// Invariants:
// - A failing object store is tried again soon, with back-off; damage once in a while: someone may have mended it.
// - Nothing is ever skipped: the position stays where the trouble is until a person seeks past it.
import type { Timer } from '../core/clock.ts';
import { BrokerError } from '../core/errors.ts';
import type { BlockedReason } from './consumer.ts';
import type { DispatcherContext } from './dispatcher.ts';

const retryMs = { min: 100, max: 5_000 } as const;
const damageRetryMs = 30_000;

export class ReadTrouble {
  private readonly context: DispatcherContext;
  private readonly retry: () => void;
  private error: BrokerError | undefined;
  private failures = 0;
  private timer: Timer | undefined;

  /** `retry`: called when it is time to read again. */
  constructor(context: DispatcherContext, retry: () => void) {
    this.context = context;
    this.retry = retry;
  }

  /** Nothing is read before the timer. */
  get isWaiting(): boolean {
    return this.timer !== undefined;
  }

  /** Why nothing comes; undefined when reading is fine. */
  get reason(): BlockedReason | undefined {
    if (this.error === undefined) return undefined;
    return this.error.kind === 'corrupt' ? 'data_loss' : 'cold_read_failing';
  }

  /** The same for people; empty when reading is fine. */
  get detail(): string {
    return this.error?.message ?? '';
  }

  /** A read failed. Answers whether the reason is another one than before. Throws what is a bug. */
  note(thrown: unknown): boolean {
    if (!(thrown instanceof BrokerError)) throw thrown;
    const before = this.reason;
    this.error = thrown;
    const { clock, log, random, subscriptionId, partition } = this.context;
    const backoffMs = Math.min(retryMs.max, retryMs.min * 2 ** this.failures++);
    const waitMs =
      thrown.kind === 'corrupt' ? damageRetryMs : backoffMs * (0.5 + random.next() / 2);
    this.timer?.cancel();
    this.timer = clock.after(waitMs, () => {
      this.timer = undefined;
      this.retry();
    });
    if (this.reason === before) return false;
    const cause = thrown.message;
    log.error('subscription cannot read', {
      subscriptionId,
      partition,
      reason: this.reason,
      cause,
    });
    return true;
  }

  /** Reading is fine, or starts elsewhere. True when it was not. */
  clear(): boolean {
    this.timer?.cancel();
    this.timer = undefined;
    this.failures = 0;
    const was = this.error !== undefined;
    this.error = undefined;
    return was;
  }
}
