// Sends what a subscription's partition has in its outbox, in the order of numbers: dead letters to the dead-letter
// topic, redriven ones to where they came from.
//
//   first letter ──read──▶ record with headers ──publish under its number──▶ `deadDone` ──▶ next letter
//                          redriven, and there is nowhere to go ──▶ `deadReturned` ──▶ next letter
//
// Invariants:
// - One letter at a time is under way, and it is durable as `dead` before.
// - A failure is told as `dead_letter_failing` and tried again with a back-off; the letter stays.
// - A redriven letter comes back only when it has not arrived: not even before a restart.
// - A letter whose record retention has removed meanwhile arrives nowhere: there is nothing left to send.
import { BrokerError, toBrokerError } from '../core/errors.ts';
import type { Timer } from '../core/clock.ts';
import { batchAt } from '../log/batch-at.ts';
import { deadLetterRecord, type Origin } from './dead-letter-record.ts';
import type { DispatcherContext } from './dispatcher.ts';
import type { DeadLetter, RedriveTarget } from './outbox-state.ts';
import { redrivenRecord } from './redriven-record.ts';

/** Takes letters; the cluster implements it. */
export interface DeadLetterTarget {
  /**
   * Appends a batch of one record to the topic, once per publisher and sequence. Durable when it resolves; throws
   * why it cannot be appended now.
   */
  publish(letter: {
    readonly topic: string;
    readonly publisher: string;
    readonly sequence: number;
    readonly body: Buffer;
  }): Promise<void>;
  /**
   * The same, to a target that may be gone. Of kind `missing` or `invalid`: it is, for ever.
   */
  redrive(letter: {
    readonly target: RedriveTarget;
    readonly publisher: string;
    readonly sequence: number;
    readonly body: Buffer;
  }): Promise<void>;
  /** Whether the target has stored it. */
  hasArrived(target: RedriveTarget, publisher: string, sequence: number): boolean;
}

export interface OutboxPort {
  first(): DeadLetter | undefined;
  /** Full name; empty: there is no dead-letter topic any more. */
  topic(): string;
  /** Whoever asked for it wants it no more. */
  isGivenUp(target: RedriveTarget): boolean;
  /** The letter has arrived, or has nothing left to send. */
  arrived(letter: DeadLetter): void;
  /** It did not go, and will not. */
  returned(letter: DeadLetter, why: string): void;
  /** It began to fail, or goes on again. */
  changed(): void;
}

const retryMs = { min: 100, max: 5_000 } as const;

export class DeadLetterSender {
  private readonly context: DispatcherContext;
  private readonly outbox: OutboxPort;
  private readonly origin: Origin;
  private readonly publisher: string;
  private current: DeadLetter | undefined;
  private isClosed = false;
  private failures = 0;
  private timer: Timer | undefined;
  private lastFailure = '';

  constructor(context: DispatcherContext, outbox: OutboxPort) {
    const { subscriptionId, partitionId, partition, names } = context;
    this.context = context;
    this.outbox = outbox;
    this.origin = { topic: names.topic, partition, subscription: names.subscription };
    this.publisher = `~dead/${subscriptionId}/${partitionId}`;
  }

  /** Why letters do not arrive; empty: they do, or there are none. */
  get failure(): string {
    return this.lastFailure;
  }

  /** Number of the letter that is under way; 0: none is. */
  get sending(): number {
    return this.current?.number ?? 0;
  }

  /** Whether its target has stored a redriven letter. */
  hasArrived({ target, number }: DeadLetter): boolean {
    if (target === undefined) return false;
    return this.context.deadLetters.hasArrived(target, this.publisher, number);
  }

  /** Everything in the outbox is durable as `dead`: sends it, one after another. */
  send(): void {
    if (this.current !== undefined || this.isClosed || this.timer !== undefined) return;
    const letter = this.outbox.first();
    if (letter === undefined) return;
    this.current = letter;
    void this.deliver(letter).then(
      () => this.settled(''),
      (thrown: unknown) => this.settled(toBrokerError(thrown).message),
    );
  }

  /** Tries again now: the policy has changed. */
  retry(): void {
    this.timer?.cancel();
    this.timer = undefined;
    this.failures = 0;
    this.send();
  }

  close(): void {
    this.isClosed = true;
    this.timer?.cancel();
  }

  private async deliver(letter: DeadLetter): Promise<void> {
    if (letter.target !== undefined) return this.redrive(letter, letter.target);
    const topic = this.outbox.topic();
    const body = topic === '' ? undefined : await this.bodyOf(letter);
    // Its consumer is done with it either way: without a topic, or without bytes, it is dropped.
    if (body !== undefined) {
      const { publisher } = this;
      const { number: sequence } = letter;
      await this.context.deadLetters.publish({ topic, publisher, sequence, body });
    }
    if (!this.isClosed) this.outbox.arrived(letter);
  }

  private async redrive(letter: DeadLetter, target: RedriveTarget): Promise<void> {
    const { publisher, outbox } = this;
    const { number: sequence } = letter;
    try {
      if (!this.hasArrived(letter)) {
        if (outbox.isGivenUp(target)) throw givenUp();
        const batch = await batchAt(this.context.partitionLog, letter.offset);
        const body = batch && redrivenRecord(batch.recordAt(letter.offset));
        if (body !== undefined) {
          await this.context.deadLetters.redrive({ target, publisher, sequence, body });
        }
      }
    } catch (thrown) {
      const error = toBrokerError(thrown);
      if (!isFinal(error)) throw error;
      if (!this.isClosed) outbox.returned(letter, error.message);
      return;
    }
    if (!this.isClosed) outbox.arrived(letter);
  }

  private async bodyOf(letter: DeadLetter): Promise<Buffer | undefined> {
    const batch = await batchAt(this.context.partitionLog, letter.offset);
    return batch && deadLetterRecord(batch, letter, this.origin);
  }

  private settled(failure: string): void {
    this.current = undefined;
    if (this.isClosed) return;
    const hasChanged = (failure === '') !== (this.lastFailure === '');
    this.lastFailure = failure;
    if (failure === '') this.failures = 0;
    else {
      const waitMs = Math.min(retryMs.max, retryMs.min * 2 ** this.failures++);
      this.timer = this.context.clock.after(waitMs, () => {
        this.timer = undefined;
        this.send();
      });
    }
    if (hasChanged) this.outbox.changed();
    if (failure === '') this.send();
  }
}

function givenUp(): BrokerError {
  return new BrokerError('CANCELLED', 'the job was cancelled');
}

/** Trying again does not help. */
function isFinal({ kind, reason }: BrokerError): boolean {
  return kind === 'missing' || kind === 'invalid' || kind === 'corrupt' || reason === 'CANCELLED';
}
