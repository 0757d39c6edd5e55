// Releases what was held back when its time has come, for all partitions of a shard.
//
// Invariants:
// - The wall clock is looked at once a second at least while anything is held back: one that steps is noticed.
// - However many are due at once, other work gets its turn after `releasedPerTurn` batches.
import type { Clock, Timer } from '../core/clock.ts';
import { limits } from '../core/limits.ts';
import type { PartitionLog } from '../log/partition-log.ts';

const lookMs = 1_000;

export class DueBatches {
  private readonly clock: Clock;
  /** Logs that hold something back. */
  private readonly logs = new Set<PartitionLog>();
  private timer: Timer | undefined;
  private timerAtMs = Infinity;
  private isStopped = false;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** The log holds something back until `dueMs`, by the wall clock. */
  hold(log: PartitionLog, dueMs: number): void {
    this.logs.add(log);
    this.arm(dueMs);
  }

  stop(): void {
    this.isStopped = true;
    this.timer?.cancel();
  }

  private look(): void {
    this.timer = undefined;
    this.timerAtMs = Infinity;
    let left: number = limits.releasedPerTurn;
    let nextMs = Infinity;
    for (const log of [...this.logs]) {
      const released = log.releaseDue(this.clock.wallMs(), left);
      left -= released;
      if (released > 0) this.moveBack(log);
      nextMs = Math.min(nextMs, log.marks.nextDueMs);
      if (log.marks.nextDueMs === Infinity) this.logs.delete(log);
    }
    if (this.logs.size > 0) this.arm(nextMs);
  }

  /** Those that had nothing to release go first next time. */
  private moveBack(log: PartitionLog): void {
    this.logs.delete(log);
    this.logs.add(log);
  }

  private arm(dueMs: number): void {
    if (this.isStopped || dueMs >= this.timerAtMs) return;
    this.timer?.cancel();
    this.timerAtMs = dueMs;
    const waitMs = Math.min(lookMs, Math.max(1, dueMs - this.clock.wallMs()));
    this.timer = this.clock.after(waitMs, () => this.look());
  }
}
