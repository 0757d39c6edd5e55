// Streams that a quota of one tenant or namespace holds back: they take turns, in the order in which they came.
//
// Invariants:
// - As many go on at a time as there is room for, by what one usually takes: all at once would each pass a frame, and
//   overdraw the quota by as many frames as there are streams.
// - While anybody waits there is one timer, and it looks again before long: a quota that is raised helps at once.
import type { Clock, Timer } from '../core/clock.ts';
import { limits } from '../core/limits.ts';
import type { Hold } from './quota-state.ts';

/** Time for those that went on to take what there is room for, before the next ones do. */
const turnMs = 2;

export interface Waiter {
  /** It waits no longer; it asks again before it goes on, for it may be under another quota too. */
  onTurn(): void;
}

export class HoldQueue {
  private readonly clock: Clock;
  private readonly hold: (nowMs: number) => Hold | undefined;
  private readonly turns: (nowMs: number) => number;
  private readonly waiting = new Set<Waiter>();
  private timer: Timer | undefined;

  /** `turns`: how many may go on now; at least one while there is no hold. */
  constructor(
    clock: Clock,
    hold: (nowMs: number) => Hold | undefined,
    turns: (nowMs: number) => number,
  ) {
    this.clock = clock;
    this.hold = hold;
    this.turns = turns;
  }

  /** Behind all that wait already. */
  add(waiter: Waiter, { waitMs }: Hold): void {
    this.waiting.add(waiter);
    if (this.timer === undefined) this.lookIn(waitMs);
  }

  remove(waiter: Waiter): void {
    this.waiting.delete(waiter);
    if (this.waiting.size > 0) return;
    this.timer?.cancel();
    this.timer = undefined;
  }

  private lookIn(waitMs: number): void {
    this.timer = this.clock.after(Math.min(waitMs, limits.quotaLookMsMax), () => this.look());
  }

  private look(): void {
    let hold: Hold | undefined;
    let turns = this.turns(this.clock.monotonicMs());
    for (const waiter of this.waiting) {
      hold = this.hold(this.clock.monotonicMs());
      if (hold !== undefined || turns-- <= 0) break;
      this.waiting.delete(waiter);
      waiter.onTurn();
    }
    this.timer = undefined;
    if (this.waiting.size > 0) this.lookIn(hold?.waitMs ?? turnMs);
  }
}
