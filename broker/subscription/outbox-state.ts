// What of one (subscription, partition) is on its way to another topic: dead, or redriven to where it died.
//
//   put ──entry `dead` durable──▶ published under its number ──▶ done (entry `deadDone`), which is its ack
//                                 redriven, and cannot go ──▶ returned (entry `deadReturned`): not on its way any more
//
// Invariants:
// - numbers rise by one from 1 and are never used twice: they are the sequence of the publisher that sends;
// - letters leave in the order of their numbers;
// - a record is in it once; one that a seek made fresh again, or that was acked after all, is no longer: its letter is
//   detached, and arrives nevertheless, because the numbers go on.
import { assert } from '../core/assert.ts';
import type { Offset, SubscriptionId, TopicId } from '../core/ids.ts';
import { RunIndex, type OffsetRun } from '../core/run-index.ts';
import { JobCounts } from './job-counts.ts';

export type DeadReason = 'attempts_exhausted' | 'rejected' | 'expired';

/** Where a redriven letter goes. */
export interface RedriveTarget {
  /** The job that asked for it. */
  readonly job: number;
  readonly topicId: TopicId;
  /** Index in the topic. */
  readonly partition: number;
  /** The one subscription that it is for; 0: all. */
  readonly audience: SubscriptionId | 0;
}

export interface DeadLetter {
  readonly number: number;
  readonly offset: Offset;
  /** Deliveries that it had. */
  readonly attempts: number;
  readonly reason: DeadReason | 'redriven';
  /** Of a redriven one; the others go to the subscription's dead-letter topic. */
  readonly target: RedriveTarget | undefined;
  /** What its last consumer said, or what ended its last delivery. At most 256 bytes. */
  readonly text: string;
  /** To be sent, not to be acked. */
  readonly isDetached: boolean;
}

interface Place extends OffsetRun {
  readonly number: number;
}

export class OutboxState {
  private readonly letters = new Map<number, DeadLetter>();
  private readonly places = new RunIndex<Place>();
  /** What became of redriven letters, by job. */
  readonly jobs: JobCounts;
  private nextNumber: number;
  private newLetters: DeadLetter[] = [];

  /** `letters` ascending by number. */
  constructor(nextNumber = 1, letters: Iterable<DeadLetter> = [], jobs = new JobCounts()) {
    this.jobs = jobs;
    this.nextNumber = 1;
    for (const letter of letters) this.restore(letter);
    this.nextNumber = Math.max(this.nextNumber, nextNumber);
  }

  /** Letters whose record is not acked. */
  get count(): number {
    return this.places.size;
  }

  get next(): number {
    return this.nextNumber;
  }

  /** The letter to be sent now. */
  get first(): DeadLetter | undefined {
    return this.letters.values().next().value;
  }

  put(offset: Offset, attempts: number, reason: DeadReason, text: string): void {
    this.add({ offset, attempts, reason, text, target: undefined });
  }

  redrive(offset: Offset, attempts: number, target: RedriveTarget): void {
    this.add({ offset, attempts, reason: 'redriven', text: '', target });
  }

  /**
   * New letters get numbers from there on. Of an earlier ownership of the shard letters may have been lost with a disk
   * whose targets remember them: under their numbers others would count as repeats.
   */
  numberFrom(number: number): void {
    this.nextNumber = Math.max(this.nextNumber, number);
  }

  /** Letters put in since it was asked last: to be journaled before anything is sent. */
  takeNew(): readonly DeadLetter[] {
    const letters = this.newLetters;
    this.newLetters = [];
    return letters;
  }

  /** From the journal, in the order of numbers; one that is known, or has left already, changes nothing. */
  restore(letter: DeadLetter): void {
    if (letter.number < this.nextNumber) return;
    this.nextNumber = letter.number + 1;
    this.letters.set(letter.number, letter);
    if (letter.target !== undefined) this.jobs.addPending(letter.target.job, 1);
    if (letter.isDetached) return;
    assert(this.places.at(letter.offset) === undefined, `record ${letter.offset} is dead twice`);
    this.places.insert({ first: letter.offset, last: letter.offset, number: letter.number });
  }

  /** Sent, and so was everything before it. Answers the letters that leave. */
  done(number: number): readonly DeadLetter[] {
    const left: DeadLetter[] = [];
    for (const letter of this.letters.values()) {
      if (letter.number > number) break;
      left.push(letter);
    }
    for (const letter of left) {
      this.remove(letter);
      if (letter.target !== undefined) this.jobs.addDone(letter.target.job, 1);
    }
    return left;
  }

  /** It cannot go, and never will. Undefined: it is not in it. */
  returned(number: number): DeadLetter | undefined {
    const letter = this.letters.get(number);
    if (letter !== undefined) this.remove(letter);
    return letter;
  }

  /** Records of the range are acked, or gone: their letters still arrive. */
  detachWithin(first: Offset, last: Offset): void {
    for (let place = this.places.ceiling(first); place !== undefined && place.first <= last;) {
      this.places.remove(place);
      const letter = this.letters.get(place.number);
      if (letter !== undefined) this.letters.set(place.number, { ...letter, isDetached: true });
      place = this.places.ceiling(first);
    }
  }

  /** A seek makes every record fresh, or counts it as acked; what is on its way still arrives. */
  detach(): void {
    this.places.clear();
    for (const [number, letter] of this.letters) {
      this.letters.set(number, { ...letter, isDetached: true });
    }
  }

  has(offset: Offset): boolean {
    return this.places.at(offset) !== undefined;
  }

  /** The letter of a record that is in it. */
  letterOf(offset: Offset): DeadLetter | undefined {
    const place = this.places.at(offset);
    return place && this.letters.get(place.number);
  }

  /** The record in it at or after the offset. */
  ceiling(offset: Offset): Readonly<OffsetRun> | undefined {
    return this.places.ceiling(offset);
  }

  [Symbol.iterator](): IterableIterator<DeadLetter> {
    return this.letters.values();
  }

  private add(letter: Omit<DeadLetter, 'number' | 'isDetached'>): void {
    const added = { ...letter, number: this.nextNumber, isDetached: false };
    this.restore(added);
    this.newLetters.push(added);
  }

  private remove(letter: DeadLetter): void {
    this.letters.delete(letter.number);
    if (letter.target !== undefined) this.jobs.addPending(letter.target.job, -1);
    const place = this.places.at(letter.offset);
    if (place?.number === letter.number) this.places.remove(place);
  }
}
