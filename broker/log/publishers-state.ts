// Who publishes to one partition: epochs that fence, sequences that make a repeat harmless. Pure.
//
// Invariants:
// - An epoch only rises; appends of a lower one are refused.
// - Sequences of a publisher are stored without a gap, each at most once, across epochs. One that sends its numbers to
//   several partitions in their order leaves gaps in each, and is told so: what is not above the last is a repeat.
// - The last `publisherAnswersKept` answers are remembered; what is older is refused, never stored again.
// - At most `publishersPerPartitionMax`; at the limit the longest unused one that no stream holds is forgotten.
import { publisherId, type Offset, type PublisherId } from '../core/ids.ts';
import { limits } from '../core/limits.ts';

export interface Publisher {
  readonly id: PublisherId;
  readonly name: string;
  epoch: number;
  /** Last sequence that was given an offset; 0 before the first. */
  lastSequence: number;
  /** Answers of the last sequences, oldest first: [base offset, record count] flattened. */
  readonly answers: number[];
  lastUsedMs: number;
  /** Streams that have it open now; not durable. */
  openCount: number;
}

/** What an append with a sequence comes to. */
export type SequenceVerdict =
  | { readonly kind: 'append' }
  | { readonly kind: 'repeat'; readonly baseOffset: Offset; readonly recordCount: number }
  | { readonly kind: 'too_old'; readonly lastSequence: number }
  | { readonly kind: 'gap'; readonly lastSequence: number }
  | { readonly kind: 'fenced'; readonly epoch: number };

const appendVerdict: SequenceVerdict = { kind: 'append' };

export class PublishersState {
  private readonly byName = new Map<string, Publisher>();
  private readonly byId = new Map<PublisherId, Publisher>();
  private nextId = 1;

  get count(): number {
    return this.byName.size;
  }

  get(id: PublisherId): Publisher | undefined {
    return this.byId.get(id);
  }

  named(name: string): Publisher | undefined {
    return this.byName.get(name);
  }

  all(): Iterable<Publisher> {
    return this.byName.values();
  }

  /** Makes room for one more publisher; false when all are held by open streams. */
  makeRoom(): boolean {
    if (this.byName.size < limits.publishersPerPartitionMax) return true;
    let oldest: Publisher | undefined;
    for (const publisher of this.byName.values()) {
      if (publisher.openCount > 0) continue;
      if (oldest === undefined || publisher.lastUsedMs < oldest.lastUsedMs) oldest = publisher;
    }
    if (oldest === undefined) return false;
    this.forget(oldest);
    return true;
  }

  /**
   * Creates the publisher or raises its epoch. `id` is given by recovery, which repeats what was journaled: ids of
   * publishers that were forgotten meanwhile leave holes that counting again would fill.
   */
  open(name: string, epoch: number, nowMs: number, id = publisherId(this.nextId)): Publisher {
    const known = this.byName.get(name);
    if (known !== undefined && (known.id === id || id === this.nextId)) {
      known.epoch = Math.max(known.epoch, epoch);
      known.lastUsedMs = nowMs;
      return known;
    }
    const publisher: Publisher = {
      id,
      name,
      epoch,
      lastSequence: 0,
      answers: [],
      lastUsedMs: nowMs,
      openCount: 0,
    };
    this.restore(publisher);
    return publisher;
  }

  /** Puts back a publisher as it was; used by recovery. */
  restore(publisher: Publisher): void {
    const known = this.byName.get(publisher.name);
    if (known !== undefined) this.byId.delete(known.id);
    this.byName.set(publisher.name, publisher);
    this.byId.set(publisher.id, publisher);
    this.nextId = Math.max(this.nextId, publisher.id + 1);
  }

  judge(
    publisher: Publisher,
    epoch: number,
    sequence: number,
    mayLeaveGaps = false,
  ): SequenceVerdict {
    if (epoch < publisher.epoch) return { kind: 'fenced', epoch: publisher.epoch };
    if (sequence === 0) return appendVerdict;
    const { lastSequence, answers } = publisher;
    if (sequence === lastSequence + 1 || lastSequence === 0) return appendVerdict;
    if (sequence > lastSequence) {
      return mayLeaveGaps ? appendVerdict : { kind: 'gap', lastSequence };
    }
    // With gaps only the last answer has a known place, and nobody asks for it.
    const back = mayLeaveGaps ? 1 : lastSequence - sequence + 1;
    const index = answers.length - 2 * back;
    if (index < 0) return { kind: 'too_old', lastSequence };
    return {
      kind: 'repeat',
      baseOffset: answers[index] as number,
      recordCount: answers[index + 1] as number,
    };
  }

  /** An append was given an offset. */
  record(
    publisher: Publisher,
    sequence: number,
    baseOffset: Offset,
    recordCount: number,
    nowMs: number,
  ): void {
    publisher.lastUsedMs = nowMs;
    if (sequence === 0) return;
    publisher.lastSequence = sequence;
    publisher.answers.push(baseOffset, recordCount);
    // Trimmed in one step every so often: a shift per append would move the whole array each time.
    const kept = 2 * limits.publisherAnswersKept;
    if (publisher.answers.length >= 2 * kept) {
      publisher.answers.splice(0, publisher.answers.length - kept);
    }
  }

  /** Answers that are remembered of a publisher, oldest first. */
  answersKept(publisher: Publisher): readonly number[] {
    return publisher.answers.slice(-2 * limits.publisherAnswersKept);
  }

  /**
   * Forgets publishers that nobody used for so long. Answers how many. Not the broker's own: a letter that is repeated
   * after days, because its topic was full or the broker was down, is still the same letter.
   */
  forgetIdle(nowMs: number): number {
    let forgotten = 0;
    for (const publisher of this.byName.values()) {
      const idle = nowMs - publisher.lastUsedMs > limits.publisherIdleMs;
      if (!idle || publisher.openCount > 0 || isOwn(publisher.name)) continue;
      this.forget(publisher);
      forgotten++;
    }
    return forgotten;
  }

  private forget(publisher: Publisher): void {
    this.byName.delete(publisher.name);
    this.byId.delete(publisher.id);
  }
}

/** `~dead/...`: one of the broker itself. A client without a name has `~` and hexadecimal digits. */
function isOwn(name: string): boolean {
  return name.startsWith('~') && name.includes('/');
}
