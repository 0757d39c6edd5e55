// Partitions whose sealed records could not be read when they were to be offloaded.
//
//   fine ──read fails──▶ alone ──read fails alone──▶ held ──time──▶ alone; ──offloaded, or nothing left──▶ fine
//
// Invariants:
// - Damage holds up its own partition only: what shared an object with it goes in objects of its own at once.
// - Nothing is skipped: a partition that is held stays as it is on the disk.
import type { PartitionId } from '../core/ids.ts';

/** A volume is not mended while it is in use; a controller that read wrong once may read right again. */
const heldMs = 60_000;

interface Damage {
  readonly why: string;
  /** 0: at once, alone. */
  readonly retryAtMs: number;
}

export class DamagedPartitions {
  private readonly damages = new Map<PartitionId, Damage>();

  /** What would have shared an object could not be read. True when it is to be tried again at once, one by one. */
  note(partitions: readonly PartitionId[], why: string, nowMs: number): boolean {
    const shared = partitions.length > 1;
    for (const id of partitions) {
      this.damages.set(id, { why, retryAtMs: shared ? 0 : nowMs + heldMs });
    }
    return shared;
  }

  /** Whether it must not share an object with others. */
  isAlone(partition: PartitionId): boolean {
    return this.damages.has(partition);
  }

  /** Whether it is left alone for now. */
  isHeld(partition: PartitionId, nowMs: number): boolean {
    return nowMs < (this.damages.get(partition)?.retryAtMs ?? 0);
  }

  forget(partition: PartitionId): void {
    this.damages.delete(partition);
  }

  /** Forgets those with nothing left to offload: deleted, or expired past the damage. */
  keepOnly(isLeft: (partition: PartitionId) => boolean): void {
    for (const id of this.damages.keys()) if (!isLeft(id)) this.damages.delete(id);
  }

  /** Why something is not offloaded; empty when nothing is damaged. */
  get why(): string {
    for (const { why } of this.damages.values()) return why;
    return '';
  }
}
