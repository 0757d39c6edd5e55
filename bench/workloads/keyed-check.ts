// Counts what became of numbered records of numbered keys: lost, delivered twice, or out of the order of their key.

export class KeyedCheck {
  published = 0;
  delivered = 0;
  duplicates = 0;
  outOfOrder = 0;
  private readonly nextPublished: Uint32Array;
  private readonly nextDelivered: Uint32Array;
  /** Passed by a later record of their key, and not seen since. */
  private readonly missing = new Set<string>();
  private whenDone: (() => void) | undefined;

  constructor(keys: number) {
    this.nextPublished = new Uint32Array(keys);
    this.nextDelivered = new Uint32Array(keys);
  }

  /** The number of the next record of the key. */
  nextOf(key: number): number {
    this.published++;
    const number = this.nextPublished[key] as number;
    this.nextPublished[key] = number + 1;
    return number;
  }

  deliveredOne(key: number, number: number): void {
    this.delivered++;
    const expected = this.nextDelivered[key] as number;
    if (number < expected) {
      if (this.missing.delete(`${key} ${number}`)) this.outOfOrder++;
      else this.duplicates++;
    } else {
      for (let passed = expected; passed < number; passed++) this.missing.add(`${key} ${passed}`);
      this.nextDelivered[key] = number + 1;
    }
    if (this.lost === 0) this.whenDone?.();
  }

  /** Published and not delivered so far. */
  get lost(): number {
    return this.published - (this.delivered - this.duplicates);
  }

  /** Until nothing is missing, at most so long. */
  async whenComplete(timeMs: number): Promise<void> {
    if (this.lost === 0) return;
    const done = new Promise<void>((resolve) => (this.whenDone = resolve));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, timeMs)));
    await Promise.race([done, late]);
    clearTimeout(timer);
  }
}
