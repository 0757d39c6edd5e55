// Decides which partitions leave for the object store now, and how they share objects. Pure.
//
// Invariants:
// - No object holds two tenants.
// - A partition with little to offload waits to be joined with others of its tenant, but not past the age, and not when
//   its generation must go.
// - Everything chosen is offloaded up to the end of what is sealed: no remainder is left behind to wait.
import type { PartitionId, TenantId } from '../core/ids.ts';

/** What one partition has in sealed generations and not in the store. */
export interface OffloadCandidate {
  readonly partition: PartitionId;
  readonly tenant: TenantId;
  /** Stored bytes. */
  readonly bytes: number;
  /** Append time of the oldest such record. */
  readonly oldestTimeMs: number;
  /** Someone asked, or the disk needs the room. */
  readonly isUrgent: boolean;
  /** It shares no object with others: some of it may be unreadable. */
  readonly isAlone: boolean;
}

export interface OffloadLimits {
  /** So much makes an object of its own worth while. */
  readonly bytesMin: number;
  /** One object has about so much at most. */
  readonly bytesMax: number;
  /** What is older goes, however little it is. */
  readonly ageMs: number;
}

/** One object to write. Parts take what follows in their partition, in the order of the tasks. */
export interface OffloadTask {
  readonly tenant: TenantId;
  readonly parts: readonly OffloadPart[];
}

export interface OffloadPart {
  readonly partition: PartitionId;
  /** Whole batches of at most so much. */
  readonly bytesMax: number;
}

export function planOffload(
  candidates: readonly OffloadCandidate[],
  nowMs: number,
  limits: OffloadLimits,
): OffloadTask[] {
  const due = candidates.filter(
    ({ bytes, oldestTimeMs, isUrgent }) =>
      bytes > 0 && (isUrgent || bytes >= limits.bytesMin || nowMs - oldestTimeMs >= limits.ageMs),
  );
  const tasks: OffloadTask[] = [];
  const packs = new Map<TenantId, { bytes: number; parts: OffloadPart[] }>();
  // On a volume with little room objects are smaller than what is worth one of its own.
  const ownFrom = Math.min(limits.bytesMin, limits.bytesMax);
  for (const { partition, tenant, bytes, isAlone } of due) {
    if (isAlone || bytes >= ownFrom) {
      tasks.push(...ownObjects(partition, tenant, bytes, limits.bytesMax));
      continue;
    }
    let pack = packs.get(tenant);
    if (pack !== undefined && pack.bytes + bytes > limits.bytesMax) {
      tasks.push({ tenant, parts: pack.parts });
      pack = undefined;
    }
    if (pack === undefined) packs.set(tenant, (pack = { bytes: 0, parts: [] }));
    pack.bytes += bytes;
    pack.parts.push({ partition, bytesMax: bytes });
  }
  for (const [tenant, { parts }] of packs) tasks.push({ tenant, parts });
  return tasks;
}

/** Objects of about equal size for one large partition; the last also takes what cutting at batches has left. */
function ownObjects(
  partition: PartitionId,
  tenant: TenantId,
  bytes: number,
  bytesMax: number,
): OffloadTask[] {
  const count = Math.ceil(bytes / bytesMax);
  const lastBytesMax = Math.ceil(bytes / count) + bytesMax / 4;
  return Array.from({ length: count }, (_, i) => ({
    tenant,
    parts: [{ partition, bytesMax: i === count - 1 ? lastBytesMax : Math.ceil(bytes / count) }],
  }));
}
