// Writes what a queue's dispatcher must not forget: acks, attempts, and letters on their way.
//
// Invariants:
// - An entry is appended in the turn in which it counts.
// - A retry waits until its attempts are durable, a letter until it is durable as dead.
import type { DispatcherContext } from './dispatcher.ts';
import type { OffsetRange } from './offset-range.ts';
import type { QueueState } from './queue-state.ts';
import type { AttemptRun } from './queue-types.ts';

export interface QueueJournalEvents {
  attemptsDurable(): void;
  deadDurable(): void;
}

export class QueueJournal {
  private readonly context: DispatcherContext;
  private readonly state: QueueState;
  private readonly events: QueueJournalEvents;
  /** Letters up to this number are durable as dead. */
  deadDurable: number;

  constructor(context: DispatcherContext, state: QueueState, events: QueueJournalEvents) {
    this.context = context;
    this.state = state;
    this.events = events;
    this.deadDurable = state.outbox.next - 1;
  }

  acks(ranges: readonly OffsetRange[]): void {
    const { subscriptionId, partitionId, journal } = this.context;
    journal.note({ kind: 'acked', subscriptionId, partitionId, ranges });
  }

  attempts(runs: readonly AttemptRun[]): void {
    if (runs.length === 0) return;
    const { subscriptionId, partitionId, journal, clock } = this.context;
    const wallOffsetMs = clock.wallMs() - clock.monotonicMs();
    const durable = runs.map(({ first, last, attempts, readyAtMs }) => ({
      first,
      last,
      attempts,
      readyAtWallMs: Math.max(0, Math.ceil(readyAtMs + wallOffsetMs)),
    }));
    const entry = this.state.attemptsJournaled();
    void journal.write({ kind: 'attempts', subscriptionId, partitionId, runs: durable }).then(
      () => {
        this.state.attemptsDurable(entry);
        this.events.attemptsDurable();
      },
      () => {
        // The journal has failed, and with it the broker.
      },
    );
  }

  /** Letters that died since it was called last. */
  dead(): void {
    const letters = this.state.outbox.takeNew();
    if (letters.length === 0) return;
    const { subscriptionId, partitionId, journal } = this.context;
    const last = this.state.outbox.next - 1;
    void journal.write({ kind: 'dead', subscriptionId, partitionId, letters }).then(
      () => {
        this.deadDurable = last;
        this.events.deadDurable();
      },
      () => {
        // The journal has failed, and with it the broker.
      },
    );
  }
}
