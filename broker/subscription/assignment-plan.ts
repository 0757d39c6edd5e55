// Which consumer of a stream subscription is active on which partition: rendezvous hashing.
//
// Invariants:
// - pure: the same consumers and partitions give the same plan, in any order, on any broker;
// - a consumer that joins takes partitions over, one that leaves gives its own away; no other partition moves.
import { murmur3 } from '../../proto/wire/murmur3.ts';
import type { PartitionId } from '../core/ids.ts';

export interface Candidate {
  /** Number of the connected consumer. */
  readonly consumer: number;
  /** Its name; the place in the plan hangs on it, so a consumer that reconnects gets its partitions back. */
  readonly name: string;
}

/** The active consumer of each partition; empty when nobody is connected. */
export function planAssignment(
  candidates: readonly Candidate[],
  partitions: readonly PartitionId[],
): ReadonlyMap<PartitionId, number> {
  const keys = candidates.map((candidate) => hashKey(candidate.name));
  const plan = new Map<PartitionId, number>();
  for (const partition of partitions) {
    let best: Candidate | undefined;
    let bestScore = -1;
    candidates.forEach((candidate, i) => {
      const score = scoreOf(keys[i] as Buffer, partition);
      const wins =
        best === undefined ||
        score > bestScore ||
        (score === bestScore && comesFirst(candidate, best));
      if (!wins) return;
      best = candidate;
      bestScore = score;
    });
    if (best !== undefined) plan.set(partition, best.consumer);
  }
  return plan;
}

/** Two consumers may share a name, so a tie is normal: the one that came first stays active. */
function comesFirst(a: Candidate, b: Candidate): boolean {
  if (a.name !== b.name) return a.name < b.name;
  return a.consumer < b.consumer;
}

/** The name with room for a partition id behind it. */
function hashKey(name: string): Buffer {
  return Buffer.concat([Buffer.from(name), Buffer.alloc(4)]);
}

function scoreOf(key: Buffer, partition: PartitionId): number {
  key.writeUInt32LE(partition, key.length - 4);
  return murmur3(key);
}
