// A byte budget that many share: who takes counts, who waits is called when there is room again.
//
// Invariant: taking never fails; `isUsedUp` tells everybody to stop reading more. The overshoot is one message each.

export class ByteBudget {
  private readonly bytesMax: number;
  /** Room is announced below this, so that holding back and going on do not alternate with every message. */
  private readonly resumeBelow: number;
  private readonly listeners = new Set<() => void>();
  private used = 0;
  private wasUsedUp = false;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
    this.resumeBelow = bytesMax / 2;
  }

  get usedBytes(): number {
    return this.used;
  }

  get isUsedUp(): boolean {
    return this.wasUsedUp;
  }

  take(bytes: number): void {
    this.used += bytes;
    if (this.used >= this.bytesMax) this.wasUsedUp = true;
  }

  give(bytes: number): void {
    this.used -= bytes;
    if (!this.wasUsedUp || this.used >= this.resumeBelow) return;
    this.wasUsedUp = false;
    for (const listener of this.listeners) listener();
  }

  /** Calls back when the budget has room after it was used up. Answers how to stop that. */
  onRoom(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}
