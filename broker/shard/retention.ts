// Applies a topic's retention to one partition: finds the facts, asks the plan, moves the start.
import type { PartitionLog } from '../log/partition-log.ts';
import { planTrim } from '../log/retention-plan.ts';

/** As in millrace.v1.Retention; 0 means not set. */
export interface RetentionPolicy {
  readonly ageMs: number;
  readonly bytes: number;
  readonly forever: boolean;
  readonly unackedAgeMs: number;
}

/** Durable when it resolves. `ackedBelow`: first offset that some subscription has not acked. */
export async function trimPartition(
  log: PartitionLog,
  policy: RetentionPolicy,
  ackedBelow: number,
  nowMs: number,
): Promise<void> {
  const { startOffset, endOffset } = log;
  if (startOffset >= endOffset) return;
  const youngerThan = (ageMs: number): number => log.offsetAtTime(nowMs - ageMs);
  const start = planTrim({
    startOffset,
    endOffset,
    keptByAge: policy.ageMs > 0 ? youngerThan(policy.ageMs) : undefined,
    keptByBytes: policy.bytes > 0 ? log.offsetAtTailBytes(policy.bytes) : undefined,
    forever: policy.forever,
    // Whole batches only: the batch that holds the first unacked record stays.
    ackedBelow: log.batchStart(ackedBelow),
    keptUnacked: policy.unackedAgeMs > 0 ? youngerThan(policy.unackedAgeMs) : undefined,
  });
  if (start > startOffset) await log.trim(start);
}
