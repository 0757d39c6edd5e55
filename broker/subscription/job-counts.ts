// What jobs on dead letters (redrive, purge) have done in one partition. It comes from the same journal as the acks, so
// a count is exact over a crash.
//
// Invariant: only jobs with a count above 0 are in it.

export class JobCounts {
  private readonly doneOf: Map<number, number>;
  private readonly pendingOf = new Map<number, number>();

  constructor(done: Iterable<readonly [number, number]> = []) {
    this.doneOf = new Map(done);
  }

  /** Letters that a job has dealt with. */
  done(job: number): number {
    return this.doneOf.get(job) ?? 0;
  }

  /** Letters of a job that are on their way. */
  pending(job: number): number {
    return this.pendingOf.get(job) ?? 0;
  }

  jobs(): number[] {
    return [...this.doneOf.keys()];
  }

  addDone(job: number, letters: number): void {
    if (letters > 0) this.doneOf.set(job, this.done(job) + letters);
  }

  addPending(job: number, letters: 1 | -1): void {
    const pending = this.pending(job) + letters;
    if (pending === 0) this.pendingOf.delete(job);
    else this.pendingOf.set(job, pending);
  }

  /** The job has ended. Not journaled: who knows the jobs forgets the others after a restart. */
  forget(job: number): void {
    this.doneOf.delete(job);
  }

  /** What is durable of it; what is on its way follows from the letters. */
  [Symbol.iterator](): IterableIterator<[number, number]> {
    return this.doneOf.entries();
  }
}
