// Decides how much of the journal stays on the disk. Pure.
//
// Invariants:
// - Nothing that is neither in the store nor expired is ever chosen to go.
// - Generations go oldest first: one that has to stay keeps all behind it.

/** How much of a topic stays hot, per partition. */
export interface HotWindow {
  /** 0: as long as there is room. */
  readonly ageMs: number;
  /** 0: as long as there is room. */
  readonly bytes: number;
}

/** A partition's part of a generation. */
export interface HeldPart {
  /** Nothing of it is inside the partition any more. */
  readonly isExpired: boolean;
  readonly isOffloaded: boolean;
  readonly window: HotWindow | undefined;
  readonly newestTimeMs: number;
  /** Stored bytes of the partition behind this part. */
  readonly bytesBehind: number;
}

export interface HotFacts {
  /** Of all files of the journal. */
  readonly hotBytes: number;
  readonly budgetBytes: number;
  /** The volume itself is nearly full. */
  readonly isDiskTight: boolean;
}

/** Free room for what is sealed next is made before the budget is used up. */
const pressureShare = 0.8;

/** Whether room has to be made. */
export function isPressed({ hotBytes, budgetBytes, isDiskTight }: HotFacts): boolean {
  return isDiskTight || hotBytes > budgetBytes;
}

/** How many of the oldest generations, by their bytes, have to be offloaded so that they can go. */
export function urgentGenerations(sealedBytes: readonly number[], facts: HotFacts): number {
  const target = facts.budgetBytes * pressureShare;
  let left = facts.hotBytes;
  let count = 0;
  while (count < sealedBytes.length && (left > target || (facts.isDiskTight && count === 0))) {
    left -= sealedBytes[count] ?? 0;
    count++;
  }
  return count;
}

/** Whether the oldest generation may go now. */
export function mayGo(parts: Iterable<HeldPart>, pressed: boolean, nowMs: number): boolean {
  for (const part of parts) {
    if (part.isExpired) continue;
    if (!part.isOffloaded) return false;
    if (!pressed && !isOutside(part, nowMs)) return false;
  }
  return true;
}

function isOutside({ window, newestTimeMs, bytesBehind }: HeldPart, nowMs: number): boolean {
  if (window === undefined) return false;
  if (window.ageMs > 0 && nowMs - newestTimeMs > window.ageMs) return true;
  return window.bytes > 0 && bytesBehind >= window.bytes;
}
