// A queue's letters on their way: the dead ones to its dead-letter topic, the redriven ones to where they came from.
//
// Invariants:
// - Nothing is sent before it is durable as on its way, and nothing is acked before it has arrived.
// - A redriven letter that cannot go is where it was: it is told by `takeReturned`, and never dropped.
// - What a job gave up goes no further, but for the letter that is being sent.
import type { Offset } from '../core/ids.ts';
import { DeadLetterSender } from './dead-letter-sender.ts';
import type { DispatcherContext } from './dispatcher.ts';
import type { LetterKept } from './letter-claims.ts';
import { addRange, type GatheredRange } from './offset-range.ts';
import type { DeadLetter, RedriveTarget } from './outbox-state.ts';
import type { QueueJournal } from './queue-journal.ts';
import type { QueueState } from './queue-state.ts';

export interface LetterEvents {
  /** Full name; empty: there is no dead-letter topic any more. */
  topic(): string;
  /** Sending began to fail, or goes on again. */
  changed(): void;
  /** A record was acked, or is to be delivered. */
  moved(): void;
}

/** Letters of a job that did not go, and why the last one did not. */
export interface ReturnedLetters {
  readonly count: number;
  readonly why: string;
}

const noneReturned: ReturnedLetters = { count: 0, why: '' };

export class LetterOutbox {
  /** Since the start: arrived at the dead-letter topic, and dropped for want of one. */
  readonly totals = { deadLettered: 0, dropped: 0 };
  private readonly context: DispatcherContext;
  private readonly state: QueueState;
  private readonly journal: QueueJournal;
  private readonly events: LetterEvents;
  private readonly sender: DeadLetterSender;
  private readonly returned = new Map<number, ReturnedLetters>();
  private readonly givenUp = new Set<number>();
  private readonly waiting = new Set<() => void>();
  private isClosed = false;

  constructor(
    context: DispatcherContext,
    state: QueueState,
    journal: QueueJournal,
    events: LetterEvents,
  ) {
    this.context = context;
    this.state = state;
    this.journal = journal;
    this.events = events;
    this.sender = new DeadLetterSender(context, {
      first: () => this.sendable(),
      topic: () => events.topic(),
      isGivenUp: ({ job }) => this.givenUp.has(job),
      arrived: (letter) => this.arrived(letter),
      returned: (letter, why) => this.takeBack(letter, why),
      changed: () => events.changed(),
    });
  }

  /** Why letters do not arrive; empty: they do, or there are none. */
  get failure(): string {
    return this.sender.failure;
  }

  send(): void {
    this.sender.send();
  }

  /** Tries again now: the policy has changed. */
  retry(): void {
    this.sender.retry();
  }

  /** To be followed by `flush`. Undefined: it is on its way. */
  redrive(offset: Offset, target: RedriveTarget): LetterKept | undefined {
    return this.state.redrive(offset, target);
  }

  /** Journals what was put in since it was called last; it is sent when that is durable. */
  flush(): void {
    this.journal.dead();
  }

  /** Acks letters for a job; answers how many. Durable when it resolves. */
  async purge(job: number, offsets: readonly Offset[]): Promise<number> {
    const ranges: GatheredRange[] = [];
    let purged = 0;
    for (const offset of offsets) {
      if (!this.state.purge(job, offset)) continue;
      addRange(ranges, offset, offset);
      purged++;
    }
    if (purged === 0) return 0;
    const { subscriptionId, partitionId, journal } = this.context;
    await journal.write({ kind: 'purged', subscriptionId, partitionId, job, ranges });
    this.events.moved();
    return purged;
  }

  /** What the job has dealt with here: redriven or purged. */
  doneOf(job: number): number {
    return this.state.outbox.jobs.done(job);
  }

  pendingOf(job: number): number {
    return this.state.outbox.jobs.pending(job);
  }

  /** Jobs that have done something here. */
  jobs(): number[] {
    return this.state.outbox.jobs.jobs();
  }

  /** Resolves when nothing of the job is on its way, or the subscription is closed. */
  async settled(job: number): Promise<void> {
    while (!this.isClosed && this.pendingOf(job) > 0) {
      await new Promise<void>((resolve) => this.waiting.add(resolve));
    }
  }

  /** Letters of the job that came back since it was called last. */
  takeReturned(job: number): ReturnedLetters {
    const returned = this.returned.get(job) ?? noneReturned;
    this.returned.delete(job);
    return returned;
  }

  /** What the job has on its way comes back, but for what has left already. */
  giveUp(job: number): void {
    if (this.pendingOf(job) === 0) return;
    this.givenUp.add(job);
    for (const letter of [...this.state.outbox]) {
      const { target, number } = letter;
      if (target?.job !== job || number === this.sender.sending) continue;
      if (!this.sender.hasArrived(letter)) this.takeBack(letter, 'the job was cancelled');
    }
    this.sender.retry();
  }

  /** The job has ended: nothing needs to know any more what it did. */
  forget(job: number): void {
    this.state.outbox.jobs.forget(job);
    this.returned.delete(job);
    this.givenUp.delete(job);
  }

  close(): void {
    this.isClosed = true;
    this.sender.close();
    this.tell();
  }

  private sendable(): DeadLetter | undefined {
    const letter = this.state.outbox.first;
    return letter !== undefined && letter.number <= this.journal.deadDurable ? letter : undefined;
  }

  private arrived({ number, target }: DeadLetter): void {
    const { subscriptionId, partitionId, journal } = this.context;
    journal.note({ kind: 'deadDone', subscriptionId, partitionId, number });
    this.state.deadArrived(number);
    if (target === undefined) {
      if (this.events.topic() === '') this.totals.dropped++;
      else this.totals.deadLettered++;
    }
    this.tell();
    this.events.moved();
  }

  private takeBack({ number, target }: DeadLetter, why: string): void {
    const { subscriptionId, partitionId, journal, clock } = this.context;
    journal.note({ kind: 'deadReturned', subscriptionId, partitionId, number });
    this.state.letterReturned(number, clock.monotonicMs());
    if (target !== undefined) {
      const { count } = this.returned.get(target.job) ?? noneReturned;
      this.returned.set(target.job, { count: count + 1, why });
    }
    this.tell();
    this.events.moved();
  }

  private tell(): void {
    const resolves = [...this.waiting];
    this.waiting.clear();
    for (const resolve of resolves) resolve();
  }
}
