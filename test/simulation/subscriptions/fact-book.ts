// What is known of the records of a run while its history is read: which survived, and what time it was at most.
import type { Event, Fact } from './history.ts';

export class FactBook {
  readonly facts = new Map<number, Fact>();
  /** The latest time that the broker's wall clock ever showed. */
  latestMs = 0;

  see(event: Event): void {
    const { kind } = event;
    if (kind === 'appended') this.facts.set(event.fact.offset, event.fact);
    if (kind === 'opened') {
      for (const offset of this.facts.keys()) {
        if (offset >= event.endOffset) this.facts.delete(offset);
      }
    }
    if (kind === 'opened' || kind === 'time' || kind === 'delivered') {
      this.latestMs = Math.max(this.latestMs, event.wallMs);
    }
  }

  of(offset: number): Fact | undefined {
    return this.facts.get(offset);
  }
}
