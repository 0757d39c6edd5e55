// Applies a topic's retention to one partition: finds the facts, asks the plan, moves the start.
import type { PartitionLog } from '../log/partition-log.ts';
import { planTrim } from '../log/retention-plan.ts';
import type { PartitionPolicy } from './policies.ts';

/** Durable when it resolves. `ackedBelow`: first offset that some subscription has not acked by now. */
export async function trimPartition(
  log: PartitionLog,
  { retention: policy, backlog }: Pick<PartitionPolicy, 'retention' | 'backlog'>,
  ackedBelow: () => number,
  nowMs: number,
): Promise<void> {
  const { startOffset, endOffset } = log;
  if (startOffset >= endOffset) return;
  const acked = ackedBelow();
  const youngerThan = (ageMs: number): Promise<number> => log.keptFromTime(nowMs - ageMs);
  const start = planTrim({
    startOffset,
    endOffset,
    keptByAge: policy.ageMs > 0 ? await youngerThan(policy.ageMs) : undefined,
    keptByBytes: policy.bytes > 0 ? await log.keptFromBytes(policy.bytes) : undefined,
    forever: policy.forever,
    // Whole batches and segments only: the one that holds the first unacked record stays.
    ackedBelow: await log.keptFromOffset(acked),
    keptUnacked: policy.unackedAgeMs > 0 ? await youngerThan(policy.unackedAgeMs) : undefined,
  });
  // Of a backlog over its quota the oldest goes, whoever has not seen it.
  if (backlog.bytes > 0 && backlog.policy === 'drop_oldest') {
    const kept = await log.keptFromBytes(backlog.bytes);
    if (acked < kept) {
      if (kept > startOffset) await log.trim(Math.max(kept, start));
      return;
    }
  }
  // Moved back, or come anew, while the store was asked: nothing goes before that was taken into account.
  if (ackedBelow() < acked) return;
  if (start > startOffset) await log.trim(start);
}
